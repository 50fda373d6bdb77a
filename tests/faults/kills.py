"""Kill a worker with SIGKILL again and again at random moments until a run has landed; readers look on all the time."""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from tests.faults import journey
from tests.faults import world as worlds
from tests.faults.proxy import BUCKET, s3_server
from tests.faults.reader import keep_reading
from tests.faults.results import kept
from tests.faults.world import (
    World,
    answered,
    draw_originals,
    forked,
    hash_tree,
    kill,
    landed_exactly_once,
    make_world,
)

Way: TypeAlias = Callable[[Path, int, int, int], dict[str, int | float]]

POLL_SECONDS = 0.05
BATCH_IMAGES = 32
_SMALL_BATCH_IMAGES = 8
"""Where most of a life goes before its first batch, and then all of them come fast."""
_FIRST_LIFE_SECONDS = 1.0
_AIM = 0.7
"""Share of the batches at the last kill: a lucky life before it must not end the run while kills are left."""


def run(
    world: World, kills: int, seed: int, *, group_images: int = BATCH_IMAGES, life: Callable[[], object] | None = None
) -> dict[str, int | float]:
    """Kill until the kills are used up and the run has landed; gives what was counted, asserts what must hold.

    Args:
        world: What has to land.
        kills: How often.
        seed: Draws the moments.
        group_images: Images that a worker lands at once.
        life: What a worker does; the plan's batches when None, else also what comes before them.
    """
    before = hash_tree(world.source)
    reading, writing = os.pipe()
    said, telling = os.pipe()

    def look() -> None:
        os.close(writing)
        os.write(telling, json.dumps(keep_reading(world, POLL_SECONDS, reading)).encode())

    reader = forked(look)
    counts = _lives(world, kills, random.Random(seed), life or (lambda: worlds.work(world, group_images)))
    os.close(writing)
    assert os.waitpid(reader, 0)[1] == 0
    images = sum(map(len, world.batches.values()))
    found: dict[str, int | float] = {"images_count": images, "batches_count": len(world.batches), "seed": seed}
    found |= counts | answered(lambda: landed_exactly_once(world))
    if life:
        found |= answered(lambda: journey.taken_in_once(world))
    views: dict[str, int | float] = json.loads(os.read(said, 1000))
    found |= views | {"originals_changed_count": int(hash_tree(world.source) != before)}
    wrong = {
        name: found[name]
        for name in found
        if name.startswith(("lost", "doubled", "foreign", "partial", "shrink", "orig"))
    }
    assert not any(wrong.values()), wrong
    return found


def on_folder(folder: Path, images: int, kills: int, seed: int) -> dict[str, int | float]:
    """Kill workers of a planned run whose tables are in a folder."""
    environment = worlds.quiet({"store": folder / "store", "data_docs": folder / "docs"})
    return run(answered(lambda: make_world(folder, images, BATCH_IMAGES, environment)), kills, seed)


def on_objects(folder: Path, images: int, kills: int, seed: int) -> dict[str, int | float]:
    """Kill workers of a planned run whose tables are objects."""
    with s3_server() as address:
        where = {"store": f"s3://{BUCKET}/tables", "s3_endpoint": address, "s3_key": "k", "s3_secret": "s"}
        environment = worlds.quiet({**where, "data_docs": folder / "docs"})
        world = answered(lambda: make_world(folder, images, _SMALL_BATCH_IMAGES, environment))
        return run(world, kills, seed, group_images=_SMALL_BATCH_IMAGES)


def from_files(folder: Path, images: int, kills: int, seed: int) -> dict[str, int | float]:
    """Kill workers that begin with the files: while they ingest, classify, plan and prelabel."""

    def settings(name: str) -> dict[str, str]:
        return worlds.quiet({"store": folder / name, "data_docs": folder / "docs"})

    draw_originals(folder, images)
    source = folder / "source"
    quiet = answered(lambda: journey.go(settings("quiet"), source, _SMALL_BATCH_IMAGES))
    world = replace(quiet, environment=settings("store"))
    return run(world, kills, seed, life=lambda: journey.go(world.environment, source, _SMALL_BATCH_IMAGES))


def _lives(world: World, kills: int, draw: random.Random, life: Callable[[], object]) -> dict[str, int]:
    """Start workers and kill them. How long they live follows how far the run is, so that kills fall all over it."""
    longest, hits, landed = _FIRST_LIFE_SECONDS, 0, 0
    while hits < kills:
        pid = forked(life)
        time.sleep(draw.uniform(0, longest))
        hits += kill(pid)
        landed = len(answered(lambda: worlds.rows_by_batch(world)[0]))
        longest *= 1.1 if landed / len(world.batches) < _AIM * hits / kills else 0.9
        if landed == len(world.batches):
            break  # a kill of a worker with nothing to do proves nothing
    pid = forked(life)
    assert os.waitpid(pid, 0)[1] == 0
    return {"kills_count": hits, "landed_before_last_life_count": landed}


WAYS: dict[str, tuple[Way, str, float, int]] = {
    "random-kills": (on_folder, "a run in a folder", 1.0, 10_000),
    "random-kills-s3": (on_objects, "a run on S3", 0.1, 1_000),
    "random-kills-ingest": (from_files, "a run that begins with the files", 0.1, 640),
}
"""What is killed, in words, its kills as a share of what is asked for, and most of its images."""


def main() -> None:
    """Run it in the size that is asked for."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("way", nargs="*", help=f"all when left out: {', '.join(WAYS)}")
    given.add_argument("--images", type=int, default=10_000)
    given.add_argument("--kills", type=int, default=500, help="in a folder; the other ways have a tenth of it each")
    given.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    size = given.parse_args()
    worlds.decode_here()
    for name in size.way or WAYS:
        way, words, share, most = WAYS[name]
        done = f"Workers of {words} were killed with SIGKILL at random moments, started again; a reader looked on"
        with tempfile.TemporaryDirectory(prefix="labelop-kills-") as folder, kept(name, done) as counts:
            counts.update(way(Path(folder), min(size.images, most), max(1, round(size.kills * share)), size.seed))


if __name__ == "__main__":
    main()
