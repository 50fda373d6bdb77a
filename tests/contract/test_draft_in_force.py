"""Which draft a review is compared with where an image was drafted more than once: by plans, by models, by arms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from labelop.effort.ledger import land_edits
from labelop.ids import row_id
from labelop.landing.store import Store, land, read_rows
from labelop.queries import run_query
from labelop.review.accepted import import_accepted
from labelop.review.label_files import AcceptedFormat
from labelop.review.label_studio import export_tasks, import_reviews
from labelop.runs import PLANNED, RunEvent, record
from labelop.schemas import table, utc_now
from tests.unit.review_rows import VERSION, annotated, image_id, image_row, prediction, prelabel_row, written

SHIFT_PX = {"one": 0.0, "two": 30.0}
"""How far the models of each night draw the one box to the right: too far to be taken for each other's."""

LABELS = "<meta><labels><label><name>RBC</name></label></labels></meta>"


def night(store: Store, name: str, arms: Sequence[str] = ("local",)) -> None:
    """Draft two images by the models of one night, and put its plan into force."""
    batches = []
    for arm in arms:
        made = {"batch_id": f"b-{name}-{arm}", "model_id": f"m-{name}-{arm}"}
        role = "chosen" if arm == "local" else "compare"
        box = (10.0 + SHIFT_PX[name], 20.0, 60.0 + SHIFT_PX[name], 70.0)
        drafts = [[prediction(f"p-{name}-{arm}-{n}", "RBC", box)] for n in range(2)]
        rows = [prelabel_row(n, arm, role, **made, predictions=drafts[n]) for n in range(2)]
        land(store, "prelabels", rows, key=f"{name}-{arm}")
        batch = dict.fromkeys(table("batches").schema.names) | made | {"arm": arm, "role": role, "position": 0}
        where = {"dataset": "cells", "dataset_version": VERSION, "plan_id": f"plan-{name}"}
        batches.append(batch | where | {"image_ids": [image_id(0), image_id(1)], "landed_at": utc_now()})
    land(store, "batches", batches, key=name)
    in_force(store, name)


