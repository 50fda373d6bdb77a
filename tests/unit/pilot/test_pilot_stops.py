"""Why a pilot stops is read from its reviews; its tasks go to the people they were assigned to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from labelop.cli import app
from labelop.effort.estimates import Estimate
from labelop.errors import PilotError
from labelop.landing.store import Store, land, read_rows
from labelop.pilot import results
from labelop.pilot.plan import list_pilots
from labelop.pilot.protocol import Asked
from labelop.review.tasks import ReviewTask, load_tasks, tasks_in_force, tasks_to_give_out
from labelop.schemas import table
from tests.unit.pilot.pilots import GAPS, world
from tests.unit.report_rows import World


def test_what_comes_in_tells_a_pilot_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time lost by drafts, images that left and reviewers who miss seeds are found in the tables and said by status."""
    store = world(restricted=2).land(Store(str(tmp_path)))
    [pilot] = list_pilots(store)
    poor = Estimate(0.2, 0.1, 0.4, 30)
    monkeypatch.setattr(results, "catches", lambda *_: {"ann": poor, "ben": poor, "a stranger": Estimate(1, 1, 1, 9)})
    found = results.reasons_to_stop(store, pilot, resamples=499)
    assert [one.rule for one in found] == ["policy", "catch", "saving"]
    assert "2 of its images went to the cloud" in found[0].said
    assert "2 of 2 reviewers" in found[1].said
    assert "Drafts of local cost" in found[2].said
    said = CliRunner().invoke(app, ["pilot", "status", "--store", str(store.root)])
    assert said.exit_code == 0
    assert "stop the pilot spring (policy)" in said.stderr


