"""Seconds of the operations as our own reviewers take them, from measured reviews; published ones where it is too few.

Protocol: `measures.md` 1.6; the fit itself is in `least_squares`. Knows no table: rows come in, parameters go out, and
only when they predict reviewers they were not fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.effort.estimates import CONFIDENCE, Estimate
from labelop.effort.least_squares import FIELDS, LEAST_COUNT, MOST_CONDITION, Design, Real, Timings, fit, learn
from labelop.effort.parameters import DEFAULTS, MOST_ERROR, EffortParameters

MOST = 10**9
"""Largest number of one review: far above what anybody does, and far below where sums of squares overflow."""

_LEAST_REVIEWERS = 2


@dataclass(frozen=True, slots=True)
class TimedReview:
    """One review that a tool measured."""

    reviewer: str
    """Pseudonym."""
    image_id: str
    """The image."""
    active_seconds: float
    """Measured, above 0."""
    counts: Mapping[str, float]
    """How often each operation of `FIELDS` happened, without `base`; what is left out did not."""
    position: int = 0
    """Place in its batch: people get faster, or tired."""

    def __post_init__(self) -> None:
        whose = f"review of {self.image_id} by {self.reviewer}"
        if not 0 < self.active_seconds <= MOST:
            raise ValueError(f"{whose}: {self.active_seconds} seconds, expected more than 0, at most {MOST}")
        for name, value in [("position", self.position), *self.counts.items()]:
            if not 0 <= value <= MOST:
                raise ValueError(f"{whose}: {name} is {value}, expected a number from 0 to {MOST}")
        if unknown := set(self.counts) - (set(FIELDS) - {"base"}):
            raise ValueError(f"operations {sorted(unknown)} are unknown, expected some of {sorted(FIELDS)}")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learnt, and whether it is good enough to be used."""

    seconds: Mapping[str, Estimate]
    """Seconds of each operation with interval, and how often it happened."""
    kept: tuple[str, ...]
    """Operations too rare to be learnt, that nobody can tell from `base`, or whose seconds would be 0: they have their
    published seconds."""
    merged_adjust: bool
    """Whether adjusting by one and by two drags were learnt as one, in their published proportion."""
    reviewer_factors: Mapping[str, float]
    """Share of the modelled seconds each reviewer needs; geometric mean 1."""
    relative_error: float | None
    """Median of |modelled - measured| / measured over reviewers left out in turn; None with fewer than two."""
    mean_error_share: float | None
    """Mean absolute error over mean seconds, of the same predictions."""
    r2: float | None
    """Share of the variance of seconds that the same predictions explain."""
    condition: float
    """Condition number of X'X over the learnt operations, each counted in published seconds."""
    parameters: EffortParameters | None
    """The prior with the learnt seconds; None when it may not be published: stay with measured time."""
    refusal: str
    """Why it may not be published; empty when it may."""


def calibrate(
    reviews: Sequence[TimedReview], *, prior: EffortParameters = DEFAULTS, resamples: int = 200, seed: int = 0
) -> Calibration:
    """Fit the seconds of each operation to measured reviews.

    Reviewer factors come from a mixed model of log seconds, then non-negative least squares with weights 1 / fitted^2
    and the published seconds as `PSEUDO_REVIEWS` rows of each operation. It is published when the median relative error
    for reviewers left out is at most `MOST_ERROR` and the operations can be told apart. Each is left out of all that
    predicts them, speeds and what is often enough among them, and is predicted as one of average speed.

    Args:
        reviews: Measured reviews of one task; mixing effort sources is the caller's fault to avoid.
        prior: Published seconds.
        resamples: Draws of reviewers and images for the intervals.
        seed: Of the draws.

    Returns:
        Seconds, reviewer factors, errors, and parameters when they may be used.

    Raises:
        ValueError: There are no reviews.
    """
    if not reviews:
        raise ValueError("calibration needs measured reviews, got none")
    data = Timings(
        np.array([[1.0, *(row.counts.get(name, 0.0) for name in list(FIELDS)[1:])] for row in reviews]),
        np.array([row.active_seconds for row in reviews]),
        np.array([row.position for row in reviews], dtype=np.float64),
        np.array([row.reviewer for row in reviews]),
    )
    design, scale, factors = learn(data, prior)
    measured, seconds = data.seconds, design.seconds(scale)
    predicted = np.full(len(reviews), np.nan)
    if len(factors) >= _LEAST_REVIEWERS:
        for name in factors:
            left = data.reviewers == name
            others, other_scale, _ = learn(data.only(~left), prior)
            predicted[left] = data.counts[left] @ list(others.seconds(other_scale).values())
    error, share, r2 = _errors(predicted, measured)
    condition = float(np.linalg.cond(design.columns.T @ design.columns)) if design.width else 1.0
    clusters = data.reviewers, np.array([row.image_id for row in reviews])
    draws = _draws(design, data.at_average(factors), clusters, resamples, seed)
    refusal = _refusal(design.width, error, condition)
    return Calibration(
        seconds=_estimates(seconds, [design.seconds(draw) for draw in draws], data.counts.sum(axis=0)),
        kept=design.kept,
        merged_adjust=design.merged,
        reviewer_factors=factors,
        relative_error=error,
        mean_error_share=share,
        r2=r2,
        condition=condition,
        parameters=None
        if refusal
        else replace(prior, origin="calibrated", **{FIELDS[k]: v for k, v in seconds.items()}),
        refusal=refusal,
    )


def _refusal(learnt_count: int, error: float | None, condition: float) -> str:
    if not learnt_count:
        return f"no operation happened {LEAST_COUNT} times"
    if error is None:
        return f"fewer than {_LEAST_REVIEWERS} reviewers: nobody can be left out"
    if error > MOST_ERROR:
        return f"it is off by {error:.2f} for reviewers left out, at most {MOST_ERROR} is published"
    if condition >= MOST_CONDITION:
        return (
            f"the operations cannot be told apart: condition {condition:.0f}, below {MOST_CONDITION:.0f} is published"
        )
    return ""


def _errors(predicted: Real, measured: Real) -> tuple[float | None, float | None, float | None]:
    """Compare what was predicted for reviewers left out: median relative error, mean error share and R2."""
    if np.isnan(predicted).any():
        return None, None, None
    off = np.abs(predicted - measured)
    spread = float(((measured - measured.mean()) ** 2).sum())
    r2 = 1 - float((off**2).sum()) / spread if spread else None
    return float(np.median(off / measured)), float(off.mean() / measured.mean()), r2


def _draws(design: Design, seconds: Real, clusters: tuple[NDArray[Any], ...], resamples: int, seed: int) -> list[Real]:
    """Fit again and again to reviewers and images drawn anew, each with how often it was drawn."""
    draw = np.random.default_rng(seed)
    sides = [np.unique(values, return_inverse=True) for values in clusters]
    found = []
    for _ in range(resamples):
        weight = np.ones(len(seconds))
        for names, at in sides:
            weight *= np.bincount(draw.integers(0, len(names), len(names)), minlength=len(names))[at]
        if weight.any():
            found.append(fit(design, seconds, weight))
    return found


def _estimates(seconds: Mapping[str, float], drawn: Sequence[Mapping[str, float]], often: Real) -> dict[str, Estimate]:
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    found = {}
    for name, count in zip(FIELDS, often.tolist(), strict=True):
        low, high = np.quantile([one[name] for one in drawn], tails).tolist() if drawn else (None, None)
        found[name] = Estimate(seconds[name], low, high, round(count))
    return found
