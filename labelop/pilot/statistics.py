"""Compare two arms on the same images: seconds as a ratio, with reviewers' speeds taken out and images drawn again.

`measures.md` section 3. Wraps statsmodels and SciPy, loaded when asked for. Knows neither tables nor verdicts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats

from labelop.effort.estimates import CONFIDENCE, RESAMPLES, Estimate
from labelop.pilot.design import check_once

_Real = NDArray[np.float64]

LEAST_PAIRS = 10
"""Images with both reviews below which no interval is given."""

UNKNOWN = Estimate(None, None, None, 0)
"""A figure that is not defined."""

_NOTHING = 1e-9
_SPARE = 3  # degrees of freedom that an interval needs at least


@dataclass(frozen=True, slots=True)
class Timed:
    """One review of a pilot as the statistics see it."""

    image_id: str
    """The image."""
    stratum: str
    """Its stratum."""
    arm: str
    """Arm whose draft was shown."""
    reviewer: str
    """Pseudonym."""
    seconds: float
    """Active seconds, above 0."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError(
                f"review of {self.image_id} by {self.reviewer}: {self.seconds} seconds, expected more than 0"
            )


@dataclass(frozen=True, slots=True)
class Contrast:
    """An arm against the reference on the images that have a review under both; None and a reason where it fails."""

    arm: str
    """The arm."""
    reference: str
    """What it is compared with."""
    images_count: int
    """Images with both reviews."""
    reviewers_count: int
    """Reviewers behind them."""
    reason: str = ""
    """Why there is no figure; empty when there is."""
    log_ratio: float = math.nan
    """Log of the ratio of seconds, arm / reference, reviewers' speeds taken out."""
    error: float = math.nan
    """Its standard error, robust against unequal variances (HC3)."""
    freedom: float = math.nan
    """Degrees of freedom of it."""
    p_value: float | None = None
    """Two-sided p of no difference, by Student's t."""
    p_permutation: float | None = None
    """Two-sided p of no difference by flipping signs image by image; exact for few images."""
    bootstrap: Estimate = UNKNOWN
    """The ratio with the percentile interval over images: a check of the other one."""
    mean_ratio: Estimate = UNKNOWN
    """Ratio of the arithmetic means of seconds: what money needs."""

    def interval(self, confidence: float = CONFIDENCE) -> Estimate:
        """Give the ratio of seconds, arm / reference, with its interval; null where it is not defined."""
        if self.reason:
            return Estimate(None, None, None, self.images_count)
        half = float(stats.t.isf((1 - confidence) / 2, self.freedom)) * self.error
        low, high = math.exp(self.log_ratio - half), math.exp(self.log_ratio + half)
        return Estimate(math.exp(self.log_ratio), low, high, self.images_count)

    def p_equal(self, margin: float) -> float | None:
        """Test that both arms take the same within a margin, by two one-sided tests (TOST).

        Args:
            margin: Relative difference, 0..1; the limits are 1 - margin and 1 / (1 - margin).

        Returns:
            The larger p of the two; None where nothing is defined.
        """
        if self.reason:
            return None
        limit = -math.log1p(-margin)
        low, high = (self.log_ratio + limit) / self.error, (self.log_ratio - limit) / self.error
        return float(max(stats.t.sf(low, self.freedom), stats.t.cdf(high, self.freedom)))

    def images_to_settle(self, margin: float, *, alpha: float, power: float) -> int | None:
        """Advise how many images settle it, whether the arms differ by the margin or not at all.

        n_pair = ((z_{1-a/2} + z_{1-b}) sd / delta)^2 and n_tost = ((z_{1-a} + z_{1-b/2}) sd / margin)^2 with the upper
        80 % limit of sd, since the sd of a small pilot is itself uncertain (Browne 1995). Where so many images did not
        settle it the arms differ by less than the margin, and the difference found is what has to be settled.

        Args:
            margin: Relative difference that matters, 0..1.
            alpha: Level.
            power: Chance to settle it.

        Returns:
            Images in all; None where nothing is known of the spread.
        """
        if self.reason:
            return None
        z, limit = stats.norm.isf, -math.log1p(-margin)
        spread = self.error * math.sqrt(self.images_count)
        spread *= math.sqrt(self.freedom / float(stats.chi2.ppf(0.2, self.freedom)))
        differ = float(z(alpha / 2) + z(1 - power)) * spread
        same = float(z(alpha) + z((1 - power) / 2)) * spread
        wanted = max(differ, same) / limit
        found = abs(self.log_ratio)
        if wanted**2 <= self.images_count:
            wanted = min(differ / max(found, _NOTHING), same / max(limit - found, _NOTHING))
        return math.ceil(wanted**2)


