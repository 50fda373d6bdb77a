"""A pilot that nobody will finish is ended by a person: who, when and why stay, and nothing waits for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from labelop.cli import app
from labelop.errors import PilotError, RoleError
from labelop.ids import canonical_json
from labelop.landing.store import Store, land, read_rows
from labelop.meter.plan import Shares, plan_bias
from labelop.pilot.ends import OVER, STOPPED, end_pilot
from labelop.pilot.plan import load_pilot, newest_pilot, plan_pilot
from labelop.pilot.protocol import Asked
from labelop.pilot.results import compare, land_contrasts
from labelop.queries import run_query
from labelop.review.tasks import load_tasks, tasks_to_give_out
from labelop.roles import NO_FILE, Roles
from labelop.routing.verdicts import newest_verdicts
from labelop.schemas import table, utc_now
from tests.unit.pilot.pilots import WHERE, world

MODELS = {"local": "small", "cloud": "large"}


def command(word: str, store: Store, *more: str) -> Result:
    """Run a command about the pilot."""
    words = ["pilot", word, "--dataset", "d", "--name", "spring", *more]
    return CliRunner().invoke(app, [*words, "--store", str(store.root)])


def half_done(folder: Path) -> Store:
    """Land a pilot of which every other image lacks its reviews, and a usual draft of each of its images."""
    made = world()
    images = sorted({row["image_id"] for row in made.rows["images"]})
    made.rows["reviews"] = [row for row in made.rows["reviews"] if row["image_id"] in images[::2]]
    for image_id in images:
        drafted: dict[str, Any] = {"arm": "local", "placement": "onprem", "batch_id": "usual", "role": "chosen"}
        made.put("prelabels", **WHERE, image_id=image_id, **drafted, model_id="m", outcome="ok", predictions=[])
    return made.land(Store(str(folder)))


def test_nothing_waits_for_a_pilot_that_was_stopped(tmp_path: Path) -> None:
    """Its images waited for ever, and its tasks stayed in the backlog: they are free, and it says by whom and why."""
    store = half_done(tmp_path)
    tasks = load_tasks(store, "d", "v1")
    assert len(tasks_to_give_out(store, "d", "v1", tasks)) == 30
    before = run_query(store, "review_backlog").to_pylist()
    assert sum(row["waiting_count"] for row in before) == 60 + 90
    done = command("stop", store, "--reason", "nobody has time", "--format", "json")
    assert done.exit_code == 0, done.output
    assert {row["ended"] for row in json.loads(done.stdout)} == {"stopped"}
    assert "pilot spring was stopped by" in command_status(store).stderr
    assert {task.batch_id for task in tasks_to_give_out(store, "d", "v1", tasks)} == {"usual"}
    assert len(tasks_to_give_out(store, "d", "v1", tasks)) == 60
    after = run_query(store, "review_backlog").to_pylist()
    assert [(row["arm"], row["waiting_count"]) for row in after] == [("local", 60)]
    unseen = plan_bias(store, "d", "r", shares=Shares(0.1, 0, 0), dataset_version="v1")
    assert unseen.images_count == 30, "the meter left them alone as well"
    again = command("stop", store, "--reason", "another word")
    assert "the first word stands" in again.stderr
    [row] = read_rows(store, "pilot_ends")
    assert (row["kind"], row["role"], row["reason"]) == ("stopped", "lead", "nobody has time")


def test_a_stopped_pilot_is_neither_planned_nor_compared_nor_gone_by(tmp_path: Path) -> None:
    """A verdict that landed before is no verdict any more, and further work on it is refused with the reason."""
    store = world().land(Store(str(tmp_path)))
    pilot = load_pilot(store, "d", "v1", "spring")
    land_contrasts(store, compare(store, pilot, resamples=99), "r1")
    assert newest_verdicts(store, "d", MODELS, with_simulated=False).pooled is not None
    known = utc_now()
    end_pilot(store, pilot.protocol, STOPPED, by="lena", roles=NO_FILE, run_id="r2", reason="the guideline changed")
    assert newest_verdicts(store, "d", MODELS, with_simulated=False).pooled is None
    assert newest_verdicts(store, "d", MODELS, with_simulated=False, before=known).pooled is not None, "history knew it"
    [shown] = run_query(store, "pilot_verdicts").to_pylist()
    assert shown["stopped"]
    refused = command("compare", store)
    assert refused.exit_code == 1
    assert "was stopped by lena" in refused.stderr
    assert "the guideline changed" in refused.stderr
    said = command_status(store).stderr
    assert ": the guideline changed" in said
    assert "stop the pilot" not in said
    asked = Asked("spring", ("local", "cloud", "blind"), "local", ("ann",))
    plain: dict[str, Any] = {"decisions": (), "arms": {}, "policy": None, "batch_images": 1, "run_id": "r3"}
    with pytest.raises(PilotError, match="was stopped"):
        plan_pilot(store, "d", "v1", asked, **plain)


def command_status(store: Store) -> Result:
    """Ask how far the pilots are."""
    return CliRunner().invoke(app, ["pilot", "status", "--store", str(store.root)])


def test_over_is_remembered(tmp_path: Path) -> None:
    """A later look without --over was running again, and tasks that nobody would do went on waiting."""
    made = world()
    late = [row for row in made.rows["reviews"] if row["arm"] == "cloud"][:6]
    made.rows["reviews"] = [row for row in made.rows["reviews"] if row not in late]
    store = made.land(Store(str(tmp_path)))
    assert command("compare", store, "--over").exit_code == 0
    ends = load_pilot(store, "d", "v1", "spring").ends
    assert list(ends) == [OVER]
    assert run_query(store, "review_backlog").to_pylist() == []
    [again] = json.loads(command("compare", store, "--format", "json").stdout)
    assert (again["verdict"], again["exploratory"]) == ("superior", False)
    assert newest_verdicts(store, "d", MODELS, with_simulated=False).pooled is not None


def test_a_pilot_of_which_most_is_missing_is_not_over(tmp_path: Path) -> None:
    """Half of its reviews are no end: nothing is kept, and the command says so."""
    store = half_done(tmp_path)
    said = command("compare", store, "--over")
    assert "more than 20 % of the reviews are missing" in said.stderr
    assert read_rows(store, "pilot_ends") == []


def test_who_may_end_a_pilot_and_with_which_words(tmp_path: Path) -> None:
    """It takes an operator or a lead, and a reason that a person can read."""
    store = world().land(Store(str(tmp_path)))
    protocol = newest_pilot(store, "d", "spring").protocol
    with pytest.raises(RoleError, match="'ann' may not end a pilot: roles analyst, expected operator or lead"):
        end_pilot(store, protocol, OVER, by="ann", roles=Roles({}, frozenset({"analyst"})), run_id="r")
    for reason in (None, "", " ", "a\nb"):
        with pytest.raises(PilotError, match="The reason to stop a pilot is"):
            end_pilot(store, protocol, STOPPED, by="ann", roles=NO_FILE, run_id="r", reason=reason)
    with pytest.raises(PilotError, match="'autumn' of d is not declared; expected one of \\['spring'\\]"):
        newest_pilot(store, "d", "autumn")
    assert read_rows(store, "pilot_ends") == []


def test_a_pilot_of_an_earlier_version_can_be_stopped(tmp_path: Path) -> None:
    """Its verdict counts for later versions as well, so it is found by its name alone; of two the newer one is."""
    store = world().land(Store(str(tmp_path)))
    [old] = read_rows(store, "pilots")
    protocol = json.loads(old["protocol"]) | {"dataset_version": "v0"}
    row = dict.fromkeys(table("pilots").schema.names) | old
    row |= {"pilot_id": "p0", "dataset_version": "v0", "protocol": json.dumps(protocol)}
    land(store, "pilots", [row | {"landed_at": utc_now()}], key="later")
    assert newest_pilot(store, "d", "spring").protocol.dataset_version == "v0"


def test_a_finished_pilot_is_compared_after_the_dataset_has_changed(tmp_path: Path) -> None:
    """The next night's version hid it: comparing said that it is not declared, and to plan a second one."""
    made = world()
    made.put("images", dataset="d", dataset_version="v2", image_id="new", path="new.png", outcome="ok")
    store = made.land(Store(str(tmp_path)))
    said = command("compare", store, "--format", "json")
    assert said.exit_code == 0, said.output
    assert [row["verdict"] for row in json.loads(said.stdout)] == ["superior"]


