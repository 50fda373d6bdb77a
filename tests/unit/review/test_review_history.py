"""An annotation that people open again becomes a review for each of its states."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelop.effort.ledger import land_edits
from labelop.labels import Ontology
from labelop.landing.store import Store, land, read_rows
from labelop.queries import run_query
from labelop.review import brush
from labelop.review.label_studio import import_reviews
from labelop.review.task_forms import labelling_config, task_form
from labelop.review.tasks import load_tasks
from tests.unit.review_rows import (
    VERSION,
    annotated,
    filled_store,
    image_row,
    imported,
    prediction,
    prelabel_row,
    written,
)


def _states(tmp_path: Path, *states: dict[str, Any]) -> Store:
    """Import one annotation in several states, one file after the other; `dropped` regions are taken off the front."""
    store = filled_store(tmp_path / "store", images=1)
    task = load_tasks(store, "cells", VERSION)[0]
    for number, state in enumerate(states):
        changes = {key: value for key, value in state.items() if key != "dropped"}
        record = annotated(task_form(task), **changes)
        del record["annotations"][0]["result"][: state.get("dropped", 0)]
        import_reviews(store, written(tmp_path / f"{number}.json", [record]), "cells", f"run-{number}")
    return store


def _at(minute: int) -> str:
    return f"2026-11-20T10:{minute:02d}:00.000000Z"


def test_a_changed_annotation_becomes_a_later_review(tmp_path: Path) -> None:
    """A second state lands beside the first with its own edits, its own time and a later submission.

    Fails without chains: the second state was quarantined and the correction never counted.
    """
    store = _states(
        tmp_path,
        {"created_at": _at(0), "updated_at": _at(0), "lead_time": 20.0},
        {"created_at": _at(0), "updated_at": _at(9), "lead_time": 32.5, "dropped": 1},
    )
    first, second = sorted(imported(store), key=lambda row: str(row["run_id"]))
    assert first["review_id"] != second["review_id"]
    assert (len(first["labels"]), len(second["labels"])) == (3, 2)
    assert second["submitted_at"] - first["submitted_at"] == dt.timedelta(minutes=9)
    assert (first["lead_seconds"], second["lead_seconds"], second["active_seconds"]) == (20.0, 12.5, 12.5)
    assert [first["position_in_batch"], second["position_in_batch"]] == [0, 1]
    assert read_rows(store, "quarantine") == []
    land_edits(store, "run")
    of_second = [row["op"] for row in read_rows(store, "edits") if row["review_id"] == second["review_id"]]
    assert sorted(of_second) == ["accept", "accept", "delete"]


def test_every_state_lands_once_and_older_ones_change_nothing(tmp_path: Path) -> None:
    """A state that comes again, one older than what is landed, and one that differs in time only land nothing."""
    old, new = {"updated_at": _at(0)}, {"updated_at": _at(9), "dropped": 1}
    looked_at_again = new | {"updated_at": _at(30), "lead_time": 99.0}
    store = _states(tmp_path, old, new, old, new, looked_at_again)
    assert sorted(len(row["labels"]) for row in imported(store)) == [2, 3]


def test_going_back_to_an_earlier_state_is_a_change_too(tmp_path: Path) -> None:
    """What was taken away and put back is the third review, since the last state is what counts."""
    store = _states(tmp_path, {"updated_at": _at(0)}, {"updated_at": _at(5), "dropped": 2}, {"updated_at": _at(9)})
    rows = sorted(imported(store), key=lambda row: str(row["submitted_at"]))
    assert [len(row["labels"]) for row in rows] == [3, 1, 3]


@pytest.mark.parametrize(
    ("second", "lead", "active"),
    [
        (4.0, 4.0, 4.0),  # this tool does not add up
        (5000.0, 4980.0, 60.0),  # more than passed in between: counted twice by the tool
    ],
)
def test_time_is_not_counted_twice(tmp_path: Path, second: float, lead: float, active: float) -> None:
    """What an earlier state accounted for is taken off, and nobody was active longer than the clock ran."""
    store = _states(
        tmp_path,
        {"created_at": _at(0), "updated_at": _at(0), "lead_time": 20.0},
        {"created_at": _at(0), "updated_at": _at(1), "lead_time": second, "dropped": 1},
    )
    row = next(row for row in imported(store) if len(row["labels"]) == 2)
    assert (row["lead_seconds"], row["active_seconds"]) == (lead, active)


def test_an_image_took_the_time_of_all_looks_at_it(tmp_path: Path) -> None:
    """Of a review opened again the image's seconds are those of all looks, once, as its edits are of all of them.

    Fails when the last state's own share is taken: 10 s and then 0 s of 70.
    """
    states = [(0, 60.0, 0), (9, 70.0, 1), (19, 70.0, 2)]
    store = _states(tmp_path, *({"updated_at": _at(m), "lead_time": s, "dropped": n} for m, s, n in states))
    land_edits(store, "run")
    [image] = run_query(store, "image_effort", {"dataset": "cells"}).to_pylist()
    assert (image["active_seconds"], image["effort_source"], image["edits_count"]) == (70.0, "measured", 2)
    paid = run_query(store, "review_ledger", {"dataset": "cells"})["effort_seconds"].to_pylist()
    assert sorted(paid) == [0.0, 10.0, 60.0]


@pytest.mark.parametrize("is_landed", [True, False])
def test_a_copy_of_a_later_state_is_paid_once(tmp_path: Path, is_landed: bool) -> None:
    """A copy of an annotation opened again is refused, whether that state has landed or stands behind it in the file.

    Fails where the lead time tells copies apart (the landed state has its share of 10 s, the copy all 70 s: 140 s in
    all), or where of a file the first one stays (130 s in all).
    """
    again = {"updated_at": _at(9), "lead_time": 70.0, "dropped": 1}
    store = _states(tmp_path, {"updated_at": _at(0), "lead_time": 60.0}, *[again] * is_landed)
    record = annotated(task_form(load_tasks(store, "cells", VERSION)[0]), updated_at=_at(9), lead_time=70.0)
    [state] = record["annotations"]
    del state["result"][0]
    record["annotations"] = [state | {"unique_id": "copy", "id": 8}, *[state] * (not is_landed)]
    done = import_reviews(store, written(tmp_path / "copied.json", [record]), "cells", "run-copied")
    assert (done.landed, done.quarantined) == (not is_landed, 1)
    [told] = read_rows(store, "quarantine")
    assert (told["reason"], told["pointer"]) == ("DUPLICATE", "/0/annotations/0")
    land_edits(store, "run")
    assert run_query(store, "image_effort", {"dataset": "cells"})["active_seconds"].to_pylist() == [70.0]


def _masked_store(root: Path) -> tuple[Store, str]:
    mask = np.zeros((256, 320), dtype=bool)
    mask[20:70, 10:60] = True
    counts = brush.to_counts(mask)
    assert counts is not None
    store = Store(str(root))
    drafts = [
        prediction("p-mask", "RBC", (10.2, 20.1, 60.4, 70.2), mask_rle=counts),
        prediction("p-box", "WBC", (1.0, 2.0, 3.0, 4.0)),
    ]
    land(store, "images", [image_row(0)], key="images")
    land(store, "prelabels", [prelabel_row(0, predictions=drafts)], key="p")
    return store, counts


def test_masks_go_out_for_the_brush_and_come_back(tmp_path: Path) -> None:
    """A draft's mask is shown as a mask; untouched it comes back as it was, painted over with a box of its own."""
    store, counts = _masked_store(tmp_path / "store")
    [task] = load_tasks(store, "cells", VERSION)
    form = task_form(task, masks=True)
    assert {region["type"] for region in form["predictions"][0]["result"]} == {"brushlabels", "rectanglelabels"}
    assert 'BrushLabels name="mask"' in labelling_config(Ontology(("RBC",), ()), masks=True)
    import_reviews(store, written(tmp_path / "a.json", [annotated(form)]), "cells", "run")
    label = next(v for v in imported(store)[0]["labels"] if v["prediction_id"] == "p-mask")
    assert (label["mask_rle"], label["x0_px"], label["y1_px"]) == (counts, 10.2, 70.2)
    painted = np.zeros((256, 320), dtype=bool)
    painted[30:70, 10:61] = True
    again = annotated(form, updated_at=_at(9))
    region = next(r for r in again["annotations"][0]["result"] if r["type"] == "brushlabels")
    region["value"]["rle"] = brush.encode(painted)
    import_reviews(store, written(tmp_path / "b.json", [again]), "cells", "run-2")
    row = next(row for row in imported(store) if row["run_id"] == "run-2")
    label = next(v for v in row["labels"] if v["prediction_id"] == "p-mask")
    assert label["mask_rle"] == brush.to_counts(painted)
    assert [label[k] for k in ("x0_px", "y0_px", "x1_px", "y1_px")] == [10.0, 30.0, 61.0, 70.0]


