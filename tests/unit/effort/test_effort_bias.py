"""Reviewers whose carelessness is known, since it is drawn here, are recovered with the confidence that is claimed."""

from __future__ import annotations

import numpy as np
import pytest

from labelop.effort.bias import WrongPrediction, anchoring_excess, catch_rate, excess_between, residual_errors
from labelop.effort.estimates import Estimate

SEEDS = 100
LEAST_INSIDE = 93


def holds(found: Estimate, truth: float) -> bool:
    """Say whether the interval holds the truth."""
    return found.low is not None and found.high is not None and found.low <= truth <= found.high


@pytest.mark.parametrize("catch", [0.55, 0.75, 0.9])
def test_over_accepting_reviewers_are_recovered(catch: float) -> None:
    """The true catch rate and the errors that really escaped lie in their intervals in at least 93 of 100 draws."""
    rates = errors = 0
    for number in range(SEEDS):
        draw = np.random.default_rng(number)
        real, seeded = 200, 120
        fixed, caught = int(draw.binomial(real, catch)), int(draw.binomial(seeded, catch))
        rates += holds(catch_rate(caught, seeded).rate, catch)
        errors += holds(residual_errors(fixed, caught, seeded, 3000).errors, real - fixed)
    assert rates >= LEAST_INSIDE
    assert errors >= LEAST_INSIDE


def test_anchored_reviewers_are_recovered() -> None:
    """The true excess of following wrong predictions lies in the interval in at least 93 of 100 draws.

    Images differ in how tempting their wrong predictions are, so predictions of one image are not independent.
    """
    inside = between = 0
    for number in range(SEEDS):
        draw = np.random.default_rng(1000 + number)
        wrong, counts = [], np.zeros(4, dtype=int)
        for image in range(150):
            tempting = draw.choice([-0.15, 0.15])
            for _ in range(draw.integers(1, 5)):
                arm, blind = bool(draw.random() < 0.45 + tempting), bool(draw.random() < 0.2 + tempting)
                wrong.append(WrongPrediction(f"i{image}", arm, blind))
            counts += [draw.random() < 0.45, 1, draw.random() < 0.2, 1]
        inside += holds(anchoring_excess(wrong, resamples=499, seed=number), 0.25)
        between += holds(excess_between(*map(int, counts)), 0.25)
    assert inside >= LEAST_INSIDE
    assert between >= LEAST_INSIDE


def test_the_verdict_has_three_ways() -> None:
    """All of the interval above the target passes, all of it below fails, anything else says that more is needed."""
    assert catch_rate(190, 200).verdict == "pass"
    assert catch_rate(120, 200).verdict == "fail"
    assert catch_rate(9, 10).verdict == "inconclusive"
    assert catch_rate(0, 0).verdict == "inconclusive"
    assert catch_rate(0, 0).rate.value is None
    # 59 seeds without a miss: at most 5 % missed (measures.md 2.2)
    assert catch_rate(59, 59, target=0.93).verdict == "pass"
    with pytest.raises(ValueError, match="3 of 2"):
        catch_rate(3, 2)


def test_escaped_errors_follow_the_formula() -> None:
    """80 fixed at a catch rate of 0.8 leave 20; without a caught seed nothing can be said."""
    found = residual_errors(80, 40, 50, 1000)
    assert found.errors.value == pytest.approx(20)
    assert found.rate.value == pytest.approx(0.02)
    assert holds(found.errors, 20)
    assert residual_errors(80, 0, 50, 1000).errors.value is None
    assert residual_errors(80, 0, 0, 1000).errors.high is None
    assert residual_errors(80, 40, 50, 0).rate.value is None
    nothing = residual_errors(0, 45, 50, 1000).errors
    assert nothing.value == 0
    assert nothing.high is not None
    assert nothing.high >= 0
    with pytest.raises(ValueError, match="at least 0"):
        residual_errors(-1, 40, 50, 1000)


def test_nobody_blind_is_no_excess() -> None:
    """Without a blind arm, or with a single image, there is no difference or no interval to tell."""
    assert anchoring_excess([]).value is None
    assert anchoring_excess([WrongPrediction("i", True, None)]).value is None
    one = anchoring_excess([WrongPrediction("i", True, False)])
    assert (one.value, one.low) == (1.0, None)
    assert excess_between(1, 2, 0, 0).value is None
    assert excess_between(50, 100, 20, 100).value == pytest.approx(0.3)
