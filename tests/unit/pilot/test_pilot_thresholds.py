"""Cut-offs per class: the known optimum of a drawn class mix, and nights they were not made of."""

from __future__ import annotations

import numpy as np
import pytest

from labelop.pilot.thresholds import NOTHING_SHOWN, Costs, Scored, calibrated, seconds_of, solve

POWERS = {"common": 1.0, "proud": 3.0, "shy": 0.35}
"""A draft of score s is right with probability s ** power: calibrated, too sure, and too shy."""

COSTS = {"common": Costs(), "proud": Costs(keep_seconds=4.0), "shy": Costs(risk=3.0)}


def night(seed: int, count: int = 4000) -> dict[str, Scored]:
    """Draw a night's drafts of three classes whose chance of being right is known for each score."""
    draw = np.random.default_rng(seed)
    made = {}
    for name, power in POWERS.items():
        scores = draw.beta(0.8, 1.2, count)
        made[name] = Scored(scores, draw.random(count) < scores**power)
    return made


def optimum(name: str) -> float:
    """Give the score at which the known chance of being right reaches what showing needs."""
    return float(COSTS[name].least_probability ** (1 / POWERS[name]))


def test_what_showing_needs_is_the_ratio_of_seconds() -> None:
    """Delete / (delete + risk * add - keep); a dangerous class is shown earlier."""
    assert Costs().least_probability == pytest.approx(2.8 / (2.8 + 12.5 - 1.8))
    assert Costs(risk=3.0).least_probability < Costs().least_probability
    with pytest.raises(ValueError, match="expected seconds of at least 0"):
        Costs(keep_seconds=float("nan"))


def test_seconds_at_the_edge_have_their_cut_off() -> None:
    """Learnt seconds broke the search: all is shown where deleting takes none, nothing where keeping is drawing."""
    drafts = {"a": Scored(np.array([0.2, 0.9]), np.array([False, True]))}
    assert solve(drafts, {"a": Costs(delete_seconds=0.0)}).by_class == {"a": 0.2}
    assert solve(drafts, {"a": Costs(keep_seconds=12.5)}).by_class == {"a": NOTHING_SHOWN}


def test_the_solver_finds_the_known_optimum() -> None:
    """Cut-offs of five nights lie near the optimum of each class and cost at most 1 % more than it on ten new ones."""
    found = solve(night(1, count=20_000), COSTS)
    best = {name: optimum(name) for name in POWERS}
    for name in POWERS:
        assert found.by_class[name] == pytest.approx(best[name], abs=0.05)
    spent = [[seconds_of(night(seed), cuts, COSTS) for cuts in (found.by_class, best)] for seed in range(50, 60)]
    ours, least = np.sum(spent, axis=0).tolist()
    assert ours <= 1.01 * least


def test_classes_apart_beat_the_best_single_cutoff_on_held_out_nights() -> None:
    """On each of ten nights it was not made of, a cut-off per class takes fewer seconds than the best single one."""
    found = solve(night(2), COSTS)
    for seed in range(70, 80):
        held_out = night(seed)
        single = seconds_of(held_out, dict.fromkeys(held_out, found.single), COSTS)
        assert seconds_of(held_out, found.by_class, COSTS) < 0.99 * single


def test_no_single_cutoff_is_better_than_the_one_found() -> None:
    """Tried against a hundred others on the drafts it was made of."""
    made = night(3, count=300)
    found = solve(made, COSTS)
    assert all(
        seconds_of(made, dict.fromkeys(made, cut), COSTS) >= found.single_seconds - 1e-6
        for cut in np.linspace(0, 1, 101)
    )


def test_calibration_never_falls_with_the_score() -> None:
    """A score that was right less often by chance is not worth less than a lower one."""
    _, chance = calibrated(night(4)["proud"])
    assert (np.diff(chance) >= 0).all()


def test_a_class_of_few_drafts_has_the_cutoff_of_all() -> None:
    """Ten drafts calibrate nothing."""
    made = night(5)
    made["rare"] = Scored(np.linspace(0.1, 0.9, 10), np.ones(10, dtype=np.bool_))
    found = solve(made, COSTS)
    assert found.pooled == ("rare",)
    assert found.by_class["rare"] > 0.1


def test_a_class_that_is_never_right_is_not_shown() -> None:
    """Every draft of it would have to be deleted."""
    wrong = Scored(np.linspace(0, 0.99, 200), np.zeros(200, dtype=np.bool_))
    found = solve({"ghost": wrong})
    assert found.by_class["ghost"] == found.single == NOTHING_SHOWN
    assert (found.seconds, found.single_seconds) == (0.0, 0.0)


def test_the_order_of_drafts_never_matters() -> None:
    """Reversed drafts give the same cut-offs."""
    made = night(6)
    backwards = {name: Scored(one.scores[::-1], one.right[::-1]) for name, one in made.items()}
    assert solve(made, COSTS) == solve(backwards, COSTS)


def test_nonsense_is_refused() -> None:
    """No drafts, scores beyond 0..1 and NaN are errors."""
    with pytest.raises(ValueError, match="no draft"):
        solve({})
    for scores in ([1.5], [np.nan]):
        with pytest.raises(ValueError, match="within"):
            Scored(np.array(scores), np.array([True]))
    with pytest.raises(ValueError, match="one shape"):
        Scored(np.zeros(2), np.array([True]))
