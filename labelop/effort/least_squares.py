"""The fit of a calibration: counts of operations and measured seconds in, seconds of each operation out.

Protocol: `measures.md` 1.6. Wraps SciPy's non-negative least squares; how fast reviewers are is told by `speeds`. Must
not know which fit is good enough to be used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from labelop.effort.parameters import EffortParameters
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

PSEUDO_REVIEWS = 20
"""Reviews that the published seconds of an operation count as."""

_REWEIGHTINGS = 3
_ADJUSTS = ("adjust_1", "adjust_2")
_AS_PUBLISHED = ("accept_class", "add_class")  # one in nearly every review: nobody can tell them from looking around
Real: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Timings:
    """Measured reviews as columns."""

    counts: Real
    """How often each operation of `FIELDS` happened, in its order, shape (reviews, operations)."""
    seconds: Real
    """Measured, above 0, shape (reviews,)."""
    position: Real
    """Place of each in its batch, shape (reviews,)."""
    reviewers: NDArray[Any]
    """Who made each, shape (reviews,)."""

    def only(self, chosen: NDArray[np.bool_]) -> Timings:
        """Take some of the reviews."""
        return Timings(self.counts[chosen], self.seconds[chosen], self.position[chosen], self.reviewers[chosen])

    def at_average(self, factors: Mapping[str, float]) -> Real:
        """Give the seconds that somebody of average speed would have needed, shape (reviews,)."""
        return np.asarray(self.seconds / np.array([factors[name] for name in self.reviewers]))


@dataclass(frozen=True, slots=True)
class Design:
    """Columns to be learnt, each in units of its published seconds, and what is not learnt."""

    prior: dict[str, float]
    groups: tuple[tuple[str, ...], ...]
    kept: tuple[str, ...]
    merged: bool
    columns: Real
    """Counts times published seconds, shape (reviews, groups); the coefficient of published seconds is 1."""
    offset: Real
    """Published seconds of what is not learnt, shape (reviews,)."""

    @classmethod
    def of(cls, counts: Real, prior: EffortParameters) -> Design:
        """Say what can be learnt from such counts, shape (reviews, operations)."""
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
    def _made(cls, counts: Real, published: dict[str, float], groups: Sequence[tuple[str, ...]]) -> Design:
        spent = dict(zip(FIELDS, (counts * list(published.values())).T, strict=True))
        learnt = {name for group in groups for name in group}
        kept = tuple(name for name in FIELDS if name not in learnt)
        empty = np.zeros((len(counts), 0))
        columns = np.array([sum(spent[name] for name in group) for group in groups]).T if groups else empty
        offset = np.sum([spent[name] for name in kept], axis=0) if kept else np.zeros(len(counts))
        return cls(published, tuple(groups), kept, _ADJUSTS in groups, columns, np.asarray(offset))

    def learning(self, counts: Real, chosen: NDArray[np.bool_]) -> Design:
        """Learn only some of the groups, shape (groups,); the others keep their published seconds."""
        groups = [group for group, learnt in zip(self.groups, chosen, strict=True) if learnt]
        return self._made(counts, self.prior, groups)

    @property
    def width(self) -> int:
        """Number of groups."""
        return len(self.groups)

    def predict(self, scale: Real) -> Real:
        """Give the seconds of each review, shape (reviews,), by the factor of each group."""
        return np.asarray(self.columns @ scale + self.offset)

    def seconds(self, scale: Real) -> dict[str, float]:
        """Give the seconds of each operation of `FIELDS`, in its order, by the factor of each group."""
        learnt = {name: float(factor) for group, factor in zip(self.groups, scale, strict=True) for name in group}
        return {name: seconds * learnt.get(name, 1.0) for name, seconds in self.prior.items()}


def fit(design: Design, seconds: Real, weight: Real | None = None) -> Real:
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


def learn(data: Timings, prior: EffortParameters) -> tuple[Design, Real, dict[str, float]]:
    """Learn from reviews alone what they teach: which operations, their factors on published seconds, and speeds.

    Seconds of 0 are the bound of the fit and no finding: an operation that would get them keeps its published ones, and
    the others are learnt anew beside it.
    """
    design = Design.of(data.counts, prior)
    modelled = design.predict(np.ones(design.width))
    factors = reviewer_factors(data.reviewers.tolist(), data.seconds, modelled, data.position)
    level = data.at_average(factors)
    scale = fit(design, level)
    while not scale.all():
        design = design.learning(data.counts, scale > 0)
        scale = fit(design, level)
    return design, scale, factors
