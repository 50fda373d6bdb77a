"""Run events: how a parent learns what its child did, from the tables."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from labelop import runs
from labelop.errors import RunFailedError
from labelop.landing import store as landing
from labelop.landing.store import Store, read_rows
from labelop.recovery import Asked, left_of, start
from labelop.runs import (
    INGESTED,
    PLANNED,
    PRELABELLED,
    RunEvent,
    current_version,
    dataset_version_of,
    new_run_id,
    record,
    source_root,
    under_way,
)


def event(**given: Any) -> RunEvent:
    """Make an event of ingesting toys."""
    return RunEvent(
        **({"run_id": "night-1", "dataset": "toys", "dataset_version": "v-1", "event": INGESTED} | given),
        summary={"b": 1, "a": 2},
    )


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


def test_going_back_to_an_earlier_version_is_heard(store: Store) -> None:
    """The newest ingest decides which version counts, also when its content had landed long before."""
    for number, version in enumerate(("v-strict", "v-open", "v-strict")):
        record(store, event(run_id=f"night-{number}", dataset_version=version, source_uri=f"file:///{number}"))
    assert current_version(store, "toys") == "v-strict"
    assert source_root(store, "toys", "v-strict") == "file:///2"
    assert source_root(store, "toys", "v-never") is None


def test_the_newest_word_counts_also_after_the_clock_was_set_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner's stricter version, handed over while the clock was a day behind, was the older one and not heard."""
    record(store, event(run_id="night-0", dataset_version="v-open"))
    start(store, "night-1", [Asked("toys", INGESTED)])
    yesterday = datetime.now(UTC) - timedelta(days=1)
    monkeypatch.setattr(landing, "utc_now", lambda: yesterday)
    for version in ("v-open", "v-strict"):
        record(store, event(run_id=f"back-{version}", dataset_version=version))
    assert current_version(store, "toys") == "v-strict"
    assert left_of(store, "night-1") == []


def test_an_unknown_dataset_names_the_known_ones(store: Store) -> None:
    """The message says what the store holds instead."""
    with pytest.raises(RunFailedError, match="holds none"):
        current_version(store, "toy")
    record(store, event())
    with pytest.raises(RunFailedError, match=r"holds \['toys'\]"):
        current_version(store, "toy")


def test_a_run_beside_this_one_is_seen_until_it_says_how_it_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run that planned the same version is named: not this one, not one that ended, not one of days ago."""
    for run_id in ("mine", "other", "done"):
        record(store, event(run_id=run_id))
        record(store, event(run_id=run_id, event=PLANNED))
    record(store, event(run_id="elsewhere", event=PLANNED, dataset="tools"))
    record(store, event(run_id="before", event=PLANNED, dataset_version="v-0"))
    record(store, event(run_id="done", event=PRELABELLED, state="partial"))
    assert under_way(store, "toys", "v-1", but="mine") == ["other"]
    assert under_way(store, "toys", "v-1", but="other") == ["mine"]
    monkeypatch.setattr(runs, "_LATELY", timedelta(0))
    assert under_way(store, "toys", "v-1", but="mine") == []
