"""How fast each reviewer is, apart from what the reviewed images took: a mixed model of log seconds.

Protocol: `measures.md` 1.6. Wraps statsmodels, loaded when asked for. Knows no operation and no table.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LEAST_REST = 1e-6
"""Largest residual of log seconds that is none: a millionth of the time."""


def reviewer_factors(
    reviewers: Sequence[str], seconds: NDArray[np.float64], modelled: NDArray[np.float64], position: NDArray[np.float64]
) -> dict[str, float]:
    """Estimate each reviewer's share of the modelled seconds: exp of the intercept of a mixed model of log seconds.

    Args:
        reviewers: Pseudonym of who made each review.
        seconds: Measured seconds of each, above 0, shape (reviews,).
        modelled: Modelled seconds of each, above 0, same shape.
        position: Place of each in its batch, same shape.

    Returns:
        Factors with geometric mean 1; all 1 where reviewers do not differ or there are too few reviews to tell.
    """
    names = sorted(set(reviewers))
    log_seconds = np.log(seconds)
    varying = [values - values.mean() for values in (np.log(modelled), position) if np.ptp(values) > 0]
    fixed = np.column_stack([np.ones(len(log_seconds)), *varying])
    alike = dict.fromkeys(names, 1.0)
    if len(names) == 1 or len(log_seconds) < fixed.shape[1] + len(names):
        return alike
    if np.abs(log_seconds - fixed @ np.linalg.lstsq(fixed, log_seconds)[0]).max() < _LEAST_REST:
        return alike  # nothing is left that reviewers could explain
    from statsmodels.regression.mixed_linear_model import MixedLM  # noqa: PLC0415 - slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reviewers of equal speed lie on the boundary: a variance of 0 is an answer
        fitted = MixedLM(log_seconds, fixed, groups=list(reviewers)).fit(reml=True)
    if not float(np.asarray(fitted.cov_re)[0, 0]) > 0:
        return alike  # of which statsmodels predicts no effects
    effects = fitted.random_effects
    speeds = np.array([float(effects[name].iloc[0]) for name in names])
    return dict(zip(names, np.exp(speeds - speeds.mean()).tolist(), strict=True))
