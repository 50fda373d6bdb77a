"""Kill a worker with SIGKILL again and again at random moments until a run has landed; readers look on all the time."""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path

from tests.faults import world as worlds
from tests.faults.results import kept
from tests.faults.world import World, answered, forked, hash_tree, keep_reading, kill, landed_exactly_once, make_world

POLL_SECONDS = 0.05
BATCH_IMAGES = 32
_FIRST_LIFE_SECONDS = 1.0
_LOOK_EVERY = 5


def run(folder: Path, images: int, kills: int, seed: int) -> dict[str, int | float]:
    """Kill until the kills are used up and the run has landed; gives what was counted, asserts what must hold."""
    environment = worlds.quiet({"store": folder / "store", "data_docs": folder / "docs"})
    world = answered(lambda: make_world(folder, images, BATCH_IMAGES, environment))
    before = hash_tree(world.source)
    reading, writing = os.pipe()
    said, telling = os.pipe()

    def look() -> None:
        os.close(writing)
        os.write(telling, json.dumps(keep_reading(world, POLL_SECONDS, reading)).encode())

    reader = forked(look)
    counts = _lives(world, kills, random.Random(seed))
    os.close(writing)
    assert os.waitpid(reader, 0)[1] == 0
    found: dict[str, int | float] = {"images_count": images, "batches_count": len(world.batches), "seed": seed}
    found |= counts | answered(lambda: landed_exactly_once(world))
    views: dict[str, int] = json.loads(os.read(said, 1000))
    found |= views | {"originals_changed_count": int(hash_tree(world.source) != before)}
    wrong = {
        name: found[name]
        for name in found
        if name.startswith(("lost", "doubled", "foreign", "partial", "shrink", "orig"))
    }
    assert not any(wrong.values()), wrong
    return found


def _lives(world: World, kills: int, draw: random.Random) -> dict[str, int]:
    """Start workers and kill them. How long they live follows how far the run is, so that kills fall all over it."""
    longest, hits, landed = _FIRST_LIFE_SECONDS, 0, 0
    while hits < kills:
        pid = forked(lambda: worlds.work(world, BATCH_IMAGES))
        time.sleep(draw.uniform(0, longest))
        hit = kill(pid)
        hits += hit
        if not hit or hits % _LOOK_EVERY == 0:
            landed = len(answered(lambda: worlds.rows_by_batch(world)[0]))
        longest *= 1.1 if landed / len(world.batches) < hits / kills else 0.9
        if landed == len(world.batches):
            break  # a kill of a worker with nothing to do proves nothing
    pid = forked(lambda: worlds.work(world, BATCH_IMAGES))
    assert os.waitpid(pid, 0)[1] == 0
    return {"kills_count": hits, "landed_before_last_life_count": landed}


def main() -> None:
    """Run it in the size that is asked for."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--images", type=int, default=10_000)
    given.add_argument("--kills", type=int, default=500)
    given.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    size = given.parse_args()
    worlds.decode_here()
    done = "A worker of a run was killed with SIGKILL at random moments, started again each time; a reader looked on"
    with tempfile.TemporaryDirectory(prefix="labelop-kills-") as folder, kept("random-kills", done) as counts:
        counts.update(run(Path(folder), size.images, size.kills, size.seed))


if __name__ == "__main__":
    main()
