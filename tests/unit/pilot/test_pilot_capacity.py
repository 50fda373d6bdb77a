"""What reviewers can absorb: formulas against worked figures, and sixty nights that never exceed it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from labelop.errors import ConfigurationError
from labelop.pilot.capacity import Team, admission, erlang_c, forecast, load_team, staff, wait


def team(**changed: float) -> Team:
    """Make a team of three who are always there."""
    values: dict[str, float] = {"reviewers": 3, "hours_per_day": 6, "shrinkage": 0.0, **changed}
    return Team(**values)  # type: ignore[arg-type]


def test_capacity_is_in_seconds() -> None:
    """Cap = R * h * 3600 * util / s, of those who are present."""
    assert team().day_seconds == pytest.approx(3 * 6 * 3600 * 0.85)
    assert team().images_per_day(30.0) == pytest.approx(1836)
    assert team(shrinkage=0.3).day_seconds == pytest.approx(0.7 * 3 * 6 * 3600 * 0.85)
    assert team().images_per_day(0.0) is None
    assert staff(1837, 30.0, team()) == 4
    assert staff(10, 30.0, team(hours_per_day=0)) is None


def test_erlang_c_gives_the_published_shares() -> None:
    """At c = 3, 67 % and 90 % utilisation make .44 and .82 of the arrivals wait; 1,000 reviewers overflow nothing."""
    assert erlang_c(2.0, 3) == pytest.approx(4 / 9)
    assert erlang_c(2.7, 3) == pytest.approx(0.82, abs=0.005)
    assert erlang_c(0.5, 1) == pytest.approx(0.5)
    assert 0 < erlang_c(950.0, 1000) < 1
    with pytest.raises(ValueError, match="load 3"):
        erlang_c(3.0, 3)


def test_waits_of_batches_match_a_simulated_queue() -> None:
    """Twenty images at once make a draft wait far longer than Erlang C says, and as simulated within a tenth."""
    draw, count, batch, reviewers = np.random.default_rng(3), 120_000, 20, 3
    arrivals = np.repeat(np.cumsum(draw.exponential(batch / 0.08, count // batch)), batch)
    sigma = 0.6
    service = draw.lognormal(math.log(30) - sigma**2 / 2, sigma, count)
    free, waited = [0.0] * reviewers, 0.0
    for at, seconds in zip(arrivals.tolist(), service.tolist(), strict=True):
        first = min(range(reviewers), key=free.__getitem__)
        begins = max(at, free[first])
        waited += begins - at
        free[first] = begins + seconds
    cv2 = math.exp(sigma**2) - 1
    told = wait(0.08, 30.0, reviewers, batch_images=batch, service_cv2=cv2)
    smooth = wait(0.08, 30.0, reviewers, service_cv2=1.0)
    assert told.seconds is not None
    assert smooth.seconds is not None
    assert told.seconds == pytest.approx(waited / count, rel=0.1)
    assert told.seconds > 10 * smooth.seconds


def test_a_queue_without_end_has_no_wait() -> None:
    """Nobody to review, or more work than people: null with the reason, neither zero nor a crash."""
    assert wait(1.0, 30.0, 0, service_cv2=0.4).reason == "nobody reviews"
    endless = wait(1.0, 30.0, 30, service_cv2=0.4)
    assert endless.seconds is None
    assert "never ends" in endless.reason


def test_admission_is_what_cover_leaves_of_the_backlog() -> None:
    """Admit = max(0, cover * cap - backlog); work is taken in order, up to the first piece that does not fit."""
    made = admission(team(cover_days=2), 100_000)
    assert made.admit_seconds == pytest.approx(2 * 55_080 - 100_000)
    assert admission(team(), 60_000).admit_seconds == 0
    assert made.count([5_000, 5_000, 1_000, 100]) == 2
    assert admission(team(), 55_079.9).count([0.1] * 3) == 1
    with pytest.raises(ValueError, match="backlog"):
        admission(team(), math.nan)


def test_no_capacity_admits_nothing_and_says_so() -> None:
    """A team of nobody, or of no hours, holds everything back with a sentence."""
    for nobody in (team(reviewers=0), team(hours_per_day=0)):
        made = admission(nobody, 7_200)
        assert (made.admit_seconds, made.count([1.0])) == (0, 0)
        assert made.said == "Reviewers have no capacity, 2.0 h wait: nothing is admitted."
    assert admission(team(), 0).count([]) == 0
    uncovered = admission(team(cover_days=0), 7_200)
    assert (uncovered.admit_seconds, uncovered.count([1.0])) == (0, 0)
    assert uncovered.said == "No review may wait (0 days of cover), 2.0 h do: nothing is admitted."


def test_planned_load_never_exceeds_capacity_in_sixty_nights() -> None:
    """Whatever arrives and however wrong the expected seconds are, what is planned is within cover times capacity."""
    for seed in range(4):
        draw, people = np.random.default_rng(seed), team(cover_days=float(1 + seed % 3))
        waiting: list[float] = []  # expected seconds of drafts that wait for a reviewer
        held: list[float] = []
        done = admitted = 0
        for _ in range(60):
            held += draw.lognormal(3.2, 0.6, draw.poisson(2_500)).tolist()
            night = admission(people, math.fsum(waiting))
            taken = night.count(held)
            waiting, held = waiting + held[:taken], held[taken:]
            admitted += taken
            assert math.fsum(waiting) <= people.cover_days * people.day_seconds * (1 + 1e-9)
            spent = 0.0
            while waiting and spent < people.day_seconds:
                spent += waiting.pop(0) * draw.lognormal(0.2, 0.5)  # people are slower than expected
                done += 1
        assert done == admitted - len(waiting)
        assert done > 60 * 1_000  # holding back starves nobody of work


def test_a_growing_backlog_raises_an_alarm() -> None:
    """More arrivals than hands alarm five days ahead; fewer do not; without history there is no forecast."""
    assert forecast(team(), 0.0, [70_000, 80_000, 90_000]).alarm
    calm = forecast(team(), 10_000, [30_000, 40_000])
    assert not calm.alarm
    assert [one.count for one in calm.backlog_seconds] == [2] * 5
    assert forecast(team(), 0.0, []).share_above is None
    assert forecast(team(reviewers=0), 0.0, [1.0]).alarm


def test_a_team_is_read_and_checked(tmp_path: Path) -> None:
    """No file means no limit; a wrong value is named; zero reviewers are allowed and mean none."""
    path = tmp_path / "capacity.yaml"
    assert load_team(path) is None
    path.write_text("schema: 1\nreviewers: 0\nhours_per_day: 6\n")
    assert load_team(path) == Team(0, 6.0)
    path.write_text("schema: 1\nreviewers: 2\nhours_per_day: 6\ncover_days: 4\n")
    with pytest.raises(ConfigurationError, match="cover_days"):
        load_team(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("utilisation", "1.0e-320"), ("hours_per_day", "1.0e-300"), ("hours_per_day", "true"), ("reviewers", "true")],
)
def test_a_value_of_a_team_that_no_team_has_is_named(tmp_path: Path, key: str, value: str) -> None:
    """They were taken: next to no time broke the command or needed staff of 300 digits, and `true` was one reviewer."""
    path = tmp_path / "capacity.yaml"
    given = {"schema": "1", "reviewers": "2", "hours_per_day": "6", key: value}
    path.write_text("".join(f"{name}: {text}\n" for name, text in given.items()))
    with pytest.raises(ConfigurationError, match=f"key {key} has the value .*; allowed is"):
        load_team(path)