def test_a_name_is_one_pilot_whatever_version_comes(tmp_path: Path) -> None:
    """Planning it again after a new version drew a second one, and what had been reviewed was lost behind it."""
    store = world().land(Store(str(tmp_path)))
    asked = Asked("spring", ("local", "cloud", "blind"), "local", ("ann",))
    plain: dict[str, Any] = {"decisions": (), "arms": {}, "policy": None, "batch_images": 1, "run_id": "r"}
    with pytest.raises(PilotError, match="of another version of d than v2") as refused:
        plan_pilot(store, "d", "v2", asked, **plain)
    assert "another name" in str(refused.value.hint)


def test_the_margin_declared_last_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A margin that was declared before the present one could not be declared again: nothing was said nor done."""
    made = world()
    asked = Asked("spring", ("local", "cloud", "blind"), "local", ("ann",))
    made.rows["pilots"][0]["asked"] = canonical_json(asked.design)
    monkeypatch.setattr("labelop.pilot.plan.load_plan", lambda *_: None)
    store = made.land(Store(str(tmp_path)))
    plain: dict[str, Any] = {"decisions": (), "arms": {}, "policy": None, "batch_images": 1, "run_id": "r"}
    for margin in (0.2, 0.1, 0.2, 0.2):
        again = replace(asked, declared={"time_margin": margin})
        assert plan_pilot(store, "d", "v1", again, **plain)[0].protocol.time_margin == margin
    assert len(read_rows(store, "pilots")) == 1 + 3
