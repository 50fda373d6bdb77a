"""Predictions per second from arrays to a committed table.

Prints one JSON object. `arrays`: columns as a worker has them; `rows`: the same as one dict per prediction. Both build
the Arrow column, check it against the schema, write Parquet and commit; the table is a new one in every round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow as pa

from labelop import schemas
from labelop.ids import row_id
from labelop.landing.rows import predictions_array
from labelop.landing.store import Store, land

CLASSES = ("RBC", "WBC", "Platelets")


def facts(count: int) -> dict[str, pa.Array]:
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


def main() -> None:
    """Measure and print."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--images", type=int, default=12_800)
    given.add_argument("--each", type=int, default=80, help="predictions of an image")
    given.add_argument("--drafts", type=int, default=15, help="how many of them have a mask")
    given.add_argument("--rounds", type=int, default=5)
    args = given.parse_args()
    total: int = args.images * args.each
    random = np.random.default_rng(0)
    counts = np.full(args.images, args.each)
    drafts = np.arange(total) % args.each < args.drafts
    columns: dict[str, Any] = {
        "prediction_ids": pa.array([row_id("p", number) for number in range(total)]),
        "labels": pa.DictionaryArray.from_arrays(pa.array(random.integers(0, 3, total, np.int32)), pa.array(CLASSES)),
        "scores": np.round(random.random(total), 6),
        "drafts": drafts,
        "boxes": np.round(random.random((total, 4)) * 480, 2),
    }
    masks = pa.array([f"{number:0>60}" if drafts[number] else None for number in range(total)])
    schema = schemas.table("prelabels").schema
    one_each = facts(args.images)

    def table(predictions: pa.Array) -> pa.Table:
        return pa.table([predictions if n == "predictions" else one_each[n] for n in schema.names], schema=schema)

    rows_share = 10  # rows are slow: a tenth of them is enough to know their rate
    some = predictions_array(
        counts[: args.images // rows_share],
        masks=masks[: total // rows_share],
        **{name: values[: total // rows_share] for name, values in columns.items()},
    ).to_pylist()

    def from_arrays(store: Store, masked: bool) -> int:
        land(
            store,
            "prelabels",
            table(predictions_array(counts, masks=masks if masked else pa.nulls(total, pa.string()), **columns)),
            "key",
        )
        return total

    def from_rows(store: Store) -> int:
        whole = table(pa.array([[]] * args.images, type=schema.field("predictions").type))
        rows = whole.slice(0, len(some)).to_pylist()
        land(store, "prelabels", [row | {"predictions": p} for row, p in zip(rows, some, strict=True)], "key")
        return int(total // rows_share)

    cases: dict[str, Any] = {
        "arrays, boxes only": lambda store: from_arrays(store, masked=False),
        "arrays, with masks": lambda store: from_arrays(store, masked=True),
        "rows, with masks": from_rows,
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(args.rounds + 1):
        for name, case in cases.items():
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                landed = case(Store(folder))
                if number:  # the first round warms up
                    rates[name].append(landed / (time.perf_counter() - started))
    report = {
        name: {"predictions_per_second": round(statistics.median(got)), "rounds": [round(rate) for rate in got]}
        for name, got in rates.items()
    }
    print(json.dumps({"predictions": total, "images": args.images, "cases": report}, indent=2))


if __name__ == "__main__":
    main()
