"""Adds up what the images of one pass cost: seconds and bytes, an equal share of whatever they shared.

Knows neither models nor lanes' insides.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from labelop.catalog.cards import ModelCard
from labelop.engines.base import RawOutputs
from labelop.engines.lanes import Lane, Ready
from labelop.engines.transport import Travelled


class Spent:
    """Time and bytes per image of one pass.

    Args:
        count: Images of the pass; they are named by their index.
    """

    def __init__(self, count: int) -> None:
        self._seconds = [0.0] * count
        self._sent = [0] * count
        self._received = [0] * count
        self._detector = [0.0] * count

    def note_detector(self) -> None:
        """Remember what has been spent until now as the detector's part."""
        self._detector = list(self._seconds)

    def shared(self, lane: Lane, card: ModelCard, ready: list[Ready]) -> RawOutputs:
        """Run all images, in passes of as many as the model takes; those of one pass bear equal shares of it."""
        parts = []
        most = lane.most_images(card)
        for start in range(0, len(ready), most):
            part = ready[start : start + most]
            with self.booked(range(start, start + len(part))) as travelled:
                parts.append(lane.run(card, part, travelled))
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}

    @contextmanager
    def booked(self, indices: Sequence[int]) -> Iterator[Travelled]:
        """Share the time of the block and what travels in it among images, whether it ends well or not."""
        travelled, started = Travelled(), time.perf_counter()
        try:
            yield travelled
        finally:
            seconds = time.perf_counter() - started
            for place, index in enumerate(indices):
                self._seconds[index] += seconds / len(indices)
                self._sent[index] += _share(travelled.sent_bytes, len(indices), place)
                self._received[index] += _share(travelled.received_bytes, len(indices), place)

    def alone(self, index: int) -> Spent:
        """Give one image's account, to be gone on with alone."""
        one = Spent(1)
        one._seconds, one._detector = [self._seconds[index]], [self._detector[index]]
        one._sent, one._received = [self._sent[index]], [self._received[index]]
        return one

    def of(self, index: int) -> tuple[float, int, int, float]:
        """Give one image's seconds, bytes sent and received, and the detector's part of the seconds."""
        return self._seconds[index], self._sent[index], self._received[index], self._detector[index]


def _share(total: int, count: int, place: int) -> int:
    """Split a whole number so that the shares add up to it."""
    return total // count + (place < total % count)
