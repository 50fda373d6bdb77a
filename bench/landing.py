"""Predictions per second from what a worker holds to a committed table, against what else one would write."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import Work, measure
from bench.ratios import Table, Target, explained
from labelop import schemas
from labelop.ids import row_id
from labelop.landing.rows import predictions_array
from labelop.landing.store import Store, land

_CLASSES = ("RBC", "WBC", "Platelets")
_IMAGES, _EACH, _DRAFTS = 12_800, 80, 15
_ROWS_IMAGES = 1_280
"""Rows are slow: a tenth of the images is enough to know their rate."""
_WANTED = 1_000_000
_LANDED = "ours, arrays with masks -> committed table"
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
            "ours, arrays of boxes -> committed table": times(lambda: commit(table(no_masks)), total),
            _WRITTEN: times(lambda: pq.write_table(ready, place / "ready.parquet", compression="zstd"), total),
        }
        steps = {name: few if "dicts" in name or "rows" in name else total for name in cases}
        rates = measure(cases, rounds, 0.0, steps)
    wanted = f"wanted: {_WANTED:,} predictions/s"
    rates[wanted] = (float(_WANTED),) * rounds
    targets = tuple(
        Target(f"ours, arrays {what} -> committed table", wanted, 1.0, f"share of the wanted rate, arrays {what}")
        for what in ("of boxes", "with masks")
    )
    note = (
        f"Arrays: the columns of a commit as a worker holds them; {_DRAFTS} of {_EACH} predictions have a mask of "
        "60 letters, prediction ids are made before. Ours writes what a worker writes, through the same functions."
    )
    title = f"Landing, {_IMAGES:,} images with {_EACH} predictions a commit"
    made = Table("landing", title, "predictions/s", next(iter(cases)), rates, targets, (note,))
    if all(verdict.reached for verdict in made.verdicts()):
        return made
    whole, built, written = (1e3 * _EACH / made.median(case) for case in (_LANDED, _BUILT, _WRITTEN))
    rest = max(0.0, whole - built - written)
    return explained(made, {"Arrow columns": built, "Parquet file": written, "checks and commit": rest}, 1)


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
