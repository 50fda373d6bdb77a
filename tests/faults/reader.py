"""A reader that looks at a table all the time while its writers are killed."""

from __future__ import annotations

import os
import time
from collections import Counter

import numpy as np
from deltalake import DeltaTable
from pyarrow import parquet

from labelop.landing.tables import open_table
from tests.faults.world import World


def keep_reading(world: World, seconds: float, until: int) -> dict[str, int | float]:
    """Look at the newest version of the table again and again until a pipe is closed.

    A look asks the log what is new and counts the rows of files that were not there before: files never change, so a
    version is the sum of its files, and a look costs milliseconds.

    Args:
        world: Whose `prelabels` are looked at.
        seconds: From the begin of one look to the begin of the next; at once where a look took longer.
        until: Reading end of the pipe.

    Returns:
        Counts of looks, of versions, of what must never be seen, and the gaps between looks in milliseconds.
    """
    names = ("views_count", "versions_count", "partial_views_count", "shrinking_views_count")
    counts: Counter[str] = Counter(dict.fromkeys(names, 0))
    table, files, before, started = None, dict[str, Counter[str]](), 0, list[float]()
    store = world.store
    os.set_blocking(until, False)
    while True:
        started.append(time.monotonic())
        version = table.version() if table else -1
        if table:
            table.update_incremental()
        else:
            table = open_table(store, "prelabels")
        counts["views_count"] += 1
        if table and table.version() != version:
            counts["versions_count"] += 1
            files = {uri: files.get(uri) or _batches_of(table, uri) for uri in table.file_uris()}
            seen = sum(files.values(), Counter[str]())
            counts["partial_views_count"] += any(n != len(world.batches.get(key, ())) for key, n in seen.items())
            counts["shrinking_views_count"] += seen.total() < before
            before = seen.total()
        try:
            if os.read(until, 1) == b"":
                gaps = np.diff(started) * 1e3 if len(started) > 1 else np.zeros(1)
                p50, p95 = np.percentile(gaps, (50, 95))
                return {
                    **counts,
                    "gap_of_views_ms_p50": round(float(p50), 1),
                    "gap_of_views_ms_p95": round(float(p95), 1),
                }
        except BlockingIOError:
            time.sleep(max(0.0, started[-1] + seconds - time.monotonic()))


def _batches_of(table: DeltaTable, uri: str) -> Counter[str]:
    """Count the rows of one file by batch."""
    if not uri.startswith("s3://"):
        return Counter(parquet.read_table(uri, columns=["batch_id"])["batch_id"].to_pylist())
    name = uri.removeprefix(table.table_uri.rstrip("/") + "/")
    return Counter(
        parquet.read_table(name, columns=["batch_id"], filesystem=table.to_pyarrow_dataset().filesystem)[
            "batch_id"
        ].to_pylist()
    )