def least_pairs(reviewers_count: int) -> int:
    """Say from how many images with both reviews on anything can be said where so many people review."""
    return max(LEAST_PAIRS, reviewers_count + _SPARE)


def paired(reviews: Sequence[Timed], arm: str, reference: str) -> list[tuple[Timed, Timed]]:
    """Find the images that have a review under an arm and one under the reference, in the order of their ids.

    Raises:
        PilotError: Somebody reviewed an image twice.
    """
    used = [one for one in reviews if one.arm in {arm, reference}]
    check_once((one.reviewer, one.image_id) for one in used)
    mine, other = ({one.image_id: one for one in used if one.arm == side} for side in (arm, reference))
    return [(mine[key], other[key]) for key in sorted(mine.keys() & other.keys())]


def contrast(
    reviews: Sequence[Timed],
    arm: str,
    reference: str,
    weights: Mapping[str, float],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Contrast:
    """Compare an arm with the reference.

    d_i = log(seconds under arm) - log(seconds under reference) = effect + speed of one reviewer - speed of the other,
    by weighted least squares: each image stands for its stratum's share of all images.

    Args:
        reviews: All reviews of the pilot; those of other arms are left alone.
        arm: The arm.
        reference: What it is compared with.
        weights: Share of all candidates by stratum.
        seed: Of the draws.
        resamples: Draws of permutation and bootstrap.

    Returns:
        The contrast, or why there is none.

    Raises:
        PilotError: Somebody reviewed an image twice.
    """
    pairs = paired(reviews, arm, reference)
    images = [mine.image_id for mine, _ in pairs]
    names = sorted({one.reviewer for pair in pairs for one in pair})
    made = Contrast(arm, reference, len(images), len(names))
    if len(images) < LEAST_PAIRS:
        under = Counter(one.arm for one in reviews)
        counts = f"{under[arm]} reviews under {arm} and {under[reference]} under {reference}"
        return replace(
            made, reason=f"{len(images)} images have both reviews, at least {LEAST_PAIRS} are needed ({counts})"
        )
    seconds = np.array([[mine.seconds, other.seconds] for mine, other in pairs])
    if np.ptp(seconds) == 0:
        return replace(made, reason=f"every review took {seconds[0, 0]:g} s: that was not measured")
    gap = np.log(seconds[:, 0]) - np.log(seconds[:, 1])
    strata, at = np.unique([mine.stratum for mine, _ in pairs], return_inverse=True)
    share = np.array([weights[name] for name in strata]) / np.bincount(at)
    weight = share[at] / share[at].sum() * len(images)
    speeds = _speeds(pairs, names)
    design = np.column_stack([np.ones(len(images)), speeds])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return replace(made, reason="reviewers did not change arms, so arm and reviewer cannot be told apart")
    if len(images) < design.shape[1] + _SPARE:
        return replace(made, reason=f"{len(images)} images are too few for {len(names)} reviewers")
    fit = _fitted(gap, design, weight)
    error = float(fit.bse[0])
    if not error > _NOTHING:
        return replace(made, reason="the two arms differ by the same factor on every image: that was not measured")
    draw = np.random.default_rng(seed)
    drawn = _drawn(at, resamples, draw)
    return replace(
        made,
        log_ratio=float(fit.params[0]),
        error=error,
        freedom=float(fit.df_resid),
        p_value=float(fit.pvalues[0]),
        p_permutation=_permuted(gap, speeds, weight, resamples, draw),
        bootstrap=interval_of(
            np.exp(_refitted(gap, design, weight, drawn)), math.exp(float(fit.params[0])), len(images)
        ),
        mean_ratio=_mean_ratio(seconds, weight, drawn),
    )


def holm(p_values: Sequence[float], *, true_count: int | None = None) -> list[float]:
    """Adjust p values of several hypotheses so that together they keep one level (Holm).

    Args:
        p_values: One for each hypothesis.
        true_count: How many of them can be true at once, as far as logic says so (Shaffer 1986); None: all.

    Returns:
        The adjusted p values, in the same order: the smallest counts as often as hypotheses can be true.
    """
    order = np.argsort(p_values, kind="stable")
    times = np.minimum(np.arange(len(order), 0, -1), len(order) if true_count is None else true_count)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, dtype=float)[order] * times))
    return [float(p) for p in adjusted]


