"""The summary: the tables a night ends with, under their headings, also when there is little to tell."""

from __future__ import annotations

from pathlib import Path

from labelop.landing.store import Store
from labelop.runs import PRELABELLED, RunEvent, record
from labelop.summary import for_people, run_tables


def event(run_id: str, dataset: str, skipped: int) -> RunEvent:
    """Make the event of a dataset that was prelabelled."""
    return RunEvent(run_id, dataset, "v-1", PRELABELLED, summary={"batches_skipped_count": skipped})


def test_a_run_tells_its_own_batches(tmp_path: Path) -> None:
    """Batches of other runs are not told; datasets stand in order, and every other table is there, empty or not."""
    store = Store(str(tmp_path / "store"))
    for one in (event("night-1", "toys", 3), event("night-1", "cells", 4), event("night-2", "toys", 9)):
        record(store, one)
    tables = run_tables(store, "night-1")
    assert next(iter(tables.values())) == [
        {"dataset": "cells", "batches_skipped_count": 4},
        {"dataset": "toys", "batches_skipped_count": 3},
    ]
    assert len(tables) > 1
    assert all(rows == [] for rows in list(tables.values())[1:])


def test_the_words_account_for_every_outcome() -> None:
    """What landed is the sum of the outcomes beside it, and the cost of the machine says that it holds its setup."""
    outcomes = ("empty_count", "failed_count", "unreadable_count", "withheld_count")
    [row] = for_people({"": [dict.fromkeys((*outcomes, "machine_cost", "other"), 1)]})[""]
    assert list(row) == ["nothing found", "failed", "unreadable", "withheld", "machine and setup"]
