"""Why a pilot stops is read from its reviews; its tasks go to the people they were assigned to."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.effort.estimates import Estimate
from labelop.ids import canonical_json
from labelop.landing.store import Store
from labelop.pilot import results
from labelop.pilot.plan import list_pilots
from labelop.review.tasks import in_force, load_tasks
from tests.unit.pilot.pilots import plan, protocol, reviewed
from tests.unit.report_rows import World

WHERE = {"dataset": "d", "dataset_version": "v1"}
GAPS = {"local": 0.4, "cloud": -0.4, "blind": 0.0}


def world(*, restricted: int = 0) -> World:
    """Land a pilot in which local drafts cost time; so many of its images are restricted and went to the cloud."""
    made, said = World(), protocol(images_count=60)
    batch_of = {"local": "b-local", "cloud": "b-cloud", "blind": said.pilot_id}
    declared = {"protocol": canonical_json(asdict(said)), "weights": canonical_json({"easy": 0.5, "hard": 0.5})}
    made.put("pilots", **WHERE, pilot_id=said.pilot_id, name=said.name, asked="{}", plan_id="plan", **declared)
    assigned = plan(said)
    for number, image_id in enumerate(sorted({one.image_id for one in assigned})):
        image = {**WHERE, "image_id": image_id}
        made.put("images", **image, path=f"{image_id}.png", outcome="ok", width_px=10, height_px=10)
        made.put("levels", **image, level="restricted" if number < restricted else "public")
        for arm, placement in (("local", "onprem"), ("cloud", "cloud")):
            drafted = {"arm": arm, "placement": placement, "batch_id": batch_of[arm], "role": "pilot"}
            made.put("prelabels", **image, **drafted, model_id="m", outcome="ok", predictions=[], simulated=False)
    timed = reviewed(assigned, GAPS, 5)
    for number, (one, review) in enumerate(zip(assigned, timed, strict=True)):
        image = {**WHERE, "image_id": one.image_id, "arm": one.arm, "batch_id": batch_of[one.arm]}
        shown = {"reviewer": one.reviewer, "stratum": one.stratum, "period": one.period, "position": one.position}
        made.put("pilot_assignments", **image, **shown, pilot_id=said.pilot_id)
        took = {"active_seconds": review.seconds, "effort_source": "measured", "simulated": False}
        known = {"review_id": f"r{number}", "reviewer": one.reviewer, "decision": "approved", "labels": []}
        made.put("reviews", **image, **known, **took)
    return made


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
    assert in_force(store, "d", "v1", tasks) == []
