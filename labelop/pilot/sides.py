"""Compare two arms that reviewed different images: within one reviewer, or where a design could not pair them.

Wider intervals than those of pairs, and honest ones. Knows neither tables nor verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from labelop.effort.estimates import CONFIDENCE, RESAMPLES, Estimate
from labelop.pilot.statistics import UNKNOWN, Timed, interval_of


def by_reviewer(reviews: Sequence[Timed], arm: str, reference: str) -> dict[str, Estimate]:
    """Compare the arms within each reviewer, on different images: what can be said where reviewers are few.

    Returns:
        Ratio of geometric mean seconds, arm / reference, with Welch's interval; null below two reviews a side.
    """
    found = {}
    for name in sorted({one.reviewer for one in reviews}):
        sides = [
            np.log(sorted(one.seconds for one in reviews if one.reviewer == name and one.arm == side))
            for side in (arm, reference)
        ]
        count = min(map(len, sides))
        if count < 2 or all(np.ptp(side) == 0 for side in sides):  # noqa: PLR2004 - a spread needs two
            found[name] = Estimate(None, None, None, count)
            continue
        interval = stats.ttest_ind(*sides, equal_var=False).confidence_interval(CONFIDENCE)
        gap = float(sides[0].mean() - sides[1].mean())
        found[name] = Estimate(math.exp(gap), math.exp(float(interval.low)), math.exp(float(interval.high)), count)
    return found


def apart(reviews: Sequence[Timed], arm: str, reference: str, *, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Relate mean seconds of two arms that reviewed different images: a wider interval than that of pairs.

    Returns:
        Arm / reference, with the percentile interval over the images of each; null with fewer than two a side.
    """
    sides = [np.array(sorted(one.seconds for one in reviews if one.arm == name)) for name in (arm, reference)]
    count = min(map(len, sides))
    if count < 2:  # noqa: PLR2004 - a spread needs two
        return replace(UNKNOWN, count=count)
    draw = np.random.default_rng(seed)
    drawn = [side[draw.integers(0, len(side), (resamples, len(side)))].mean(axis=1) for side in sides]
    return interval_of(drawn[0] / drawn[1], float(sides[0].mean() / sides[1].mean()), count)
