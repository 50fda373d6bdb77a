"""The summary: the tables a night ends with, under their headings, also when there is little to tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labelop import schemas
from labelop.landing.store import Store, land
from labelop.recovery import Asked, end, start
from labelop.runs import INGESTED, PRELABELLED, RunEvent, record
from labelop.summary import for_people, losses_of, run_tables, unaccounted


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


def _row(name: str, **given: Any) -> dict[str, Any]:
    where = {"dataset": "toys", "dataset_version": "v-1"}
    return {**dict.fromkeys(schemas.table(name).schema.names), **where, **given}


def test_losses_are_said_with_their_reason(tmp_path: Path) -> None:
    """A failed image is a loss of its dataset's run; a quarantined file and one with nothing on it are none."""
    store = Store(str(tmp_path / "store"))
    record(store, RunEvent("night-1", "toys", "v-1", INGESTED))
    outcomes = {"a": "failed", "b": "empty"}
    images = [_row("images", path=key, image_id=key, outcome="ok") for key in outcomes]
    land(store, "images", [*images, _row("images", path="c", outcome="quarantined")], "i")
    plan = {"plan_id": "p", "batch_id": "b", "role": "chosen", "arm": "local", "placement": "onprem"}
    land(store, "batches", [_row("batches", **plan, image_ids=list(outcomes))], "b")
    record(store, RunEvent("night-1", "toys", "v-1", "planned", plan_id="p"))
    landed = {"batch_id": "b", "role": "chosen", "arm": "local", "placement": "onprem", "predictions": []}
    land(
        store,
        "prelabels",
        [_row("prelabels", image_id=key, outcome=one, **landed) for key, one in outcomes.items()],
        "b",
    )
    assert losses_of(store, ["toys"]) == ["toys: 1 of 3 files failed"]
    assert losses_of(store, ["cells"]) == []


def test_a_refused_annotation_file_is_a_loss(tmp_path: Path) -> None:
    """All of its labels were missing and the run said that it was complete; a record that was refused is none.

    A format may have a file for each image, so a dataset has one line.
    """
    store = Store(str(tmp_path / "store"))
    record(store, RunEvent("night-1", "toys", "v-1", INGESTED))
    refused = {"a.xml": "BAD_ANNOTATIONS", "b.xml": "BAD_BOX", "c.xml": "BAD_ANNOTATIONS"}
    rows = [_row("quarantine", path=path, pointer="#", reason=code, detail="why") for path, code in refused.items()]
    land(store, "quarantine", rows, "q")
    said = "annotation files were refused as a whole, so their labels are missing; the first is a.xml: why"
    assert losses_of(store, ["toys"]) == [f"toys: 2 {said}"]
    assert losses_of(store, ["cells"]) == []


def test_what_died_told_nobody_its_losses(tmp_path: Path) -> None:
    """Who resumes accounts for all that the dead runs before were asked, back to one that said how it ended."""
    store = Store(str(tmp_path))
    start(store, "r1", [Asked("a"), Asked("b")])
    start(store, "r2", [Asked("b", resumes="r1")])
    assert unaccounted(store, "r2") == {"a", "b"}
    end(store, "r1", "cancelled")
    assert unaccounted(store, "r2") == {"a", "b"}
    end(store, "r1", "partial")
    assert unaccounted(store, "r2") == {"b"}
    end(store, "r2", "complete")
    assert unaccounted(store, "r2") == set()
