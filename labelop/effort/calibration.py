"""Seconds of the operations as our own reviewers take them, from measured reviews; published ones where it is too few.

Protocol: `measures.md` 1.6. Wraps SciPy's least squares; how fast reviewers are is told by `speeds`. Knows no
table: rows come in, parameters go out, and only when they predict reviewers they were not fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from labelop.effort.estimates import CONFIDENCE, Estimate
from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.effort.speeds import reviewer_factors

FIELDS = {
    "base": "base_box_seconds",
    "accept": "accept_box_seconds",
    "adjust_1": "adjust_one_drag_seconds",
    "adjust_2": "adjust_two_drags_seconds",
    "relabel": "relabel_seconds",
    "delete": "delete_seconds",
    "add": "add_box_seconds",
    "clicks": "mask_click_seconds",
    "vertices": "mask_vertex_seconds",
    "accept_class": "accept_class_seconds",
    "add_class": "add_class_seconds",
    "accept_mask": "accept_mask_seconds",
    "adjust_mask": "adjust_mask_seconds",
    "add_mask": "add_mask_seconds",
    "add_assisted_mask": "add_assisted_mask_seconds",
}
"""Parameter that each counted operation calibrates; `base` happens once in each review. The area of objects is left
out: no parameter holds it."""

LEAST_COUNT = 30
"""Occurrences below which an operation keeps its published seconds."""

MOST_CONDITION = 1e4
"""Condition number of X'X above which the operations cannot be told apart."""

MOST_ERROR = 0.25
"""Median relative error, for reviewers left out, above which nothing is published."""

PSEUDO_REVIEWS = 20
"""Reviews that the published seconds of an operation count as."""

