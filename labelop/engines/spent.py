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
from labelop.engines.lanes import Lane, LaneAnswer, Ready


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
            indices = range(start, start + len(part))
            with self.timed(indices):
                answer = lane.run(card, part)
            self.add_bytes(indices, answer)
            parts.append(answer.raw)
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}

    @contextmanager
    def timed(self, indices: Sequence[int]) -> Iterator[None]:
        """Share the time of the block among images, whether it ends well or not."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            for index in indices:
                self._seconds[index] += seconds / len(indices)

    def add_bytes(self, indices: Sequence[int], answer: LaneAnswer) -> None:
        """Share what travelled for an answer among images."""
        for place, index in enumerate(indices):
            self._sent[index] += _share(answer.sent_bytes, len(indices), place)
            self._received[index] += _share(answer.received_bytes, len(indices), place)

    def of(self, index: int) -> tuple[float, int, int, float]:
        """Give one image's seconds, bytes sent and received, and the detector's part of the seconds."""
        return self._seconds[index], self._sent[index], self._received[index], self._detector[index]


def _share(total: int, count: int, place: int) -> int:
    """Split a whole number so that the shares add up to it."""
    return total // count + (place < total % count)
