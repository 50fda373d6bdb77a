"""A site's nights and syncs, embedded: what may go to the cloud waits for the sync, and head office learns of both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from labelop.egress.environment import ONPREM, child_environment
from labelop.landing.store import Store, read_rows
from labelop.queries import run_checks, run_query
from labelop.schemas import TABLES
from labelop.site.answers import QUESTIONS
from tests.canary.world import PUBLIC, RESTRICTED, World, make_world
from tests.small_sample import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LABELOP = [sys.executable, "-c", "from labelop.cli import main; main()"]


def labelop(world: World, *arguments: str, offline: bool = False, fails: bool = False) -> str:
    """Run a command of the site; offline in a namespace that has no network, loopback included."""
    night = world.folder / "night.yaml"
    night.write_text(yaml.safe_dump(world.night()))
    named = world.environment(SITE="north", HEAD_STORE=str(world.folder / "head"), SITE_FOLDER=str(world.folder / "n"))
    named |= {"PYTHONPATH": str(ROOT)}
    env = child_environment(ONPREM, dict(os.environ), named) if offline else {**os.environ, **named}
    command = [*(["unshare", "-rn"] if offline else []), *LABELOP, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=250)
    assert (done.returncode != 0) is fails, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def night(world: World) -> str:
    """Do a night over both datasets in a place without any network."""
    arguments = ["--night", str(world.folder / "night.yaml"), "--report", str(world.folder / "report.html")]
    return labelop(world, "nightly", *arguments, "--batch-images", "4", offline=True)


def newest(head: Store, name: str, dataset: str) -> list[dict[str, object]]:
    """Give the newest answer of a dataset at head office, without what is added on the way."""
    rows = [row for row in read_rows(head, name) if row["dataset"] == dataset]
    last = max(row["run_id"] for row in rows if row["position"] == max(r["position"] for r in rows))
    added = {"site", "position", "run_id", "landed_at"}
    return [{k: v for k, v in row.items() if k not in added} for row in rows if row["run_id"] == last]


def summary(world: World) -> dict[str, dict[str, int]]:
    """Give the accounting of each dataset."""
    return {row["dataset"]: row for row in run_query(world.store, "run_summary").to_pylist()}


def test_a_night_without_a_network_and_its_later_sync(tmp_path: Path) -> None:
    """Offline restricted lands and the cloud's part is deferred; after the sync head office says what the site says."""
    world = make_world(tmp_path)
    night(world)
    offline = summary(world)
    assert offline[PUBLIC]["deferred_count"] > 0
    assert offline[RESTRICTED]["deferred_count"] == 0
    for row in offline.values():
        assert row["discovered_count"] == row["landed_count"] + row["quarantined_count"] + row["deferred_count"]
    assert {row["placement"] for row in read_rows(world.store, "prelabels")} == {"onprem"}
    assert [c.name for c in run_checks(world.store) if c.severity == "fail" and not c.passed] == []
    report = (tmp_path / "report.html").read_text()
    assert "files wait for a first run, reviewers or a sync" in report
    [waiting] = json.loads(labelop(world, "outbox", "show", "--format", "json", offline=True))
    # four answers of each dataset, and the work of the public one
    assert waiting["items_count"] == 2 * len(QUESTIONS) + 1
    # head office is away: everything waits
    assert "not there" in labelop(world, "sync", fails=True)
    (tmp_path / "head").mkdir()
    labelop(world, "sync")
    done = summary(world)
    assert [row["deferred_count"] for row in done.values()] == [0, 0]
    assert done[PUBLIC]["landed_count"] == offline[PUBLIC]["landed_count"] + offline[PUBLIC]["deferred_count"]
    assert "cloud" in {row["placement"] for row in read_rows(world.store, "prelabels")}
    head = Store(str(tmp_path / "head"))
    for name, question in QUESTIONS.items():
        for dataset in (PUBLIC, RESTRICTED):
            mine = run_query(world.store, question, {"dataset": dataset}).to_pylist()
            told = newest(head, name, dataset)
            assert told, (name, dataset)
            same = set(mine[0]) & set(told[0])
            assert [{k: row[k] for k in same} for row in told] == [{k: row[k] for k in same} for row in mine]
    everything = [str(row).encode() for name in TABLES for row in read_rows(head, name)]
    everything += [path.read_bytes() for path in (tmp_path / "head").rglob("*") if path.is_file()]
    assert world.secret.hits(everything) == set()
    # once more: nothing is done twice and nothing is told twice
    attempts = len(read_rows(world.store, "usage"))
    counts = {name: len(read_rows(head, name)) for name in QUESTIONS}
    labelop(world, "sync")
    assert len(read_rows(world.store, "usage")) == attempts
    assert {name: len(read_rows(head, name)) for name in QUESTIONS} == counts


def test_work_that_reviewers_cannot_absorb_goes_on_waiting(tmp_path: Path) -> None:
    """A sync that held it back took it out of the outbox, and no later sync did it."""
    world = make_world(tmp_path, restricted=1, public=4)
    night(world)
    (tmp_path / "head").mkdir()
    team = world.settings.config / "capacity.yaml"
    team.write_text("{schema: 1, reviewers: 0, hours_per_day: 6}")
    labelop(world, "sync")
    assert summary(world)[PUBLIC]["deferred_count"] == 4
    [waiting] = json.loads(labelop(world, "outbox", "show", "--format", "json"))
    assert waiting["items_count"] == 1
    team.unlink()
    labelop(world, "sync")
    assert summary(world)[PUBLIC]["deferred_count"] == 0
    assert json.loads(labelop(world, "outbox", "show", "--format", "json"))[0]["items_count"] == 0


def test_a_full_outbox_stops_the_night(tmp_path: Path) -> None:
    """Without room nothing is begun, the night says so and ends as failed; what waits is as it was."""
    world = make_world(tmp_path, restricted=1, public=1)
    (tmp_path / "n/outbox").mkdir(parents=True)
    for number in range(13):
        (tmp_path / f"n/outbox/{number + 1:016d}-rows-{number:02x}.item").write_bytes(b"{}\n")
    arguments = ["nightly", "--night", str(tmp_path / "night.yaml"), "--report", str(tmp_path / "report.html")]
    os.environ["LABELOP_OUTBOX_ITEMS"] = "16"
    try:
        said = labelop(world, *arguments, fails=True)
    finally:
        del os.environ["LABELOP_OUTBOX_ITEMS"]
    assert "holds 13 of 16 items" in said
    assert read_rows(world.store, "images") == []
    assert len(list((tmp_path / "n/outbox").glob("*.item"))) == 13