_REWEIGHTINGS = 3
_ADJUSTS = ("adjust_1", "adjust_2")
_AS_PUBLISHED = ("accept_class", "add_class")  # one in nearly every review: nobody can tell them from looking around
_LEAST_REVIEWERS = 2
_Real = NDArray[np.float64]


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
        if not 0 < self.active_seconds < inf:
            raise ValueError(
                f"review of {self.image_id} by {self.reviewer}: {self.active_seconds} seconds, expected more than 0"
            )
        for name, count in self.counts.items():
            if not 0 <= count < inf:
                raise ValueError(f"{count} times {name!r} in {self.image_id}, expected a number of at least 0")
        if unknown := set(self.counts) - (set(FIELDS) - {"base"}):
            raise ValueError(f"operations {sorted(unknown)} are unknown, expected some of {sorted(FIELDS)}")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learnt, and whether it is good enough to be used."""

    seconds: Mapping[str, Estimate]
    """Seconds of each operation with interval, and how often it happened."""
    kept: tuple[str, ...]
    """Operations too rare to be learnt, or that nobody can tell from `base`: they have their published seconds."""
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
    for reviewers left out is at most `MOST_ERROR` and the operations can be told apart.

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
    counts = np.array([[1.0, *(row.counts.get(name, 0.0) for name in list(FIELDS)[1:])] for row in reviews])
    design = _Design.of(counts, prior)
    reviewers = np.array([row.reviewer for row in reviews])
    measured = np.array([row.active_seconds for row in reviews])
    position = np.array([row.position for row in reviews], dtype=np.float64)
    factors = reviewer_factors(reviewers.tolist(), measured, design.predict(np.ones(design.width)), position)
    speed = np.array([factors[name] for name in reviewers])
    scale = _fit(design, measured / speed)
    predicted = np.full(len(reviews), np.nan)
    if len(factors) >= _LEAST_REVIEWERS:
        for name in factors:
            others = reviewers != name
            learnt = _fit(design, measured / speed, others.astype(np.float64))
            predicted[~others] = design.predict(learnt)[~others]
    error, share, r2 = _errors(predicted, measured)
    condition = float(np.linalg.cond(design.columns.T @ design.columns)) if design.width else 1.0
    images = np.array([row.image_id for row in reviews])
    draws = _draws(design, measured / speed, (reviewers, images), resamples, seed)
    refusal = _refusal(design.width, error, condition)
    seconds = design.seconds(scale)
    return Calibration(
        seconds=_estimates(seconds, [design.seconds(draw) for draw in draws], counts.sum(axis=0)),
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


@dataclass(frozen=True, slots=True)
class _Design:
    """Columns to be learnt, each in units of its published seconds, and what is not learnt."""

    prior: dict[str, float]
    groups: tuple[tuple[str, ...], ...]
    kept: tuple[str, ...]
    merged: bool
    columns: _Real
    """Counts times published seconds, shape (reviews, groups); the coefficient of published seconds is 1."""
    offset: _Real
    """Published seconds of what is not learnt, shape (reviews,)."""

    @classmethod
    def of(cls, counts: _Real, prior: EffortParameters) -> _Design:
        published = {name: float(getattr(prior, field)) for name, field in FIELDS.items()}
        often = {name: float(column.sum()) for name, column in zip(FIELDS, counts.T, strict=True)}
        apart = [(name,) for name in FIELDS if often[name] >= LEAST_COUNT and name not in _AS_PUBLISHED]
        design = cls._made(counts, published, apart)
        crossed = np.linalg.cond(design.columns.T @ design.columns) >= MOST_CONDITION if apart else False
        rare = [name for name in _ADJUSTS if often[name] < LEAST_COUNT]
        together = sum(often[name] for name in _ADJUSTS)
        if together >= LEAST_COUNT and (len(rare) == 1 or len(rare) == len(_ADJUSTS) or crossed):
            groups = [group for group in apart if group[0] not in _ADJUSTS]
            return cls._made(counts, published, [*groups, _ADJUSTS])
        return design

    @classmethod
    def _made(cls, counts: _Real, published: dict[str, float], groups: Sequence[tuple[str, ...]]) -> _Design:
        spent = dict(zip(FIELDS, (counts * list(published.values())).T, strict=True))
        learnt = {name for group in groups for name in group}
        kept = tuple(name for name in FIELDS if name not in learnt)
        empty = np.zeros((len(counts), 0))
        columns = np.array([sum(spent[name] for name in group) for group in groups]).T if groups else empty
        offset = np.sum([spent[name] for name in kept], axis=0) if kept else np.zeros(len(counts))
        return cls(published, tuple(groups), kept, _ADJUSTS in groups, columns, np.asarray(offset))

    @property
    def width(self) -> int:
        return len(self.groups)

    def predict(self, scale: _Real) -> _Real:
        return np.asarray(self.columns @ scale + self.offset)

    def seconds(self, scale: _Real) -> dict[str, float]:
        learnt = {name: float(factor) for group, factor in zip(self.groups, scale, strict=True) for name in group}
        return {name: seconds * learnt.get(name, 1.0) for name, seconds in self.prior.items()}


def _fit(design: _Design, seconds: _Real, weight: _Real | None = None) -> _Real:
    """Learn the factor on the published seconds of each group, by weighted non-negative least squares.

    Args:
        design: What is learnt.
        seconds: Measured seconds at average speed, shape (reviews,).
        weight: How often each review counts, shape (reviews,); once when None.
    """
    times = np.ones(len(seconds)) if weight is None else weight
    scale = np.ones(design.width)
    if not design.width:
        return scale
    pseudo = [
        np.sqrt(PSEUDO_REVIEWS) * design.prior[name] * np.eye(design.width)[at]
        for at, group in enumerate(design.groups)
        for name in group
    ]
    for _ in range(_REWEIGHTINGS):
        fitted = np.maximum(design.predict(scale), 1e-6)
        # the variance grows with the time; the median review weighs one, as a pseudo review does
        root = np.sqrt(times) * np.median(fitted) / fitted
        rows = np.vstack([design.columns * root[:, None], *pseudo])
        target = np.concatenate([(seconds - design.offset) * root, [row.sum() for row in pseudo]])
        scale = np.asarray(nnls(rows, target)[0])
    return scale


def _errors(predicted: _Real, measured: _Real) -> tuple[float | None, float | None, float | None]:
    """Compare what was predicted for reviewers left out: median relative error, mean error share and R2."""
    if np.isnan(predicted).any():
        return None, None, None
    off = np.abs(predicted - measured)
    spread = float(((measured - measured.mean()) ** 2).sum())
    r2 = 1 - float((off**2).sum()) / spread if spread else None
    return float(np.median(off / measured)), float(off.mean() / measured.mean()), r2


def _draws(
    design: _Design, seconds: _Real, clusters: tuple[NDArray[Any], ...], resamples: int, seed: int
) -> list[_Real]:
    """Fit again and again to reviewers and images drawn anew, each with how often it was drawn."""
    draw = np.random.default_rng(seed)
    sides = [np.unique(values, return_inverse=True) for values in clusters]
    found = []
    for _ in range(resamples):
        weight = np.ones(len(seconds))
        for names, at in sides:
            weight *= np.bincount(draw.integers(0, len(names), len(names)), minlength=len(names))[at]
        if weight.any():
            found.append(_fit(design, seconds, weight))
    return found


def _estimates(seconds: Mapping[str, float], drawn: Sequence[Mapping[str, float]], often: _Real) -> dict[str, Estimate]:
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    found = {}
    for name, count in zip(FIELDS, often.tolist(), strict=True):
        low, high = np.quantile([one[name] for one in drawn], tails).tolist() if drawn else (None, None)
        found[name] = Estimate(seconds[name], low, high, round(count))
    return found
