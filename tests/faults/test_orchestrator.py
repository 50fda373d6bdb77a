"""Faults of the orchestrator against a real server, in a small size; `make faults` does all of them in full size."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.orchestrator import disturb
from tests.faults.resume_scan import scan
from tests.faults.rig import Rig, rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server() -> Iterator[Rig]:
    """Give one server for all; the automation waits 15 s, which is less than a heartbeat and enough for who is dead."""
    with rig(images=24, zombie_seconds=15) as made:
        yield made


@pytest.mark.parametrize("fault", ["worker-and-child-killed", "cancelled-in-prefect"])
def test_a_disturbed_run_is_resumed_to_the_same_tables(server: Rig, fault: str) -> None:
    """After the fault and `labelop resume` the tables equal an undisturbed run's, and no landed batch is done again."""
    counts = disturb(server, fault, away_seconds=5)
    assert 0 < int(counts["landed_after_the_fault"]) < int(counts["batches"])


def test_a_resumed_run_finds_what_is_missing_in_a_manifest(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The scan names exactly the batches that have not landed; its seconds are measured by `make faults`."""
    counts = scan(5_000, str(tmp_path_factory.mktemp("scan")))
    assert (counts["batches"], counts["batches_landed"], counts["batches_missing"]) == (20, 10, 10)
