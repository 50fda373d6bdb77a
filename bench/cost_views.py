"""How long every question of the report takes over many predictions, against a raw scan and sum of the same files.

Each size runs in a process of its own (`python -m bench.cost_views PREDICTIONS FOLDER`), so that its memory is its own.
Rows are drawn in columns and mean nothing; approvals are given, as `labelop.review.gate` checks them once a session.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from bench.measure import peak_mib
from bench.photos import ROOT
from bench.ratios import Table
from labelop import schemas
from labelop.cost.prices import load_prices, price_rows
from labelop.landing.rows import rows_to_table
from labelop.queries import Session, open_tables, run_query
from labelop.report.forms import FORMS
from labelop.report.results import EXTRA_QUERIES
from labelop.review.gate import APPROVALS

_OBJECTS = 10
"""Predictions, labels and edits of an image."""
_BATCH = 256
_PART = 50_000
"""Images of a Parquet file."""
_ROUNDS = 3
_RAW = """
    SELECT
        (SELECT sum(p.score) + count(*) FROM (SELECT unnest(predictions) AS p FROM read_parquet($prelabels))),
        (SELECT sum(s) FROM (
            SELECT arm, op, accepted_label, sum(model_seconds) AS s FROM read_parquet($edits) GROUP BY ALL
        )),
        (SELECT sum(s) FROM (
            SELECT arm, image_id, sum(active_seconds) + sum(len(labels)) AS s FROM read_parquet($reviews) GROUP BY ALL
        ))
