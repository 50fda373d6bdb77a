"""What decoding in child processes costs a worker against decoding in its threads: `python -m bench --only isolation`.

Whole batches of distinct photographs, as a worker does them. Beside the rate stands the processor time of an image, the
children's included: where others share the machine, the rate says more about them, since more processes get more of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bench.measure import Pace, load_now
from bench.ours import Worker, by_digest, open_named
from bench.photos import ROOT, SIZES, photos
from bench.ratios import Table, Target
from labelop.catalog.cards import load_card
from labelop.engines.compose import ArmModels
from labelop.engines.prelabeller import with_engines
from labelop.ingest import originals
from labelop.ingest.decode import Frame, decode_for
from labelop.ingest.decoders import Decoded, Decoders

_WAYS = ("decoding in threads", "decoding in children")
_AT_LEAST = 0.85
_IMAGES = 256
_CARD = ROOT / "data/sample/models/cells-small.yaml"


class _Threads(Decoders):
    """Decodes where it is asked: what a worker did before there were children."""

    def decode_each(self, files: Sequence[tuple[bytes, Frame]]) -> list[Decoded]:  # type: ignore[override]
        return [decode_for(data, frame) for data, frame in files]


def isolation_table(size: str, pace: Pace) -> Table:
    """Do whole batches both ways in turn, on the fastest engine that is installed: decoding weighs most there."""
    threads, children = _WAYS
    card = load_card(_CARD)
    engine = next(one for name in ("openvino", "onnxruntime") if (one := open_named(card, name)) is not None)
    worker = Worker(
        with_engines(ArmModels(card), {card.id: engine}), by_digest(photos(size, pace.work, _IMAGES)), SIZES[size]
    )
    # the first round meets cold children and caches
    found = np.array([[_timed(worker, way == threads) for way in _WAYS] for _ in range(pace.rounds + 1)])[1:]
    rates = {way: tuple(found[:, at, 0].tolist()) for at, way in enumerate(_WAYS)}
    works = ", ".join(f"{way} {ms:.2f}" for way, ms in zip(_WAYS, np.median(found[:, :, 1], axis=0), strict=True))
    notes = (f"Milliseconds of the processor an image, {engine.name}: {works}.", f"{load_now().capitalize()}.")
    target = Target(children, threads, _AT_LEAST, "decoding in children against decoding in threads")
    return Table(f"isolation-{size}", f"Decode isolation, {size}", "images/s", threads, rates, (target,), notes)


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
