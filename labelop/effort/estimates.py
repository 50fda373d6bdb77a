"""A figure with its interval and the number it rests on, and how intervals of ratios are made.

Images are what is drawn again, never single objects: the objects of one image share its difficulty (`measures.md` 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Share of intervals that hold the truth."""

RESAMPLES = 9999
"""Draws of a bootstrap."""

_MOST_DRAWN = 2000  # images above which the interval by linearisation is the same and cheaper
_BLOCK = 2_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure; None where it is not defined."""

    value: float | None
    """The figure."""
    low: float | None
    """Lower end of its interval; None when too little is known for one."""
    high: float | None
    """Upper end of its interval."""
    count: int
    """Images, objects or seeds it rests on."""


def proportion(hits: int, count: int, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a share with Wilson's interval; undefined without cases.

    Raises:
        ValueError: `hits` is not within 0..count.
    """
    if not 0 <= hits <= count:
        raise ValueError(f"{hits} of {count}: expected 0 <= hits <= count")
    if not count:
        return Estimate(None, None, None, 0)
    from scipy import stats  # noqa: PLC0415 - slow to import, and effort is imported by every review

    interval = stats.binomtest(hits, count).proportion_ci(confidence, method="wilson")
    return Estimate(hits / count, float(interval.low), float(interval.high), count)


def ratio(
    above: Sequence[float],
    below: Sequence[float],
    *,
    least_below: float = 0.0,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate sum(above) / max(least_below, sum(below)) over images, with a paired bootstrap over images.

    The interval is the percentile one; beyond 2,000 images that of the linearised ratio, which is the same by then.

    Args:
        above: Numerator of each image.
        below: Denominator of each image.
        least_below: Least denominator; 0 leaves the ratio undefined where nothing is below.
        seed: Of the draws.
        confidence: Share of intervals that hold the truth.
        resamples: Draws; 0 linearises whatever the number of images, as the view `v_arm_effort` does.

    Raises:
        ValueError: The two are not about the same images, hold NaN or infinity, or a denominator is below 0.
    """
    if len(above) != len(below):
        raise ValueError(f"{len(above)} images above but {len(below)} below")
    top, bottom = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    if not (np.isfinite(top).all() and np.isfinite(bottom).all() and (bottom >= 0).all()):
        raise ValueError("an image has NaN, infinity or something below 0 to be measured by")
    count, total = len(top), max(least_below, float(bottom.sum()))
    if not count or total <= 0:
        return Estimate(None, None, None, count)
    value = float(top.sum()) / total
    if count == 1:
        return Estimate(value, None, None, 1)
    tail = (1 - confidence) / 2
    if count > _MOST_DRAWN or not resamples:
        spread = float(np.sqrt(count / (count - 1) * ((top - value * bottom) ** 2).sum())) / total
        half = NormalDist().inv_cdf(1 - tail) * spread
        return Estimate(value, value - half, value + half, count)
    drawn = _drawn(top, bottom, least_below, np.random.default_rng(seed), resamples)
    low, high = np.nanquantile(drawn, [tail, 1 - tail]).tolist()
    return Estimate(value, low, high, count)


def _drawn(
    top: NDArray[np.float64], bottom: NDArray[np.float64], least: float, draw: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    """Draw images again and again; NaN where a draw has nothing below."""
    count, block, found = len(top), max(1, _BLOCK // len(top)), []
    for start in range(0, resamples, block):
        chosen = draw.integers(0, count, (min(block, resamples - start), count))
        total = np.maximum(bottom[chosen].sum(axis=1), least)
        found.append(np.divide(top[chosen].sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0))
    return np.concatenate(found)
