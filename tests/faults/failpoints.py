"""Kill a worker at every single change of its store, on a folder and on an object store, and let the next one go on."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from labelop.landing.upkeep import maintain
from tests.faults import world as worlds
from tests.faults.deaths import WHY_NOT, die_at
from tests.faults.proxy import BUCKET, Behaviour, proxy, s3_server
from tests.faults.results import Count, kept
from tests.faults.world import World, answered, forked, hash_tree, landed_exactly_once, make_world, partial_batches

IMAGES, BATCH_IMAGES = 6, 2


def _life(world: World) -> None:
    """Do everything that changes tables: make them, land batch by batch, keep them small."""
    worlds.work(world, BATCH_IMAGES)
    maintain(world.store, retention_hours=0)


def _checked(world: World, folder: Path, before: str, counts: Counter[str]) -> None:
    """Look at what a killed worker left, let another one finish, and see that nothing is lost or doubled."""
    counts["partial_views_count"] += bool(answered(lambda: partial_batches(world)))
    pid = forked(lambda: _life(world))
    assert os.waitpid(pid, 0)[1] == 0, "the worker after the killed one failed; its words are above"
    counts.update(answered(lambda: landed_exactly_once(world)))
    counts["partial_views_count"] += bool(answered(lambda: partial_batches(world)))
    counts["originals_changed_count"] += hash_tree(folder / "source") != before
    counts["deaths_count"] += 1
    wrong = {name: count for name, count in counts.items() if name != "deaths_count" and count}
    assert not wrong, wrong


def on_folder(folder: Path, every: int) -> dict[str, Count]:
    """Die before every n-th change of a file below a folder store."""
    fresh, store = folder / "fresh", folder / "store"
    made = answered(lambda: make_world(folder, IMAGES, BATCH_IMAGES, _settings(folder, {"store": fresh})))
    world, before = replace(made, environment=_settings(folder, {"store": store})), hash_tree(made.source)
    shutil.copytree(fresh, store)
    changes, counts = die_at(lambda: _life(world), store, None), Counter[str]()
    for number in range(1, len(changes) + 1, every):
        shutil.rmtree(store)
        shutil.copytree(fresh, store)
        die_at(lambda: _life(world), store, number)
        _checked(world, folder, before, counts)
    return {**counts, "changes_count": len(changes)}


def on_objects(folder: Path, every: int) -> dict[str, Count]:
    """Die before and after every n-th changing request to an object store."""
    counts = Counter[str]()
    with _faulty_server() as server:
        total = _one_on_objects(folder, server, "never", 0, counts)
        for number in range(1, total + 1, every):
            for moment in ("before", "after"):
                _one_on_objects(folder, server, moment, number, counts)
    return {**counts, "changes_count": total}


def _one_on_objects(
    folder: Path, server: tuple[str, Callable[[str], str]], moment: str, number: int, counts: Counter[str]
) -> int:
    """Let one worker die at one request; gives how many changing requests it made."""
    (address, tell), here = server, folder / f"{number}-{moment}"
    where = {"store": f"s3://{BUCKET}/{here.name}", "s3_endpoint": address, "s3_key": "k", "s3_secret": "s"}
    world = answered(lambda: make_world(here, IMAGES, BATCH_IMAGES, _settings(here, where)))
    before = hash_tree(world.source)
    waiting, go = os.pipe()

    def live() -> None:
        os.read(waiting, 1)  # whom to kill is said first
        _life(world)

    pid = forked(live)
    tell(f"{pid} {moment} {number}")
    os.write(go, b"x")
    status = os.waitpid(pid, 0)[1]
    done = int(tell("stop"))
    assert status == (0 if moment == "never" else signal.SIGKILL), status
    if moment != "never":
        _checked(world, here, before, counts)
    return done


@contextmanager
def _faulty_server() -> Iterator[tuple[str, Callable[[str], str]]]:
    """Run server and proxy in a process of its own; gives the address and the way to say who dies when."""
    ours, theirs = os.pipe(), os.pipe()

    def serve() -> None:
        behaviour = Behaviour()
        with s3_server() as upstream, proxy(upstream, behaviour) as address, os.fdopen(ours[0]) as orders:
            os.write(theirs[1], f"{address}\n".encode())
            while order := orders.readline().strip():
                done = behaviour.counts.pop("changes", 0)
                behaviour.watch = None if order == "stop" else _death(*order.split())
                os.write(theirs[1], f"{done}\n".encode())

    pid = forked(serve)
    os.close(ours[0])
    with os.fdopen(ours[1], "w", buffering=1) as orders, os.fdopen(theirs[0]) as answers:

        def tell(order: str) -> str:
            orders.write(order + "\n")
            return answers.readline().strip()

        yield answers.readline().strip(), tell
        orders.write("\n")
    os.waitpid(pid, 0)


def _death(pid: str, moment: str, number: str) -> Callable[[str, int], None]:
    def watch(what: str, count: int) -> None:
        if count == int(number) and what.startswith(moment):
            os.kill(int(pid), signal.SIGKILL)

    return watch


def _settings(folder: Path, given: Mapping[str, object]) -> dict[str, str]:
    return worlds.quiet({**given, "data_docs": folder / "docs"})


def main() -> None:
    """Run both in the size that is asked for."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--every", type=int, default=1, help="die at every n-th change only")
    every = given.parse_args().every
    worlds.decode_here()
    done = "A worker was killed with SIGKILL {}; the next one finished"
    if not WHY_NOT:
        said = done.format("before every system call that changes its store")
        with tempfile.TemporaryDirectory(prefix="labelop-die-") as folder, kept("failpoints-folder", said) as counts:
            counts.update(on_folder(Path(folder), every))
    said = done.format("before and after every request that changes its store")
    with tempfile.TemporaryDirectory(prefix="labelop-die-") as folder, kept("failpoints-s3", said) as counts:
        counts.update(on_objects(Path(folder), every))


if __name__ == "__main__":
    main()
