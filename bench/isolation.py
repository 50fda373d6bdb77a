"""What decoding in child processes costs a worker against decoding in its threads: `python -m bench.isolation`.

Whole batches of distinct photographs, as a worker does them. Beside the rate stands the processor time of an image, the
children's included: where others share the machine, the rate says more about them, since more processes get more of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bench.measure import load_now
from bench.ours import Worker, by_digest, open_named
from bench.photos import ROOT, SIZES, photos
from labelop.catalog.cards import load_card
from labelop.engines.compose import ArmModels
from labelop.engines.prelabeller import with_engines
from labelop.ingest import originals
from labelop.ingest.decode import Frame, decode_for
from labelop.ingest.decoders import Decoded, Decoders

_IMAGES = 256
_CARD = ROOT / "data/sample/models/cells-small.yaml"


class _Threads(Decoders):
    """Decodes where it is asked: what a worker did before there were children."""

    def decode_each(self, files: Sequence[tuple[bytes, Frame]]) -> list[Decoded]:  # type: ignore[override]
        return [decode_for(data, frame) for data, frame in files]


def main() -> None:
    """Print images a second and processor time of both ways, and their ratios, for each size of photographs."""
    given = argparse.ArgumentParser(prog="python -m bench.isolation", description=__doc__)
    given.add_argument("--rounds", type=int, default=9, help="rounds of all cases (default 9)")
    given.add_argument("--engine", default="openvino", help="engine of the worker (default openvino)")
    given.add_argument("--work", type=Path, default=ROOT / "build/bench", help="folder of the photographs")
    options = given.parse_args()
    card = load_card(_CARD)
    engine = open_named(card, options.engine)
    if engine is None:
        given.error(f"{options.engine} is not installed")
    print(f"{load_now()}, {_IMAGES} images a batch, medians of {options.rounds} rounds in turn; ratios count")
    print("| JPEG | threads, img/s | children, img/s | ratio | threads, ms of processor | children, ms | ratio |")
    print("|---|---|---|---|---|---|---|")
    for size, sides in SIZES.items():
        files = by_digest(photos(size, options.work, _IMAGES))
        worker = Worker(with_engines(ArmModels(card), {card.id: engine}), files, sides)
        found = np.array(
            [[_timed(worker, in_threads) for in_threads in (True, False)] for _ in range(options.rounds + 1)]
        )[1:]
        (here, here_ms), (there, there_ms) = np.median(found, axis=0)
        rates, works = np.median(found[:, 1] / found[:, 0], axis=0)
        print(
            f"| {size} | {here:.0f} | {there:.0f} | {rates:.2f} | {here_ms:.2f} | {there_ms:.2f} | {works:.2f} |",
            flush=True,
        )


def _timed(worker: Worker, in_threads: bool) -> tuple[float, float]:
    """Give images a second, and milliseconds of processor an image."""
    before = time.perf_counter(), _processor_seconds()
    if in_threads:
        with patch.object(originals, "decoders", lambda: _THREADS):
            worker(_IMAGES)
    else:
        worker(_IMAGES)
    wall, work = time.perf_counter() - before[0], _processor_seconds() - before[1]
    return _IMAGES / wall, 1e3 * work / _IMAGES


def _processor_seconds() -> float:
    """Give the processor time of this process and of its running children."""
    lists = Path("/proc/self/task").glob("*/children")
    children = {pid for found in lists for pid in found.read_text(encoding="ascii").split()}
    spent = [int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) for pid in children]
    return time.process_time() + sum(spent) / 1e9


_THREADS = _Threads(1)

if __name__ == "__main__":
    main()