"""
"""Every prediction read and summed, edits by operation and class, reviews by image."""


def cost_table(sizes: tuple[int, ...]) -> Table:
    """Run every size once, each in a fresh process."""
    rates: dict[str, tuple[float, ...]] = {}
    notes = []
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="labelop-cost-") as folder:
            done = subprocess.run(
                [sys.executable, "-m", "bench.cost_views", str(count), folder],
                cwd=ROOT, check=True, capture_output=True, text=True,
            )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        rates |= {f"{count:,}: {name}": (1.0 / seconds,) for name, seconds in found["seconds"].items()}
        raw = found["seconds"]["raw scan"]
        worst = max(found["seconds"], key=lambda name: found["seconds"][name])
        notes.append(
            f"{count:,} predictions: raw scan {raw:.2f} s, slowest {worst} {found['seconds'][worst] / raw:.2f} of it, "
            f"at most {found['peak_mib']:.0f} MiB."
        )
    reference = f"{sizes[0]:,}: raw scan"
    return Table("cost_views", "Questions of the report", "answers/s", reference, rates, notes=tuple(notes))


def run(count: int, folder: Path) -> dict[str, Any]:
    """Make the files, then time the raw scan and each question in turn; medians in seconds, and MiB."""
    images = count // _OBJECTS
    for first in range(0, images, _PART):
        _write(folder, first, min(first + _PART, images))
    _write_batches(folder, images)
    session = _session(folder, images)
    raw = {name: str(folder / name / "*.parquet") for name in ("prelabels", "edits", "reviews")}
    bare = duckdb.connect()
    cases: dict[str, Callable[[], object]] = {"raw scan": lambda: bare.execute(_RAW, raw).fetchall()}
    names = sorted({form.query for form in FORMS if form.query} | set(EXTRA_QUERIES))
    for name in names:
        cases[name] = lambda name=name: run_query(session, name).num_rows  # type: ignore[misc]
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(_ROUNDS):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            seconds[name].append(time.perf_counter() - start)
    return {"seconds": {name: statistics.median(taken) for name, taken in seconds.items()}, "peak_mib": peak_mib()}


def _session(folder: Path, images: int) -> Session:
    tables: dict[str, Any] = {name: table.schema.empty_table() for name, table in schemas.TABLES.items()}
    for name in ("images", "levels", "prelabels", "edits", "reviews", "usage", "batches"):
        tables[name] = ds.dataset(folder / name, schema=schemas.table(name).schema)
    book = load_prices(ROOT / "data/sample/config/prices.yaml")
    tables["prices"] = rows_to_table("prices", price_rows(book, "r"))
    session = open_tables(tables)
    ids = [f"v-{arm}-{number:08d}" for arm in ("local", "cloud") for number in range(images) if _in_arm(arm, number)]
    blank: list[None] = [None] * len(ids)
    columns = {name: ids if name == "review_id" else blank for name in APPROVALS.names}
    columns["state"] = ["approved"] * len(ids)
    session.register("approvals", pa.table(columns, schema=APPROVALS))
    return session


def _in_arm(arm: str, number: int) -> bool:
    return arm == "local" or number % 5 == 0


def _write(folder: Path, first: int, last: int) -> None:
    chance = np.random.default_rng(first)
    numbers = np.arange(first, last)
    ids = [f"{number:064x}" for number in numbers]
    _put(folder, "images", first, len(ids), path=ids, image_id=ids, outcome="ok", size_bytes=50_000, split="train")
    _put(folder, "levels", first, len(ids), image_id=ids, level="public")
    for arm in ("local", "cloud"):
        mine = numbers[numbers % (1 if arm == "local" else 5) == 0]
        keys = [f"{number:064x}" for number in mine]
        reviews = [f"v-{arm}-{number:08d}" for number in mine]
        role, placement = ("chosen", "onprem") if arm == "local" else ("compare", "cloud")
        batch = [f"b-{arm}-{number // _BATCH}" for number in mine]
        shared: dict[str, Any] = {"arm": arm, "image_id": keys, "model_id": f"m-{arm}", "run_id": "r"}
        _put(
            folder, "prelabels", first, len(keys), **shared, suffix=arm, batch_id=batch, role=role, placement=placement,
            outcome="ok", predictions=_objects(schemas.PREDICTION, len(keys), chance),
        )  # fmt: skip
        _put(
            folder, "reviews", first, len(keys), **shared, suffix=arm, review_id=reviews, batch_id=batch,
            decision="approved", effort_source="measured", active_seconds=chance.lognormal(3, 0.6, len(keys)),
            labels=_objects(schemas.LABEL, len(keys), chance),
        )  # fmt: skip
        edits = len(keys) * _OBJECTS
        _put(
            folder, "edits", first, edits, suffix=arm, arm=arm, image_id=np.repeat(keys, _OBJECTS),
            review_id=np.repeat(reviews, _OBJECTS), edit_id=[f"e{n}" for n in range(edits)], model_id=f"m-{arm}",
            op=chance.choice(["accept", "adjust", "relabel", "delete", "add"], edits, p=[0.7, 0.15, 0.05, 0.05, 0.05]),
            predicted_label=chance.choice(["RBC", "WBC", "Platelets"], edits), score=chance.random(edits),
            accepted_label=chance.choice(["RBC", "WBC", "Platelets"], edits), iou=chance.random(edits),
            model_seconds=chance.random(edits) * 10, parameter_set="p", lineage=False, redrawn=False,
        )  # fmt: skip


def _write_batches(folder: Path, images: int) -> None:
    for arm, placement in (("local", "onprem"), ("cloud", "cloud")):
        batches = [f"b-{arm}-{number}" for number in range(-(-images // _BATCH))]
        shared = {
            "arm": arm,
            "placement": placement,
            "batch_id": batches,
            "role": "chosen" if arm == "local" else "compare",
        }
        size = len(batches)
        _put(
            folder,
            "batches",
            0,
            size,
            **shared,
            suffix=arm,
            plan_id="p",
            image_ids=pa.nulls(size, pa.list_(pa.string())),
        )
        _put(
            folder, "usage", 0, size, **shared, suffix=arm, attempt_id=[f"a-{name}" for name in batches], run_id="r",
            images_count=_BATCH, wall_seconds=20.0, infer_seconds=15.0, detector_seconds=15.0, sent_bytes=10**7,
            received_bytes=10**6, requests_count=_BATCH, outcome="finished", model_id=f"m-{arm}",
        )  # fmt: skip


def _objects(kind: pa.StructType, images: int, chance: np.random.Generator) -> pa.Array:
    count = images * _OBJECTS
    made = []
    for field in kind:
        if pa.types.is_float64(field.type):
            made.append(pa.array(chance.random(count) * 100))
        elif field.name == "label":
            made.append(pa.array(chance.choice(["RBC", "WBC", "Platelets"], count)))
        elif field.name.endswith("_id"):
            made.append(pa.array([f"p{number}" for number in range(count)]))
        else:
            made.append(pa.array([True] * count) if pa.types.is_boolean(field.type) else pa.nulls(count, field.type))
    return pa.ListArray.from_arrays(
        pa.array(np.arange(0, count + 1, _OBJECTS), pa.int32()), pa.StructArray.from_arrays(made, fields=list(kind))
    )


def _put(folder: Path, name: str, first: int, count: int, *, suffix: str = "", **columns: Any) -> None:
    """Write one file of a table; a plain value is the same in every row, what is not given is null."""
    schema = schemas.table(name).schema
    known = {"dataset": "d", "dataset_version": "v", "simulated": False} | columns
    arrays = []
    for field in schema:
        value = known.get(field.name)
        if field.name in {"landed_at", "started_at", "submitted_at"}:
            value = schemas.utc_now()
        if value is None or isinstance(value, pa.NullArray):
            arrays.append(pa.nulls(count, field.type))
        elif isinstance(value, list | np.ndarray):
            arrays.append(pa.array(value, field.type))
        elif isinstance(value, pa.Array):
            arrays.append(value.cast(field.type))
        else:
            arrays.append(pa.repeat(pa.scalar(value, field.type), count))
    (folder / name).mkdir(parents=True, exist_ok=True)
    target = folder / name / f"{first:09d}{suffix}.parquet"
    pq.write_table(pa.table(arrays, schema=schema), target, compression="zstd")


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), Path(sys.argv[2]))))