def test_a_pilot_that_does_no_harm_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Public images may leave, and drafts that save time are no harm."""
    monkeypatch.setitem(GAPS, "local", -0.4)
    store = world().land(Store(str(tmp_path)))
    assert results.reasons_to_stop(store, list_pilots(store, "d")[0], resamples=499) == []


def test_a_pilots_tasks_are_nobody_elses(tmp_path: Path) -> None:
    """Before a dataset has a plan an export held every task of its pilots, so that one person met an image thrice."""
    store = world().land(Store(str(tmp_path)))
    tasks = load_tasks(store, "d", "v1")
    assert len(tasks) == 180
    assert tasks_to_give_out(store, "d", "v1", tasks) == []


def test_other_tasks_of_a_pilots_images_wait_for_it(tmp_path: Path) -> None:
    """A night's export gave a pilot's images to its reviewers as usual work while the pilot still asked about them.

    What was assigned before planning broke off, so that no pilot was declared, holds nothing up.
    """
    here = {"dataset": "d", "dataset_version": "v1", "batch_id": "p", "image_id": "1"}
    store = Store(str(tmp_path))
    for pilot, image in (("declared", "1"), ("broken off", "2")):
        row = here | {"pilot_id": pilot, "image_id": image, "arm": "blind" if image == "2" else "local"}
        land(store, "pilot_assignments", [dict.fromkeys(table("pilot_assignments").schema.names) | row], pilot)
    pilot_row = {"pilot_id": "declared", "dataset": "d", "dataset_version": "v1"}
    land(store, "pilots", [dict.fromkeys(table("pilots").schema.names) | pilot_row], "pilot")
    usual, asked, other = drafted("usual", "1"), drafted("p", "1"), drafted("usual", "2")
    assert tasks_to_give_out(store, "d", "v1", [usual]) == [usual], "a failed draft is nobody's task: nothing waits"
    made = dict.fromkeys(table("prelabels").schema.names) | here | {"role": "pilot", "outcome": "ok"}
    land(store, "prelabels", [made], "p")
    assert tasks_to_give_out(store, "d", "v1", [usual, asked, other]) == [other]
    assert tasks_in_force(store, "d", "v1", [usual, asked, other]) == [usual, other], "it counts while it waits"
    assert tasks_to_give_out(store, "d", "v2", [usual, other]) == [other], "a night's new version gave them out again"
    land(store, "reviews", [dict.fromkeys(table("reviews").schema.names) | here], "r")
    assert tasks_to_give_out(store, "d", "v1", [usual, asked]) == [usual]


def drafted(batch_id: str, image_id: str) -> ReviewTask:
    """Make the task of one draft."""
    uid, path = f"{batch_id}-{image_id}", f"{image_id}.jpg"
    return ReviewTask(uid, "d", "v1", image_id, path, batch_id, "local", "m", "", 8, 8, ())


def compared(made: World, folder: Path) -> Result:
    """Land a pilot and compare its arms by the command line."""
    store = made.land(Store(str(folder)))
    assert CliRunner().invoke(app, ["pilot", "status", "--store", str(store.root)]).exit_code == 0
    words = ["pilot", "compare", "--dataset", "d", "--name", "spring", "--format", "json"]
    return CliRunner().invoke(app, [*words, "--store", str(store.root)])


@pytest.mark.parametrize(
    ("changed", "verdict", "said"),
    [
        ({"active_seconds": 10.0}, "inconclusive", "every review took 10 s: that was not measured"),
        (
            {"image_id": "i0001"},
            "running",
            "1 of 60 images have both reviews; figures come with the last",
        ),
    ],
)
def test_what_was_not_measured_has_no_figure(tmp_path: Path, changed: dict[str, Any], verdict: str, said: str) -> None:
    """Identical times, and reviews of one image alone, are null with a reason and no verdict.

    Before a look is due it runs: "inconclusive" from one image took the place of an earlier pilot's verdict in routing.
    """
    made = world()
    if "image_id" in changed:
        made.rows["reviews"] = [row for row in made.rows["reviews"] if row["image_id"] == changed["image_id"]]
    for one in made.rows["reviews"]:
        one.update(changed)
    result = compared(made, tmp_path)
    assert result.exit_code == 0, result.output
    [row] = json.loads(result.stdout)
    assert (row["verdict"], row["winner"], row["ratio"], row["p_value"]) == (verdict, None, None, None)
    assert said in row["sentence"]


def test_drafts_against_none_have_a_saving_and_no_verdict(tmp_path: Path) -> None:
    """A pilot of one arm and the blind one could be planned, and comparing it broke: what drafts save is said."""
    result = compared(world(arms=("local", "blind"), models=("small", "")), tmp_path)
    assert result.exit_code == 0, result.output
    [row] = json.loads(result.stdout)
    assert row["arm"] == "local"
    assert row["saving_low"] < row["saving"] < row["saving_high"] < 0
    assert read_rows(Store(str(tmp_path)), "pilot_contrasts") == []


def test_an_empty_arm_and_a_person_on_both_arms_are_errors(tmp_path: Path) -> None:
    """Neither gives a figure: the arm and the person are named in one line, and status still tells how far it is."""
    empty, both = world(), world()
    empty.rows["reviews"] = [row for row in empty.rows["reviews"] if row["arm"] != "cloud"]
    for row in both.rows["reviews"]:
        row["reviewer"] = "ann"
    for name, made, said in (
        ("empty", empty, "no measured review under cloud"),
        ("both", both, "Reviewer ann reviewed image"),
    ):
        result = compared(made, tmp_path / name)
        assert result.exit_code == 1
        assert said in result.stderr
        assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": -1}, "expected 0 or more"),
        *(
            ({"name": name}, "allowed are 1 to 200 printable")
            for name in ("", " ", " spring", "a\nb", "\x1b[2J", "a" * 201)
        ),
    ],
)
def test_a_pilot_that_cannot_be_declared_plans_nothing(changed: dict[str, Any], said: str) -> None:
    """A seed below 0 is refused by the one who asks, and a name that nobody can read or type: each was planned."""
    with pytest.raises(PilotError, match=said):
        Asked(**{"name": "spring", "arms": ("local", "cloud"), "reference": "local", "reviewers": ("ann",), **changed})
