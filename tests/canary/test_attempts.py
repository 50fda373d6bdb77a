"""Ten thousand attempts to send restricted bytes through the gate, its lane and its client: not one canary arrives."""

from __future__ import annotations

from pathlib import Path

import pytest

from labelop.egress.audit import entries, verify
from tests.canary.attempts import Battery, swap_policy_file
from tests.canary.capture import inference_server
from tests.canary.results import keep
from tests.canary.world import World, make_world

ATTEMPTS = 12_000  # of which more than one in ten are of public pictures, the control

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Make a world and take its datasets in."""
    made = make_world(tmp_path)
    made.ingest()
    return made


@pytest.mark.slow
def test_no_canary_arrives_in_ten_thousand_attempts(world: World) -> None:
    """Forced, forged, borrowed, swapped and repeated sends: public pixels arrive, and of the restricted nothing."""
    with inference_server(world.catalog, world.settings, world.far_end(), fails_every=7) as (url, kept):
        battery = Battery(world, url, seed=1)
        battery.forged_batches(tries=20)
        battery.many(ATTEMPTS)
        swap_policy_file(world, battery.policy)
        battery.forged_batches(tries=3)
        arrived = kept.all()
    hits = world.search.hits(arrived)
    keep("attempts", {"by_way": dict(battery.counts), "ended": dict(battery.ended), "canaries_found": len(hits)})
    assert battery.counts.total() >= ATTEMPTS
    assert len(battery.counts) == 9, f"a way was never tried: {sorted(battery.counts)}"
    assert hits == set()
    seen = {hit.picture for hit in world.control.hits(arrived)}
    assert seen == {one.name for one in battery.open}
    assert verify(world.folder / "audit.jsonl").cause == ""
    lines = [one for one in entries(world.folder / "audit.jsonl") if one.get("placement") == "cloud"]
    assert {one["level"] for one in lines if one["answer"] == "allow"} == {"public"}


def test_each_way_is_stopped(world: World) -> None:
    """The same in small, so that every change is checked: no way gets through, and the control is seen."""
    with inference_server(world.catalog, world.settings, world.far_end(), fails_every=5) as (url, kept):
        battery = Battery(world, url, seed=2)
        battery.many(300)
        battery.forged_batches(tries=2)
        arrived = kept.all()
    assert world.search.hits(arrived) == set()
    assert world.control.hits(arrived)
    assert battery.ended["withheld level"] > 0, "the door was not even reached"
