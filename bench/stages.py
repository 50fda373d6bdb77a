"""Where the time of one image goes on our way, stage by stage, one thread: `python -m bench.stages`.

The bench runs it for each table that misses a target, so that the reason stands beside the ratio; stages are called
as a worker calls them.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.engines import BATCH, cycle
from bench.measure import Work, load_now, measure
from bench.ours import Worker, by_digest, open_named
from bench.photos import ROOT, SIZES, photos
from labelop.catalog.cards import load_card
from labelop.engines.base import Engine, ModelInputs
from labelop.engines.compose import ComposedArm
from labelop.engines.lanes import LocalLane
from labelop.engines.prelabeller import ArmModels, with_engines
from labelop.ids import sha256_hex
from labelop.ingest.decode import decode_for
from labelop.landing.store import Store
from labelop.prelabel.batch import land_batches

_LANDED = 8
"""Batches in the commit that is measured."""


def stages(engine: Engine, paths: list[Path], size: tuple[int, int], rounds: int = 3) -> dict[str, float]:
    """Measure the stages of a worker's way, each alone.

    Args:
        engine: A detector's or a classifier's, of one thread.
        paths: At least 8 photographs.
        size: Width and height of them, pixels.
        rounds: Rounds of all stages.

    Returns:
        Milliseconds an image by stage.
    """
    data = [path.read_bytes() for path in paths[:BATCH]]
    frame = ArmModels(engine.card).frame(stretched=True)
    ready = [engine.preprocess(decode_for(one, frame)[0]) for one in data]
    inputs = ModelInputs(np.stack(ready))
    raw = engine.forward(inputs)

    def each(step: Work) -> Work:
        def work(count: int) -> None:
            for number in range(count):
                step(number % BATCH)

        return work

    def forward(count: int) -> None:
        for _ in range(count // BATCH):
            engine.forward(inputs)

    cases: dict[str, Work] = {
        "read and SHA-256": lambda count: [sha256_hex(path.read_bytes()) for path in cycle(paths, count)],
        "decode and stretch": each(lambda i: engine.preprocess(decode_for(data[i], frame)[0])),
        "forward": forward,
        "postprocess": each(lambda i: engine.postprocess(raw, i, *size)),
    }
    rates = measure(cases, rounds, 0.2, BATCH)
    if engine.card.task == "detection":
        rates |= _landed(engine, paths, size, rounds)
    return {name: 1e3 / float(np.median(found)) for name, found in rates.items()}


def _landed(engine: Engine, paths: list[Path], size: tuple[int, int], rounds: int) -> dict[str, tuple[float, ...]]:
    """Measure the exactly-once landing of some batches in a commit, as a worker lands small ones.

    One batch is inferred, as a large model takes long; the others are its copies. A new store takes them each time, so
    that none is landed before.
    """
    worker = Worker(with_engines(ArmModels(engine.card), {engine.card.id: engine}), by_digest(paths[:BATCH]), size)
    made = worker.batch("b-0", worker.image_ids)
    results = [
        replace(made, batch=replace(made.batch, batch_id=f"b-{n}"), usage=made.usage | {"attempt_id": f"a-{n}"})
        for n in range(_LANDED)
    ]
    with tempfile.TemporaryDirectory(prefix="labelop-stages-") as folder:
        stores = itertools.count()

        def land(count: int) -> None:
            for _ in range(count // (_LANDED * BATCH)):
                land_batches(Store(f"{folder}/{next(stores)}"), results)

        return measure({f"land, {_LANDED * BATCH} images a commit": land}, rounds, 0.2, _LANDED * BATCH)


def main() -> None:
    """Print milliseconds an image of every stage, then of the whole way."""
    given = argparse.ArgumentParser(prog="python -m bench.stages", description=__doc__)
    given.add_argument("--card", type=Path, default=ROOT / "data/sample/models/cells-small.yaml")
    given.add_argument("--size", choices=list(SIZES), default="640x480")
    given.add_argument("--engine", default="onnxruntime")
    given.add_argument("--work", type=Path, default=ROOT / "build/bench")
    options = given.parse_args()
    card, size = load_card(options.card), SIZES[options.size]
    engine = open_named(card, options.engine)
    if engine is None:
        raise SystemExit(f"engine {options.engine} is not in this version or environment")
    paths = photos(options.size, options.work)
    found = stages(engine, paths, size, rounds=5)
    if card.task == "detection":
        arm, files = ArmModels(card), by_digest(paths)
        plain = LocalLane({card.id: engine})
        plain.takes_stretched = False
        all_pixels = ComposedArm(replace(arm, detector=replace(card, scaled_decode=False)), plain)
        whole = {
            "whole way, run_batch, all cores": Worker(with_engines(arm, {card.id: engine}), files, size),
            "the same with all pixels, stretched by the engine": Worker(all_pixels, files, size),
        }
        found |= {name: 1e3 / float(np.median(rates)) for name, rates in measure(whole, 5, 0.3, BATCH).items()}
    print(f"{card.id}, {options.size}, {engine.name}, 1 engine thread, {load_now()}\n")
    print("| stage | ms an image |\n|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value:.2f} |")


if __name__ == "__main__":
    main()
