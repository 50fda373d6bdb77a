"""Do a run against an object store that is busy, refuses and breaks off, and compare it with a quiet one."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from labelop.landing.compare import differences
from tests.faults import world as worlds
from tests.faults.proxy import BUCKET, Behaviour, proxy, s3_server
from tests.faults.results import Count, kept
from tests.faults.world import World, forked, landed_exactly_once, make_world, work

BATCH_IMAGES = 8


def run(folder: Path, images: int) -> dict[str, Count]:
    """Do the run twice, through the bad way and on a folder; gives what was counted, asserts what must hold."""
    drawn: dict[str, int] = {}
    with _servers(drawn) as (good, bad):
        objects = {"s3_key": "k", "s3_secret": "s", "store": f"s3://{BUCKET}/tables"}
        through = _done(folder / "bad", images, {**objects, "s3_endpoint": bad}, (f"s3://{BUCKET}/originals", good))
        quiet = _done(folder / "quiet", images, {"store": folder / "quiet" / "store"}, None)
        _forget_settings()
        looked_at = replace(through, environment={**through.environment, "LABELOP_S3_ENDPOINT": good})
        found: dict[str, Count] = {"images_count": images, **landed_exactly_once(looked_at)}
        store = looked_at.store
        _forget_settings()
        differing = differences(store, quiet.store, ["prelabels"])
    assert not differing, differing
    assert found["lost_count"] == found["doubled_count"] == 0, found
    found["tables_that_differ_count"] = len(differing)
    names = ("requests", "conditional", "unavailable", "conflict", "truncated")
    found |= {
        f"{name}_requests_count" if name != "requests" else "requests_count": drawn.get(name, 0) for name in names
    }
    for name in names[2:]:
        assert found[f"{name}_requests_count"], f"nothing was {name}"
    return found


@contextmanager
def _servers(drawn: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Run store and proxy in a process of its own; gives both addresses, and fills in what was drawn at the end.

    Some calls of the table library wait for the network and let no other thread of their process run.
    """
    ours, theirs = os.pipe(), os.pipe()

    def serve() -> None:
        os.close(ours[1])
        behaviour = Behaviour(unavailable_share=0.30, conflict_share=0.05, truncated_share=0.05)
        with s3_server() as good, proxy(good, behaviour) as bad, os.fdopen(theirs[1], "w", buffering=1) as answers:
            answers.write(f"{good} {bad}\n")
            os.read(ours[0], 1)
            answers.write(json.dumps(behaviour.counts) + "\n")

    pid = forked(serve)
    os.close(theirs[1])
    os.close(ours[0])
    with os.fdopen(theirs[0]) as answers:
        good, bad = answers.readline().split()
        yield good, bad
        os.close(ours[1])
        drawn.update(json.loads(answers.readline()))
    os.waitpid(pid, 0)


def _done(folder: Path, images: int, given: dict[str, object], source: tuple[str, str] | None) -> World:
    _forget_settings()
    world = make_world(folder, images, BATCH_IMAGES, worlds.quiet({**given, "data_docs": folder / "docs"}), source)
    work(world, BATCH_IMAGES)
    return world


def _forget_settings() -> None:
    for name in [name for name in os.environ if name.startswith("LABELOP_")]:
        del os.environ[name]


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
