"""What the drafts of each arm cost the reviewers of a pilot: seconds, edits, and what they save against no draft.

Knows reviews, no table and no verdict.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelop.effort.estimates import RESAMPLES, Estimate
from labelop.effort.measures import human_edit_rate
from labelop.pilot.design import BLIND
from labelop.pilot.protocol import Protocol
from labelop.pilot.sides import apart
from labelop.pilot.statistics import UNKNOWN, Timed, contrast


@dataclass(frozen=True, slots=True)
class Effort:
    """What drafts cost reviewers, by arm."""

    savings: Mapping[str, Estimate]
    """Saving against no drafts."""
    edit_rates: Mapping[str, Estimate]
    """Edits per accepted label."""
    mean_seconds: Mapping[str, float]
    """Mean seconds per image, weighted by stratum, of arms with measured reviews."""


UNSEEN = Effort({}, {}, {})
"""What is told while a pilot runs."""


def spent(
    protocol: Protocol,
    reviews: Sequence[Timed],
    rows: Sequence[Mapping[str, Any]],
    weights: Mapping[str, float],
    *,
    resamples: int = RESAMPLES,
) -> Effort:
    """Sum up what reviews took.

    Args:
        protocol: What was declared.
        reviews: Reviews with measured seconds.
        rows: All reviews that came, with `arm`, `edits_count` and `labels_count`.
        weights: Share of all candidates by stratum.
        resamples: Draws of the bootstrap.
    """
    saved = savings(protocol, reviews, weights, resamples=resamples)
    return Effort(saved, _edit_rates(protocol, rows), _means(protocol, reviews, weights))


def savings(
    protocol: Protocol, reviews: Sequence[Timed], weights: Mapping[str, float], *, resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """Compare each arm with the blind one: 1 - mean seconds of the arm / mean seconds without a draft.

    Returns:
        Saving by arm with its interval; negative where drafts cost time. Empty without a blind arm.
    """
    if BLIND not in protocol.arms:
        return {}
    found = {}
    for arm in protocol.arms:
        if arm != BLIND:
            paired = contrast(reviews, arm, BLIND, weights, seed=protocol.seed, resamples=resamples)
            ratio = (
                paired.mean_ratio
                if paired.images_count
                else apart(reviews, arm, BLIND, seed=protocol.seed, resamples=resamples)
            )
            low, high = (None if end is None else 1 - end for end in (ratio.high, ratio.low))
            found[arm] = Estimate(None if ratio.value is None else 1 - ratio.value, low, high, ratio.count)
    return found


def _edit_rates(protocol: Protocol, rows: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    found = {}
    for arm in protocol.arms:
        own = [row for row in rows if row["arm"] == arm]
        rate = human_edit_rate([row["edits_count"] for row in own], [row["labels_count"] for row in own])
        found[arm] = UNKNOWN if arm == BLIND else rate
    return found


def _means(protocol: Protocol, reviews: Sequence[Timed], weights: Mapping[str, float]) -> dict[str, float]:
    """Average seconds per image by arm: sum W_h * mean_h over strata with reviews (`measures.md` section 7)."""
    found = {}
    for arm in protocol.arms:
        by_stratum: dict[str, list[float]] = defaultdict(list)
        for one in reviews:
            if one.arm == arm:
                by_stratum[one.stratum].append(one.seconds)
        if not by_stratum:
            continue  # nobody was measured: no seconds are known, which is not none
        total = math.fsum(weights[name] for name in by_stratum)
        found[arm] = math.fsum(
            weights[name] / total * math.fsum(own) / len(own) for name, own in sorted(by_stratum.items())
        )
    return found
