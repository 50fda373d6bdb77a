"""Run events: how a parent learns what its child did, from the tables."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest

from labelop.errors import RunFailedError
from labelop.landing.store import Store, land, read_rows
from labelop.runs import INGESTED, RunEvent, dataset_version_of, latest_version, new_run_id, record
from labelop.schemas import table


def event(**given: Any) -> RunEvent:
    """Make an event of ingesting toys."""
    return RunEvent(
        **({"run_id": "night-1", "dataset": "toys", "dataset_version": "v-1"} | given),
        event=INGESTED,
        state="complete",
        summary={"b": 1, "a": 2},
    )


def dataset_row(version: str, day: int) -> dict[str, Any]:
    """Make a `datasets` row that landed on a day."""
    row: dict[str, Any] = dict.fromkeys(table("datasets").schema.names)
    landed = dt.datetime(2026, 1, day, tzinfo=dt.UTC)
    return row | {"dataset": "toys", "dataset_version": version, "landed_at": landed, "categories": []}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path / "store"))


def test_run_ids_differ_and_sort_by_time() -> None:
    """Two runs of one second are still two runs."""
    names = {new_run_id("night") for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch(r"night-\d{8}T\d{6}-[0-9a-f]{6}", name) for name in names)


def test_an_event_lands_once(store: Store) -> None:
    """Saying the same thing twice leaves one row, with its summary in canonical form."""
    record(store, event())
    record(store, event())
    [row] = read_rows(store, "runs")
    assert row["summary"] == '{"a":2,"b":1}'


def test_a_parent_finds_the_version_its_child_took_in(store: Store) -> None:
    """Only the event of this run and this dataset counts."""
    record(store, event())
    record(store, event(run_id="night-2", dataset_version="v-2"))
    assert dataset_version_of(store, "night-1", "toys") == "v-1"
    with pytest.raises(RunFailedError, match=r"Run night-3 has not ingested dataset 'toys'"):
        dataset_version_of(store, "night-3", "toys")


def test_the_newest_version_is_the_one_that_landed_last(store: Store) -> None:
    """Time of landing decides, not the order of rows or names."""
    land(store, "datasets", [dataset_row("v-z", 1), dataset_row("v-a", 3), dataset_row("v-m", 2)], "k")
    assert latest_version(store, "toys") == "v-a"


def test_an_unknown_dataset_names_the_known_ones(store: Store) -> None:
    """The message says what the store holds instead."""
    with pytest.raises(RunFailedError, match="holds none"):
        latest_version(store, "toy")
    land(store, "datasets", [dataset_row("v-1", 1)], "k")
    with pytest.raises(RunFailedError, match=r"holds \['toys'\]"):
        latest_version(store, "toy")
