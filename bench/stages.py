"""`python -m bench.stages`: where the time of one image goes on our way, stage by stage, one thread.

Names the stage that keeps a ratio below its target; stages are called as a worker calls them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from bench.engines import BATCH, cycle
from bench.measure import Work, load_now, measure
from bench.ours import Worker, by_digest, open_named
from bench.photos import ROOT, SIZES, photos
from labelop.catalog.cards import load_card
from labelop.engines.base import ModelInputs
from labelop.engines.prelabeller import ArmModels, with_engines
from labelop.ids import sha256_hex
from labelop.ingest.decode import decode


def main() -> None:
    """Print milliseconds an image of every stage, then of the whole way."""
    given = argparse.ArgumentParser(prog="python -m bench.stages", description=__doc__)
    given.add_argument("--card", type=Path, default=ROOT / "data/sample/models/cells-small.yaml")
    given.add_argument("--size", choices=list(SIZES), default="640x480")
    given.add_argument("--engine", default="onnxruntime")
    given.add_argument("--work", type=Path, default=ROOT / "build/bench")
    options = given.parse_args()
    card, size = load_card(options.card), SIZES[options.size]
    engine = open_named(card, options.engine, threads=1)
    if engine is None:
        raise SystemExit(f"engine {options.engine} is not in this version or environment")
    paths = photos(options.size, options.work)
    data = [path.read_bytes() for path in paths[:BATCH]]
    pixels = [decode(one) for one in data]
    inputs = ModelInputs(np.stack([engine.preprocess(one) for one in pixels]))
    raw = engine.forward(inputs)

    def each(step: Work) -> Work:
        def work(count: int) -> None:
            for number in range(count):
                step(number % BATCH)

        return work

    def forward(count: int) -> None:
        for _ in range(count // BATCH):
            engine.forward(inputs)

    stages: dict[str, Work] = {
        "read and SHA-256": lambda count: [sha256_hex(path.read_bytes()) for path in cycle(paths, count)],
        "decode, checked and upright": each(lambda i: decode(data[i])),
        "stretch to the input": each(lambda i: engine.preprocess(pixels[i])),
        f"forward, {engine.name}, batch {BATCH}": forward,
        "postprocess": each(lambda i: engine.postprocess(raw, i, *size)),
    }
    if card.task == "detection":
        worker = Worker(with_engines(ArmModels(card), {card.id: engine}), by_digest(paths), size)
        stages["whole way, run_batch"] = worker
    rates = measure(stages, 5, 0.3, BATCH)
    print(f"{card.id}, {options.size}, 1 engine thread, {load_now()}\n\n| stage | ms an image |\n|---|---|")
    for name, found in rates.items():
        print(f"| {name} | {1e3 / float(np.median(found)):.2f} |")


if __name__ == "__main__":
    main()
