"""Do a run against an object store that is busy, refuses and breaks off, and compare it with a quiet one."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from labelop.landing.compare import differences
from labelop.landing.store import open_store
from labelop.settings import load_settings
from tests.faults import world as worlds
from tests.faults.proxy import BUCKET, Behaviour, proxy, s3_server
from tests.faults.results import Count, kept
from tests.faults.world import World, landed_exactly_once, make_world, work

BATCH_IMAGES = 8


def run(folder: Path, images: int) -> dict[str, Count]:
    """Do the run twice, through the bad way and on a folder; gives what was counted, asserts what must hold."""
    behaviour = Behaviour(unavailable_share=0.30, conflict_share=0.05, truncated_share=0.05)
    with s3_server() as upstream, proxy(upstream, behaviour) as address:
        objects = {"s3_endpoint": address, "s3_key": "k", "s3_secret": "s", "store": f"s3://{BUCKET}/tables"}
        bad = _done(folder / "bad", images, {**objects}, f"s3://{BUCKET}/originals")
        drawn = dict(behaviour.counts)
        behaviour.unavailable_share = behaviour.conflict_share = behaviour.truncated_share = 0.0
        found: dict[str, Count] = {"images_count": images, **landed_exactly_once(bad)}
        store = bad.store
        quiet = _done(folder / "quiet", images, {"store": folder / "quiet" / "store"}, "")
        differing = differences(store, quiet.store, ["prelabels"])
    assert not differing, differing
    assert found["lost_count"] == found["doubled_count"] == 0, found
    return found | {
        f"{name}_count": drawn.get(name, 0) for name in ("requests", "unavailable", "conflict", "truncated")
    }


def _done(folder: Path, images: int, given: dict[str, object], source_uri: str) -> World:
    for name in [name for name in os.environ if name.startswith("LABELOP_")]:
        del os.environ[name]
    world = make_world(folder, images, BATCH_IMAGES, worlds.quiet({**given, "data_docs": folder / "docs"}), source_uri)
    work(world, BATCH_IMAGES)
    assert open_store(load_settings()) == world.store
    return world


def main() -> None:
    """Run it in the size that is asked for."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--images", type=int, default=200)
    size = given.parse_args()
    worlds.decode_here()
    done = "Tables and originals in a store that answers 503 to 30 %, 409 to 5 % of writes and breaks off 5 % of bodies"
    with tempfile.TemporaryDirectory(prefix="labelop-bad-") as folder, kept("bad-store", done) as counts:
        counts.update(run(Path(folder), size.images))


if __name__ == "__main__":
    main()
