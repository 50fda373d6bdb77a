"""Predictions per second from what a worker holds to a committed table, against what else one would write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import Work, measure
from bench.photos import ROOT
from bench.ratios import Table, Target, explained
from labelop import schemas
from labelop.engines.columns import PredictionColumns
from labelop.engines.postprocess import Detections
from labelop.engines.prelabeller import ImageResult
from labelop.ids import numbered_ids, row_id
from labelop.landing.rows import predictions_array
from labelop.landing.store import Store, land
from labelop.prelabel.assign import ONPREM
from labelop.prelabel.batch import BatchContext, ImageRef
from labelop.prelabel.plan import Plan, PlannedBatch
from labelop.prelabel.rows import prelabel_rows
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings

_CLASSES = ("RBC", "WBC", "Platelets")
_IMAGES, _EACH, _DRAFTS = 12_800, 80, 15
_ROWS_IMAGES = 1_280
"""Rows are slow: a tenth of the images is enough to know their rate."""
_WANTED = 1_000_000
_LANDED = "ours, arrays with masks -> committed table"
_WORKER = "ours, a worker's results, ids made too -> committed table"
_BUILT = "ours, arrays with masks -> Arrow columns (nothing written)"
_WRITTEN = "Arrow ready -> one Parquet file, zstd (no commit)"


def landing_table(rounds: int) -> Table:
    """Measure building the Arrow column, checking it against the schema, writing Parquet and committing it.

    One round of a case is one commit to a new table.
    """
    columns, total = _columns(), _IMAGES * _EACH
    one_each = _facts(_IMAGES)
    schema = schemas.table("prelabels").schema
    no_masks = pa.nulls(total, pa.string())
    counts = np.full(_IMAGES, _EACH)

    def table(masks: Any) -> pa.Table:
        predictions = predictions_array(counts, **(columns | {"masks": masks}))
        return pa.table([predictions if n == "predictions" else one_each[n] for n in schema.names], schema=schema)

    ready = table(columns["masks"])
    rows = ready.slice(0, _ROWS_IMAGES).to_pylist()
    detected, worker_rows = _detected(), _worker_rows()
    flat = {name: np.asarray(columns[name]) for name in ("prediction_ids", "labels", "scores", "drafts")}
    with tempfile.TemporaryDirectory(prefix="labelop-landing-") as folder:
        place, numbers = Path(folder), iter(range(1 << 30))

        def commit(content: Any) -> None:
            land(Store(str(place / f"store-{next(numbers)}")), "prelabels", content, "key")

        def times(step: Any, each: int) -> Work:
            return lambda count: [step() for _ in range(max(1, count // each))]

        few = _ROWS_IMAGES * _EACH
        cases = {
            "list of dicts -> Arrow -> Parquet (no commit)": times(
                lambda: pq.write_table(pa.Table.from_pylist(rows, schema=schema), place / "rows.parquet"), few
            ),
            "pandas, no boxes -> Parquet (no commit)": times(
                lambda: pd.DataFrame(flat).to_parquet(place / "pandas.parquet"), total
            ),
            "ours, rows with masks -> committed table": times(lambda: commit(rows), few),
            _LANDED: times(lambda: commit(table(columns["masks"])), total),
            _BUILT: times(lambda: table(columns["masks"]), total),
            _WORKER: times(lambda: commit(worker_rows(detected)), total),
            "ours, arrays of boxes -> committed table": times(lambda: commit(table(no_masks)), total),
            _WRITTEN: times(lambda: pq.write_table(ready, place / "ready.parquet", compression="zstd"), total),
        }
        steps = {name: few if "dicts" in name or "rows" in name else total for name in cases}
        rates = measure(cases, rounds, 0.0, steps)
    wanted = f"wanted: {_WANTED:,} predictions/s"
    rates[wanted] = (float(_WANTED),) * rounds
    judged = {
        "ours, arrays of boxes -> committed table": "arrays of boxes",
        _LANDED: "arrays with masks",
        _WORKER: "a worker's results with their ids",
    }
    targets = tuple(Target(case, wanted, 1.0, f"share of the wanted rate, {what}") for case, what in judged.items())
    note = (
        f"{_DRAFTS} of {_EACH} predictions have a mask of 60 letters. Arrays: one Arrow array a column of the whole "
        "commit, as no worker holds them, prediction ids made before. A worker's results: scores, classes and boxes of "
        "each image by themselves; ids and names made, rows and columns put together by `prelabel_rows`, as in a batch."
    )
    title = f"Landing, {_IMAGES:,} images with {_EACH} predictions a commit"
    made = Table("landing", title, "predictions/s", next(iter(cases)), rates, targets, (note,))
    if all(verdict.reached for verdict in made.verdicts()):
        return made
    whole, built, written = (1e3 * _EACH / made.median(case) for case in (_LANDED, _BUILT, _WRITTEN))
    rest = max(0.0, whole - built - written)
    return explained(made, {"Arrow columns": built, "Parquet file": written, "checks and commit": rest}, 1)


def _detected() -> list[tuple[str, Detections]]:
    """Draw what a detector finds on each image, rounded as it is there."""
    random = np.random.default_rng(0)
    boxes, scores = np.round(random.random((_IMAGES, _EACH, 4)) * 480, 2), np.round(random.random((_IMAGES, _EACH)), 6)
    classes = random.integers(0, len(_CLASSES), (_IMAGES, _EACH))
    return [(f"{n:064x}", Detections(boxes[n], scores[n], classes[n])) for n in range(_IMAGES)]


def _worker_rows() -> Callable[[list[tuple[str, Detections]]], pa.Table]:
    """Give the worker's own way from detections to the rows of a batch; the masks lie ready."""
    settings = load_settings(config=ROOT / "data/sample/config")
    refs = {f"{n:064x}": ImageRef(f"{n:064x}", "bench", f"{n}.jpg", 640, 480, "public") for n in range(_IMAGES)}
    policy = load_policy(settings.config / "policy.yaml")
    context = BatchContext(Plan("bench", "bench", "v-1", ()), refs, policy, settings, "bench")
    batch = PlannedBatch("b-1", "local", "chosen", ONPREM, "bench", 0, tuple(refs))
    # what the rows say of the models; nothing is run
    models: Any = SimpleNamespace(model_digest="d" * 64, engine_name="bench", simulated=False)
    drafts = np.arange(_EACH) < _DRAFTS
    masks = [f"{number:0>60}" if is_draft else None for number, is_draft in enumerate(drafts)]

    def rows(detected: list[tuple[str, Detections]]) -> pa.Table:
        results = []
        for image_id, objects in detected:
            columns = PredictionColumns(
                numbered_ids("p", image_id, models.model_digest, count=_EACH),
                [_CLASSES[index] for index in objects.class_index.tolist()],
                objects.scores, drafts, objects.boxes, masks,
            )  # fmt: skip
            results.append(ImageResult(image_id, "ok", None, columns, 0.0, 0, 0))
        return prelabel_rows(context, batch, results, models)

    return rows


def _columns() -> dict[str, Any]:
    total, random = _IMAGES * _EACH, np.random.default_rng(0)
    drafts = np.arange(total) % _EACH < _DRAFTS
    return {
        "prediction_ids": pa.array([row_id("p", number) for number in range(total)]),
        "labels": pa.DictionaryArray.from_arrays(pa.array(random.integers(0, 3, total, np.int32)), pa.array(_CLASSES)),
        "scores": np.round(random.random(total), 6),
        "drafts": drafts,
        "boxes": np.round(random.random((total, 4)) * 480, 2),
        "masks": pa.array([f"{number:0>60}" if drafts[number] else None for number in range(total)]),
    }


def _facts(count: int) -> dict[str, pa.Array]:
    """Fill the columns of `prelabels` that hold one value per image."""
    filled: dict[str, pa.Array] = {}
    for field in schemas.table("prelabels").schema:
        if field.name == "image_id":
            filled[field.name] = pa.array([f"{number:064x}" for number in range(count)])
        elif pa.types.is_string(field.type):
            filled[field.name] = pa.repeat(pa.scalar(f"some {field.name}"), count)
        elif field.name != "predictions":
            filled[field.name] = pa.nulls(count, field.type)
    return filled
