"""Ranges of a plan, each for one child run: how a plan's batches are cut into them.

Knows no engine and no orchestrator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow.dataset as ds

from labelop.landing.filters import equal
from labelop.prelabel.pace import Pace
from labelop.prelabel.plan import PlannedBatch


@dataclass(frozen=True, slots=True)
class ShardRange:
    """What a child run is told: a range of positions in a plan, for one placement."""

    plan_id: str
    """The plan, to be read from `batches`."""
    placement: str
    """onprem | cloud."""
    first: int
    """First position."""
    last: int
    """Last position, inclusive; positions of other placements in between are left out."""

    def holds(self, batch: PlannedBatch) -> bool:
        """Say whether a batch of the plan is in the range."""
        return batch.placement == self.placement and self.first <= batch.position <= self.last

    def batches(self) -> ds.Expression:
        """Select the rows of `batches` that are in the range, among those of the plan."""
        position = ds.field("position")
        return equal(placement=self.placement) & (position >= self.first) & (position <= self.last)


def split_shards(
    plan_id: str,
    batches: Iterable[PlannedBatch],
    shard_batches: int,
    *,
    paces: Mapping[str, Pace] | None = None,
    shard_seconds: float = 300.0,
    least: int = 1,
) -> list[ShardRange]:
    """Cut batches into ranges of one placement that take about as long as wanted.

    A range is full when the shares of its batches add up to one: a batch of known pace takes its seconds of
    `shard_seconds`, any other one of `shard_batches`. Where a placement has work for fewer than `least` full ranges,
    they are made smaller.

    Args:
        plan_id: The plan the batches belong to.
        batches: Pending batches.
        shard_batches: Batches in a shard where nothing is known about them, at least 1.
        paces: Predicted pace by batch id.
        shard_seconds: Predicted seconds of a shard; a child run should last minutes.
        least: Shards wanted at least of a placement that has as many batches: its pool's workers.

    Returns:
        Ranges that cover every batch exactly once among the pending ones.
    """
    if shard_batches < 1:
        raise ValueError(f"shard_batches is {shard_batches}, expected at least 1")
    by_placement: dict[str, list[PlannedBatch]] = {}
    for batch in batches:
        by_placement.setdefault(batch.placement, []).append(batch)
    shards = []
    for placement, waiting in sorted(by_placement.items()):
        waiting.sort(key=lambda batch: batch.position)
        shares = [_share(batch, shard_batches, (paces or {}).get(batch.batch_id), shard_seconds) for batch in waiting]
        # sums of shares are rounded; one more batch because of that would be wrong
        full = min(1.0, sum(shares) / least) * (1 + 1e-9)
        first, held, closed = 0, 0.0, 0
        for number, share in enumerate(shares):
            # a long batch may leave too few for the ranges that are still wanted: then each of them is one
            is_last_chance = closed + len(shares) - number < min(least, len(shares))
            if number > first and (held + share > full or is_last_chance):
                shards.append(ShardRange(plan_id, placement, waiting[first].position, waiting[number - 1].position))
                first, held, closed = number, 0.0, closed + 1
            held += share
        shards.append(ShardRange(plan_id, placement, waiting[first].position, waiting[-1].position))
    return shards


def _share(batch: PlannedBatch, shard_batches: int, pace: Pace | None, shard_seconds: float) -> float:
    return 1 / shard_batches if pace is None else pace.image_seconds * len(batch.image_ids) / shard_seconds