def in_force(store: Store, name: str) -> None:
    """Put the plan of a night into force, perhaps again."""
    count = len(read_rows(store, "runs"))
    record(store, RunEvent(f"run-{count}", "cells", VERSION, PLANNED, plan_id=f"plan-{name}"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Make a store with two images that one night has drafted."""
    made = Store(str(tmp_path / "store"))
    land(made, "images", [image_row(n) for n in range(2)], key="images")
    night(made, "one")
    return made


def finished(root: Path, left_px: float = 10.0, *, images: int = 1, tool: AcceptedFormat = "coco") -> Path:
    """Write finished labels of the first images: the draft box of the first night where it is 10 px from the left."""
    if tool == "cvat":
        box = f'<box label="RBC" xtl="{left_px}" ytl="20" xbr="{left_px + 50}" ybr="70"/>'
        shown = [f'<image id="{n}" name="a {n}.jpg" width="320" height="256">{box}</image>' for n in range(images)]
        return written(root / f"finished-{left_px}.xml", f"<annotations>{LABELS}{''.join(shown)}</annotations>")
    record = {
        "categories": [{"id": 1, "name": "RBC"}],
        "images": [{"id": n, "file_name": f"a {n}.jpg", "width": 320, "height": 256} for n in range(images)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [left_px, 20, 50, 50]} for n in range(images)
        ],
    }
    return written(root / f"finished-{left_px}.json", record)


def taken(store: Store, path: Path, arm: str = "local", *, tool: AcceptedFormat = "coco") -> tuple[int, int]:
    """Import finished labels; give how many landed and were there before."""
    result = import_accepted(store, path, "cells", "run", source_format=tool, arm=arm, reviewer="r-1")
    assert result.quarantined == 0
    return result.landed, result.skipped


def submitted(store: Store, root: Path, tasks: Sequence[dict[str, Any]], hour: int = 10, **changes: Any) -> None:
    """Submit tasks, as they are shown unless something is changed, and import the file."""
    at = f"2026-11-20T{hour}:00:00Z"
    records = [annotated(task, created_at=at, updated_at=at, **changes) for task in tasks]
    result = import_reviews(store, written(root / f"at-{hour}.json", records), "cells", "run")
    assert (result.landed, result.quarantined) == (len(tasks), 0)


def edits(store: Store) -> dict[str, Counter[tuple[str, str | None]]]:
    """Land the edits, and count operations and the drafts they are about by the model that is charged with them."""
    land_edits(store, "run")
    found: dict[str, Counter[tuple[str, str | None]]] = {}
    for row in read_rows(store, "edits"):
        found.setdefault(row["model_id"], Counter())[row["op"], row["prediction_id"]] += 1
    return found


def batches(store: Store) -> list[str]:
    """Name the batches whose drafts were reviewed."""
    return sorted(row["batch_id"] for row in read_rows(store, "reviews"))


def test_corrections_are_of_the_newest_plan(store: Store, tmp_path: Path) -> None:
    """Two nights with different models: what is finished afterwards corrected the drafts of the second alone."""
    night(store, "two")
    assert taken(store, finished(tmp_path)) == (1, 0)
    assert edits(store) == {"m-two-local": {("delete", "p-two-local-0"): 1, ("add", None): 1}}
    shown = [task["predictions"][0]["result"][0]["id"] for task in export_tasks(store, "cells")]
    assert shown == ["p-two-local-1"]
    assert {row["batch_id"] for row in run_query(store, "draft_ledger").to_pylist()} == {"b-two-local"}


def pilot(store: Store, arm: str) -> str:
    """Let a pilot draft the first image under an arm and ask for its review; give its batch.

    Its task is behind all others by name, so that it is taken wherever names decide.
    """
    batch_id = max((f"b-pilot-{n}" for n in range(50)), key=lambda name: row_id("t", VERSION, image_id(0), name))
    asked = {"pilot_id": "p", "dataset": "cells", "dataset_version": VERSION, "image_id": image_id(0), "arm": arm}
    for name, values in (("pilots", {}), ("pilot_assignments", {"batch_id": batch_id})):
        known = {key: value for key, value in asked.items() if key in table(name).schema.names}
        land(store, name, [dict.fromkeys(table(name).schema.names) | known | values], key="p")
    land(store, "prelabels", [prelabel_row(0, arm, "pilot", batch_id=batch_id)], key="p")
    return batch_id


@pytest.mark.parametrize("newest", [("local",), ("cloud",)])
def test_corrections_are_of_no_pilot_that_goes_on(store: Store, tmp_path: Path, newest: tuple[str, ...]) -> None:
    """Labels of an image that a pilot asks about are of the draft in force, or else of the one a plan made before.

    Fails where drafts that may not go out count for nothing: names decided, and the pilot's draft was charged.
    """
    night(store, "two", newest)
    pilot(store, "local")
    assert taken(store, finished(tmp_path)) == (1, 0)
    assert batches(store) == ["b-two-local" if "local" in newest else "b-one-local"]


def test_what_a_pilot_alone_drafted_is_corrected(store: Store, tmp_path: Path) -> None:
    """Under an arm that no plan drafted the pilot's draft is the one there is."""
    batch_id = pilot(store, "cloud")
    assert taken(store, finished(tmp_path), "cloud") == (1, 0)
    assert batches(store) == [batch_id]


def test_a_plan_that_is_gone_back_to_counts_again(store: Store, tmp_path: Path) -> None:
    """The newest event decides, not the newest draft: with the first plan back in force its drafts are corrected."""
    night(store, "two")
    in_force(store, "one")
    assert taken(store, finished(tmp_path)) == (1, 0)
    assert edits(store) == {"m-one-local": {("accept", "p-one-local-0"): 1}}
    assert {row["batch_id"] for row in run_query(store, "draft_ledger").to_pylist()} == {"b-one-local"}


def test_a_review_stays_with_the_draft_it_corrected(store: Store, tmp_path: Path) -> None:
    """Another night neither changes what a review was compared with nor whom it is charged to, until it is reviewed."""
    submitted(store, tmp_path, export_tasks(store, "cells"))
    accepted = {("accept", f"p-one-local-{n}"): 1 for n in range(2)}
    assert edits(store) == {"m-one-local": accepted}
    night(store, "two")
    assert edits(store) == {"m-one-local": accepted}
    effort = run_query(store, "image_effort").to_pylist()
    assert {(row["model_id"], row["edits_count"]) for row in effort} == {("m-one-local", 0)}
    fresh = export_tasks(store, "cells")
    assert {task["predictions"][0]["result"][0]["id"] for task in fresh} == {"p-two-local-0", "p-two-local-1"}
    submitted(store, tmp_path, fresh, hour=11, result=[])
    assert edits(store) == {
        "m-one-local": accepted,
        "m-two-local": {("delete", f"p-two-local-{n}"): 1 for n in range(2)},
    }
    effort = run_query(store, "image_effort").to_pylist()
    assert {(row["model_id"], row["edits_count"]) for row in effort} == {("m-two-local", 1)}


def test_the_same_file_after_another_night_is_nothing_new(store: Store, tmp_path: Path) -> None:
    """Finished labels that were imported before a night are of the drafts there were; only changed ones are of its own.

    Fails where the same file landed as a second review, of drafts that its reviewer never saw.
    """
    assert taken(store, finished(tmp_path)) == (1, 0)
    night(store, "two")
    assert taken(store, finished(tmp_path)) == (0, 1)
    assert batches(store) == ["b-one-local"]
    assert taken(store, finished(tmp_path, 40.0)) == (1, 0)
    assert batches(store) == ["b-one-local", "b-two-local"]
    assert edits(store)["m-two-local"] == {("accept", "p-two-local-0"): 1}


@pytest.mark.parametrize("tool", ["coco", "cvat"])
def test_a_grown_file_after_another_night_brings_what_is_new_in_it(
    store: Store, tmp_path: Path, tool: AcceptedFormat
) -> None:
    """A tool exports all that is finished, each time: labels that were there before stay the review they are.

    Fails where a file with one image more, or from another tool, landed all of it as reviews of unseen drafts.
    """
    assert taken(store, finished(tmp_path)) == (1, 0)
    night(store, "two")
    assert taken(store, finished(tmp_path, images=2, tool=tool), tool=tool) == (1, 1)
    found = {row["image_id"]: row["batch_id"] for row in read_rows(store, "reviews")}
    assert found == {image_id(0): "b-one-local", image_id(1): "b-two-local"}
    assert taken(store, finished(tmp_path, 40.0)) == (1, 0)
    assert taken(store, finished(tmp_path)) == (1, 0)
    assert batches(store) == ["b-one-local", *["b-two-local"] * 3]


def test_a_late_file_is_of_the_drafts_it_was_made_from(store: Store, tmp_path: Path) -> None:
    """Tasks that went out before another night come back as reviews of what they showed: the work was done."""
    before = export_tasks(store, "cells")
    night(store, "two")
    submitted(store, tmp_path, before)
    assert batches(store) == ["b-one-local", "b-one-local"]
    assert edits(store) == {"m-one-local": {("accept", f"p-one-local-{n}"): 1 for n in range(2)}}


def test_ids_of_an_old_draft_are_no_lineage_of_a_new_one(store: Store, tmp_path: Path) -> None:
    """Regions that name drafts of another night were drawn anew, as far as the drafts of this task are concerned."""
    [old, *_] = export_tasks(store, "cells")
    night(store, "two")
    [new] = [task for task in export_tasks(store, "cells") if task["data"]["image_id"] == old["data"]["image_id"]]
    number = int(new["data"]["image_id"] == image_id(1))
    submitted(store, tmp_path, [new], result=old["predictions"][0]["result"])
    assert edits(store) == {"m-two-local": {("delete", f"p-two-local-{number}"): 1, ("add", None): 1}}
    [row] = read_rows(store, "reviews")
    assert [label["prediction_id"] for label in row["labels"]] == [None]


def test_two_arms_of_an_image_are_two_drafts(store: Store, tmp_path: Path) -> None:
    """Each review is compared with the draft of its own arm, and finished labels with that of the arm they name."""
    night(store, "two", arms=("local", "cloud"))
    tasks = export_tasks(store, "cells")
    assert len(tasks) == 4
    submitted(store, tmp_path, tasks)
    both = {f"m-two-{arm}": {("accept", f"p-two-{arm}-{n}"): 1 for n in range(2)} for arm in ("local", "cloud")}
    assert edits(store) == both
    assert taken(store, finished(tmp_path, 40.0), arm="cloud") == (1, 0)
    assert edits(store) == both | {"m-two-cloud": {**both["m-two-cloud"], ("accept", "p-two-cloud-0"): 2}}
    effort = run_query(store, "image_effort").to_pylist()
    assert Counter((row["arm"], row["model_id"]) for row in effort) == {
        ("local", "m-two-local"): 2,
        ("cloud", "m-two-cloud"): 2,
    }
