"""Score cut-offs per class that cost reviewers the least: deleting a wrong draft against drawing a missed object.

Scores are calibrated on blind or gold labels only (`measures.md` 2.2): labels corrected from drafts make a model look
right. Wraps SciPy's isotonic regression. Knows neither tables nor models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from labelop.effort.parameters import DEFAULTS

_Real = NDArray[np.float64]

NOTHING_SHOWN = 1.0
"""Cut-off above which no draft of a class is worth its deletions."""

LEAST_DRAFTS = 50
"""Drafts of a class below which it has the cut-off of all classes together: too few to calibrate."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Drafts of one class compared with labels that were made without them."""

    scores: _Real
    """float64, shape (n,), 0..1."""
    right: NDArray[np.bool_]
    """bool, shape (n,): whether the draft is one of the objects that are there."""

    def __post_init__(self) -> None:
        if self.scores.shape != self.right.shape or self.scores.ndim != 1:
            raise ValueError(f"scores {self.scores.shape} and right {self.right.shape}: expected one shape (n,)")
        if not ((self.scores >= 0) & (self.scores <= 1)).all():  # NaN is no score either
            raise ValueError("every score must be within 0..1")


@dataclass(frozen=True, slots=True)
class Costs:
    """What a draft of one class costs a reviewer."""

    keep_seconds: float = DEFAULTS.accept_box_seconds
    """Looking at a right one, with what is corrected of it in the mean."""
    delete_seconds: float = DEFAULTS.delete_seconds
    """Deleting a wrong one."""
    add_seconds: float = DEFAULTS.add_box_seconds
    """Drawing one that was not shown."""
    risk: float = 1.0
    """Weight of an object that is not shown: more than 1 where one that is overlooked does harm."""

    def __post_init__(self) -> None:
        # learnt seconds may be 0, and keeping may take longer than drawing
        if not (min(self.keep_seconds, self.delete_seconds, self.add_seconds) >= 0 and self.risk > 0):
            raise ValueError(f"{self}: expected seconds of at least 0 and a risk above 0")

    @property
    def least_probability(self) -> float:
        """Chance of being right from which a draft is worth showing: delete / (delete + risk * add - keep).

        Above 1 where none is: a right one saves nothing.
        """
        saved = self.risk * self.add_seconds - self.keep_seconds
        return self.delete_seconds / (self.delete_seconds + saved) if saved > 0 else math.inf

    def seconds(self, drafts: Scored, cutoff: float) -> float:
        """Sum the seconds of drafts under a cut-off, of objects that no draft found not: they cost the same always."""
        shown = drafts.scores >= cutoff
        right, wrong = drafts.right & shown, ~drafts.right & shown
        missed = drafts.right & ~shown
        return float(
            right.sum() * self.keep_seconds
            + wrong.sum() * self.delete_seconds
            + missed.sum() * self.risk * self.add_seconds
        )


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Cut-offs of every class, and what they are compared with."""

    by_class: Mapping[str, float]
    """Least score of a draft that is shown; `NOTHING_SHOWN` where none is worth it."""
    single: float
    """The best one for all classes together."""
    pooled: tuple[str, ...]
    """Classes with too few drafts, which have the cut-off calibrated on all."""
    seconds: float
    """Review seconds with the cut-offs, on the drafts they were made of."""
    single_seconds: float
    """The same with the best single one."""
    drafts: Mapping[str, int] = field(default_factory=dict)
    """Drafts behind each class."""


def calibrated(drafts: Scored) -> tuple[_Real, _Real]:
    """Learn how often drafts of a score are right, never falling with the score.

    Returns:
        The scores that occur, ascending, and the probability of being right at each.
    """
    scores, at = np.unique(drafts.scores, return_inverse=True)
    count = np.bincount(at)
    share = np.bincount(at, weights=drafts.right.astype(np.float64)) / count
    return scores, np.asarray(isotonic_regression(share, weights=count).x)


def solve(drafts: Mapping[str, Scored], costs: Mapping[str, Costs] | None = None) -> Cutoffs:
    """Find the cut-off of each class with the least expected seconds.

    A draft is shown when its calibrated chance of being right reaches `Costs.least_probability`.

    Args:
        drafts: Drafts by class, those that are below today's cut-offs among them.
        costs: Costs by class; published seconds and no extra risk where a class has none.

    Returns:
        Cut-offs. Compare them on nights they were not made of with `seconds_of`.

    Raises:
        ValueError: There is no draft at all.
    """
    every = Scored(
        np.concatenate([np.zeros(0), *(one.scores for one in drafts.values())]),
        np.concatenate([np.zeros(0, dtype=np.bool_), *(one.right for one in drafts.values())]),
    )
    if not len(every.scores):
        raise ValueError("no draft has a blind or gold label beside it, so no cut-off can be found")
    cost_of = {name: (costs or {}).get(name, Costs()) for name in drafts}
    pooled = tuple(sorted(name for name, one in drafts.items() if len(one.scores) < LEAST_DRAFTS))
    by_class = {
        name: _cut(every if name in pooled else one, cost_of[name].least_probability)
        for name, one in sorted(drafts.items())
    }
    single = _best_single(drafts, cost_of)
    return Cutoffs(
        by_class=by_class,
        single=single,
        pooled=pooled,
        seconds=seconds_of(drafts, by_class, costs),
        single_seconds=seconds_of(drafts, dict.fromkeys(drafts, single), costs),
        drafts={name: len(one.scores) for name, one in sorted(drafts.items())},
    )


def seconds_of(
    drafts: Mapping[str, Scored], cutoffs: Mapping[str, float], costs: Mapping[str, Costs] | None = None
) -> float:
    """Sum review seconds of drafts under cut-offs."""
    return math.fsum((costs or {}).get(name, Costs()).seconds(one, cutoffs[name]) for name, one in drafts.items())


def _cut(drafts: Scored, least: float) -> float:
    scores, probability = calibrated(drafts)
    worth = np.flatnonzero(probability >= least)
    return float(scores[worth[0]]) if len(worth) else NOTHING_SHOWN


def _best_single(drafts: Mapping[str, Scored], costs: Mapping[str, Costs]) -> float:
    """Try every score that occurs, from the highest: each draft that joins adds what showing it costs more or less."""
    scores = np.concatenate([one.scores for one in drafts.values()])
    gain = np.concatenate(
        [
            np.where(one.right, cost.keep_seconds - cost.risk * cost.add_seconds, cost.delete_seconds)
            for one, cost in ((drafts[name], costs[name]) for name in drafts)
        ]
    )
    order = np.argsort(-scores, kind="stable")
    total = np.cumsum(gain[order])
    last = np.append(np.diff(scores[order]) != 0, True)  # drafts of one score are shown together
    best = int(np.argmin(np.where(last, total, np.inf)))
    return float(scores[order][best]) if total[best] < 0 else NOTHING_SHOWN
