"""One dataset of two sources, of which a pilot sends one to the cloud and leaves the other on premises."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.explain import explain_image
from labelop.landing.store import Store, land, read_rows
from labelop.schemas import table, utc_now
from tests.approved import approve_all
from tests.small_sample import make_dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PILOT = ("--dataset", "smears", "--name", "places")
SECONDS = {("north", "local"): 120.0, ("north", "cloud"): 20.0, ("south", "local"): 40.0, ("south", "cloud"): 40.0}


def run(*words: str, store: Store) -> Any:
    """Run a command and read its JSON."""
    result = CliRunner().invoke(app, [*words, "--store", str(store.root), "--format", "json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output[-2000:]
    return json.loads(result.stdout[result.stdout.index("[") :])


def two_sources(folder: Path) -> Path:
    """Write drawn images into two folders by turns; three quarters are declared public."""
    make_dataset("smears", folder / "flat", 44)
    made, lines = folder / "smears", ["file_name,level"]
    for number, path in enumerate(sorted((folder / "flat" / "images").iterdir())):
        source = ("north", "south")[number % 2]
        (made / source).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, made / source)
        lines.append(f"{source}/{path.name},{'restricted' if number // 2 % 4 == 3 else 'public'}")
    (made / "levels.csv").write_text("\n".join(lines) + "\n")
    return made


def review(store: Store) -> None:
    """Let everybody review what was asked: drafts of the cloud save time in the north only."""
    source_of = {row["image_id"]: row["path"].split("/")[0] for row in read_rows(store, "images")}
    rows = []
    for number, task in enumerate(read_rows(store, "pilot_assignments")):
        drawn = 0.2 * math.sin(int(task["image_id"][:6], 16) + 5 * (task["arm"] == "cloud"))
        shared = {key: task[key] for key in ("dataset", "dataset_version", "image_id", "arm", "batch_id", "reviewer")}
        took = SECONDS[source_of[task["image_id"]], task["arm"]] * math.exp(drawn)
        rows.append(
            dict.fromkeys(table("reviews").schema.names)
            | shared
            | {"review_id": f"r{number}", "decision": "approved", "labels": [], "active_seconds": took}
            | {"effort_source": "measured", "simulated": False, "run_id": "r", "landed_at": utc_now()}
        )
    land(store, "reviews", rows, key="reviews")
    approve_all(store)


@pytest.fixture(scope="module")
def piloted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Any]:
    """Pilot two sources, and draft the dataset by what it proved."""
    folder = tmp_path_factory.mktemp("places")
    store = Store(str(folder / "store"))
    run("ingest", str(two_sources(folder)), *PILOT[:2], "--ontology", "cells", store=store)
    people = ("--reviewer", "7", "--reviewer", "8", "--reviewer", "9", "--arm", "local", "--arm", "cloud")
    run("pilot", "plan", *PILOT, *people, "--images", "22", "--verdict-by", "source", store=store)
    review(store)
    compared = run("pilot", "compare", *PILOT, store=store)
    run("prelabel", *PILOT[:2], store=store)
    return store, compared


def test_each_source_goes_by_its_own_verdict(piloted: tuple[Store, Any]) -> None:
    """Images of one level are drafted in the cloud from one source and here from the other; restricted ones here."""
    store, compared = piloted
    verdicts = {row["stratum"]: (row["verdict"], row["winner"]) for row in compared}
    assert verdicts["source north"] == ("superior", "cloud")
    assert verdicts["source south"][1] is None
    assert set(verdicts) == {"all", "source north", "source south"}
    source_of = {row["image_id"]: row["path"].split("/")[0] for row in read_rows(store, "images")}
    level_of = {row["image_id"]: row["level"] for row in read_rows(store, "levels")}
    chosen = Counter(
        (level_of[row["image_id"]], source_of[row["image_id"]], row["placement"])
        for row in read_rows(store, "prelabels")
        if row["role"] == "chosen"
    )
    places = {(level, source): place for level, source, place in chosen}
    assert len(places) == len(chosen)
    assert (places["public", "north"], places["public", "south"]) == ("cloud", "onprem")
    assert (places["restricted", "north"], places["restricted", "south"]) == ("onprem", "onprem")


def test_the_decision_says_why(piloted: tuple[Store, Any]) -> None:
    """It names stratum, verdict, interval and runner-up, and one image's explanation shows the one about it alone."""
    store, compared = piloted
    north = next(row for row in compared if row["stratum"] == "source north")
    decided = run("query", "decisions", "--param", "dataset=smears", store=store)
    [public] = [
        row for row in decided if (row["level"], row["stratum"], row["role"]) == ("public", "source north", "chosen")
    ]
    assert "In stratum 'source north': Cloud is superior to local" in public["reason"]
    [landed] = [
        row for row in read_rows(store, "decisions") if row["reason"] == public["reason"] and row["role"] == "chosen"
    ]
    assert (landed["contrast_id"], landed["ratio_low"]) == (north["contrast_id"], north["ratio_low"])
    assert landed["runner_up"] == "local"
    image = next(row for row in read_rows(store, "images") if row["path"].startswith("south/"))
    told = explain_image(store, image["image_id"])["decisions"]
    assert {row["stratum"] for row in told} == {None, "source south"}  # before the pilot, and since


def test_a_stratum_too_small_for_any_verdict_is_refused(piloted: tuple[Store, Any]) -> None:
    """A few images of each source prove nothing: the pilot is refused with how many there are and are needed."""
    store, _ = piloted
    people = ("--reviewer", "7", "--reviewer", "8", "--arm", "local", "--arm", "cloud")
    asked = ("--dataset", "smears", "--name", "small", *people, "--images", "12", "--verdict-by", "source")
    refused = CliRunner().invoke(app, ["pilot", "plan", *asked, "--store", str(store.root)])
    assert refused.exit_code == 1
    said = " ".join(refused.output.replace("│", " ").split())
    assert re.search(r"'source north' \d \(of \d+ candidates\)", said)
    assert "at least 10 of each are needed" in said
