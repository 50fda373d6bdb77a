"""Adds up what the images of one pass cost: seconds and bytes, an equal share of whatever they shared.

Knows neither models nor lanes' insides.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from labelop.catalog.cards import ModelCard
from labelop.engines.base import RawOutputs
from labelop.engines.lanes import Lane, Ready
from labelop.engines.transport import Travelled


@dataclass(slots=True)
class Cost:
    """What something took until now."""

    infer_seconds: float = 0.0
    """Time inside the engine, or until the server's answer."""
    sent_bytes: int = 0
    """Bytes of its requests."""
    received_bytes: int = 0
    """Bytes of its answers."""
    detector_seconds: float = 0.0
    """The detector's part of `infer_seconds`."""
    requests_count: int = 0
    """Requests that reached a server; the first images of a pass bear those that cannot be split."""


class Spent:
    """Time and bytes per image of one pass.

    Args:
        costs: One account per image of the pass; images are named by their index.
    """

    def __init__(self, costs: Sequence[Cost]) -> None:
        self._costs = costs

    def note_detector(self) -> None:
        """Remember what has been spent until now as the detector's part."""
        for cost in self._costs:
            cost.detector_seconds = cost.infer_seconds

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
            for place, cost in enumerate(self._costs[index] for index in indices):
                cost.infer_seconds += seconds / len(indices)
                cost.sent_bytes += _share(travelled.sent_bytes, len(indices), place)
                cost.received_bytes += _share(travelled.received_bytes, len(indices), place)
                cost.requests_count += _share(travelled.requests_count, len(indices), place)

    def alone(self, index: int) -> Spent:
        """Give one image's account, to be gone on with alone."""
        return Spent([self._costs[index]])

    def requests(self, index: int) -> int:
        """Give one image's requests."""
        return self._costs[index].requests_count

    def of(self, index: int) -> tuple[float, int, int, float]:
        """Give one image's seconds, bytes sent and received, and the detector's part of the seconds."""
        cost = self._costs[index]
        return cost.infer_seconds, cost.sent_bytes, cost.received_bytes, cost.detector_seconds


def _share(total: int, count: int, place: int) -> int:
    """Split a whole number so that the shares add up to it."""
    return total // count + (place < total % count)