def _speeds(pairs: Sequence[tuple[Timed, Timed]], names: Sequence[str]) -> _Real:
    """Give an orthonormal basis of the reviewers' contrasts, shape (images, reviewers - 1 at most)."""
    column = {name: at for at, name in enumerate(names)}
    signs = np.zeros((len(pairs), len(names)))
    for row, (mine, other) in enumerate(pairs):
        signs[row, column[mine.reviewer]] += 1
        signs[row, column[other.reviewer]] -= 1
    return np.asarray(linalg.orth(signs))


def _fitted(gap: _Real, design: _Real, weight: _Real) -> Any:
    from statsmodels.regression.linear_model import WLS  # noqa: PLC0415 - slow to import

    return WLS(gap, design, weights=weight).fit(cov_type="HC3", use_t=True)


def _permuted(gap: _Real, speeds: _Real, weight: _Real, resamples: int, draw: np.random.Generator) -> float:
    """Flip the signs of what reviewers' speeds leave of each image's difference."""
    root = np.sqrt(weight)
    scaled = speeds * root[:, None]
    basis = linalg.orth(scaled)
    left = [side - basis @ (basis.T @ side) for side in (root, root * gap)]
    result = stats.permutation_test(
        (left[0] * left[1],), np.mean, permutation_type="samples", vectorized=True, n_resamples=resamples, rng=draw
    )
    return float(result.pvalue)


def _drawn(stratum: NDArray[np.intp], resamples: int, draw: np.random.Generator) -> _Real:
    """Draw images again within their strata: how often each comes, shape (resamples, images)."""
    counts = np.zeros((resamples, len(stratum)))
    for number in np.unique(stratum):
        own = np.flatnonzero(stratum == number)
        counts[:, own] = draw.multinomial(len(own), np.full(len(own), 1 / len(own)), size=resamples)
    return counts


def _refitted(gap: _Real, design: _Real, weight: _Real, drawn: _Real) -> _Real:
    """Fit the effect to every draw; a reviewer whom a draw leaves out has no say in it."""
    width = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(gap), -1)
    times = drawn * weight
    squares = (times @ products).reshape(-1, width, width)
    return np.asarray(
        (np.linalg.pinv(squares, hermitian=True) @ (times @ (design * gap[:, None]))[:, :, None])[:, 0, 0]
    )


def _mean_ratio(seconds: _Real, weight: _Real, drawn: _Real) -> Estimate:
    totals = (drawn * weight) @ seconds
    whole = weight @ seconds
    return interval_of(totals[:, 0] / totals[:, 1], float(whole[0] / whole[1]), len(seconds))


def interval_of(drawn: _Real, value: float, count: int) -> Estimate:
    """Give a figure its percentile interval over draws."""
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Estimate(value, low, high, count)
