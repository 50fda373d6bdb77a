"""A pilot from its plan to the verdict that routing goes by, on drawn images with simulated reviewers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.landing.store import Store, read_rows
from tests.small_sample import make_dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def run(*words: str, store: Store) -> Any:
    """Run a command and read its JSON."""
    result = CliRunner().invoke(app, [*words, "--store", str(store.root), "--format", "json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output[-2000:]
    return json.loads(result.stdout[result.stdout.index("[") :])


@pytest.fixture(scope="module")
def piloted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path, Any, Any]:
    """Take drawn images in, plan a pilot twice, compare its arms twice."""
    folder = tmp_path_factory.mktemp("pilot")
    make_dataset("smears", folder / "smears", 60)
    store = Store(str(folder / "store"))
    run("ingest", str(folder / "smears"), "--dataset", "smears", "--source-format", "coco", store=store)
    plan = ("pilot", "plan", "--dataset", "smears", "--name", "first", "--images", "30", "--simulate")
    run(*plan, "--output", str(folder / "tasks"), store=store)
    status = run(*plan, store=store)
    compare = ("pilot", "compare", "--dataset", "smears", "--name", "first")
    run(*compare, store=store)
    return store, folder, status, run(*compare, store=store)


def test_every_arm_is_drafted_and_reviewed(piloted: tuple[Store, Path, Any, Any]) -> None:
    """Both arms were really run, nobody saw an image twice, and planning again changed nothing."""
    store, folder, status, _ = piloted
    assert {row["arm"] for row in status} == {"local", "cloud", "blind"}
    assert all(row["asked_count"] == row["ready_count"] == row["measured_count"] > 0 for row in status)
    asked = read_rows(store, "pilot_assignments")
    assert max(Counter((row["reviewer"], row["image_id"]) for row in asked).values()) == 1
    assert len(read_rows(store, "pilots")) == 1
    drafted = [row for row in read_rows(store, "prelabels") if row["role"] == "pilot"]
    assert {(row["arm"], row["placement"]) for row in drafted} == {("local", "onprem"), ("cloud", "cloud")}
    files = sorted(path.name for path in (folder / "tasks").glob("*.json"))
    assert files == ["sim-a.json", "sim-b.json", "sim-c.json"]
    text = "".join(path.read_text() for path in (folder / "tasks").glob("*.json"))
    assert not any(word in text for word in ("cells-small", "cells-large", '"arm"', '"blind"'))


def test_the_verdict_is_landed_once_and_says_that_it_is_simulated(piloted: tuple[Store, Path, Any, Any]) -> None:
    """The larger model takes less correcting; comparing again lands nothing new."""
    store, _, _, said = piloted
    [row] = read_rows(store, "pilot_contrasts")
    assert (row["arm"], row["reference"], row["verdict"], row["winner"]) == ("cloud", "local", "superior", "cloud")
    assert row["simulated"]
    assert not row["exploratory"]
    assert 0 < row["ratio_low"] < row["ratio"] < row["ratio_high"] < 1
    assert row["saving"] > 0
    assert said[0]["sentence"] == row["sentence"]
    [asked] = run("query", "pilot_verdicts", store=store)
    assert (asked["pilot"], asked["verdict"], asked["ratio"]) == ("first", "superior", row["ratio"])


def test_routing_goes_by_the_verdict(piloted: tuple[Store, Path, Any, Any]) -> None:
    """The next decision about the dataset rests on the pilot and says so."""
    store, *_ = piloted
    decided = run("route", "--dataset", "smears", store=store)
    [public] = [row for row in decided if row["level"] == "public" and row["role"] == "chosen"]
    [contrast] = read_rows(store, "pilot_contrasts")
    assert public["contrast_id"] == contrast["contrast_id"]
    assert public["rule_id"] in {"pilot-superior", "pilot-open"}
    assert contrast["sentence"] in public["reason"]


def test_a_drawn_pilot_keeps_its_design(piloted: tuple[Store, Path, Any, Any]) -> None:
    """Other images under the same name are refused; another margin after the reviews makes it exploratory."""
    store, *_ = piloted
    plan = ["pilot", "plan", "--dataset", "smears", "--name", "first", "--simulate", "--store", str(store.root)]
    refused = CliRunner().invoke(app, [*plan, "--images", "24"])
    assert refused.exit_code == 1
    assert "was drawn with" in refused.output
    assert CliRunner().invoke(app, [*plan, "--images", "30", "--margin", "0.3"]).exit_code == 0
    [row] = run("pilot", "compare", "--dataset", "smears", "--name", "first", store=store)
    assert row["exploratory"]
    assert "Exploratory only" in row["sentence"]


def test_what_a_pilot_has_set_aside_is_no_other_pilots(piloted: tuple[Store, Path, Any, Any]) -> None:
    """A second pilot took all images of one under review and gave them to the same people.

    It says that it has fewer images than were asked for, which it kept to itself.
    """
    store, *_ = piloted
    plan = ["pilot", "plan", "--dataset", "smears", "--reviewer", "7", "--reviewer", "8", "--arm", "local"]
    plan += ["--arm", "blind", "--store", str(store.root)]
    opened = CliRunner().invoke(app, [*plan, "--name", "open", "--images", "6"])
    assert (opened.exit_code, "no more may be taken" in opened.stderr) == (0, False), opened.output
    rest = CliRunner().invoke(app, [*plan, "--name", "rest", "--images", "1000"])
    assert rest.exit_code == 0, rest.output
    pilot_of = {row["pilot_id"]: row["name"] for row in read_rows(store, "pilots")}
    taken: dict[str, set[str]] = {name: set() for name in pilot_of.values()}
    for row in read_rows(store, "pilot_assignments"):
        taken[pilot_of[row["pilot_id"]]].add(row["image_id"])
    assert len(taken["first"] | taken["open"] | taken["rest"]) == sum(map(len, taken.values()))
    assert f"pilot rest has {len(taken['rest'])} images, not 1000" in rest.stderr
