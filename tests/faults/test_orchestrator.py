"""Faults of the orchestrator against a real server, in a small size; `make faults` does all of them in full size."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import yaml

from deployments.automations import FILE, install
from tests.faults.orchestrator import disturb
from tests.faults.resume_scan import scan
from tests.faults.rig import HEARTBEAT_SECONDS, Rig, rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server() -> Iterator[Rig]:
    """Give one server for all, with the automation as it is shipped."""
    with rig(images=24, zombie_seconds=90, shard_batches=6) as made:
        yield made


@pytest.mark.parametrize("fault", ["slot-leaked", "cancelled-in-prefect"])
def test_a_disturbed_run_is_resumed_to_the_same_tables(server: Rig, fault: str) -> None:
    """After the fault and `labelop resume` the tables equal an undisturbed run's, and no landed batch is done again."""
    counts = disturb(server, fault, away_seconds=5)
    assert 0 < int(counts["landed_after_the_fault"]) < int(counts["batches"])


def test_the_automation_sees_a_run_that_fell_silent(server: Rig) -> None:
    """A run that was heard once and never again is made Crashed by the shipped rule, its window cut to seconds."""
    [automation] = yaml.safe_load(FILE.read_text())["automations"]
    assert automation["trigger"]["within"] >= 3 * HEARTBEAT_SECONDS
    automation["trigger"]["within"] = 10  # the least that a server takes
    install(server.api, [{**automation, "name": "soon"}])
    [flow] = server.post("/flows/filter", {"flows": {"name": {"any_": ["prelabel-dataset"]}}})
    run = server.post("/flow_runs/", {"flow_id": flow["id"], "state": {"type": "RUNNING"}})["id"]
    beat = {"event": "prefect.flow-run.heartbeat", "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"}}
    server.post("/events", [{"id": str(uuid4()), "occurred": datetime.now(UTC).isoformat(), "related": [], **beat}])
    assert server.until(lambda: server.state(run) == "CRASHED", 60)


def test_a_resumed_run_finds_what_is_missing_in_a_manifest(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The scan names exactly the batches that have not landed; its seconds are measured by `make faults`."""
    counts = scan(5_000, str(tmp_path_factory.mktemp("scan")))
    assert (counts["batches"], counts["batches_landed"], counts["batches_missing"]) == (20, 10, 10)