@pytest.mark.parametrize(
    ("value", "reason", "place"),
    [
        ({"rle": [1, 2, 3]}, "BAD_MASK", "/value/rle"),
        ({"rle": [256]}, "BAD_MASK", "/value/rle"),
        ({"rle": brush.encode(np.zeros((256, 320), dtype=bool))}, "BAD_MASK", "/value/rle"),
        ({"rle": "no list"}, "BAD_RECORD", "/value/rle"),
        ({"brushlabels": ["Martian"]}, "UNKNOWN_LABEL", "/value/brushlabels/0"),
    ],
)
def test_a_bad_mask_costs_its_record_only(tmp_path: Path, value: dict[str, Any], reason: str, place: str) -> None:
    """Whatever is wrong with a mask is named with its place, and nothing is drawn."""
    store, _ = _masked_store(tmp_path / "store")
    record = annotated(task_form(load_tasks(store, "cells", VERSION)[0], masks=True))
    index, region = next((i, r) for i, r in enumerate(record["annotations"][0]["result"]) if r["type"] == "brushlabels")
    region["value"] |= value
    assert import_reviews(store, written(tmp_path / "a.json", [record]), "cells", "run").quarantined == 1
    [row] = read_rows(store, "quarantine")
    assert (row["reason"], row["pointer"]) == (reason, f"/0/annotations/0/result/{index}{place}")


def test_what_a_person_drew_has_no_draft(tmp_path: Path) -> None:
    """A region that the editor calls made by hand has no lineage, even under the id of a draft."""
    store = filled_store(tmp_path / "store", images=1)
    record = annotated(task_form(load_tasks(store, "cells", VERSION)[0]))
    record["annotations"][0]["result"][0]["origin"] = "manual"
    import_reviews(store, written(tmp_path / "a.json", [record]), "cells", "run")
    assert sum(label["prediction_id"] is None for label in imported(store)[0]["labels"]) == 1
