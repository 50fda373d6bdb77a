"""How much people can review: capacity in seconds, waits, the backlog to come, and what a night may admit.

`measures.md` sections 5 and 7. Capacity is in seconds, never in images: a path that drafts faster and needs more
correcting lets fewer images through. Knows no table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from labelop.effort.estimates import Estimate
from labelop.errors import ConfigurationError
from labelop.forms import FirstSchema, StrictForm, read_form

MOST_COVER_DAYS = 3.0
"""Days of review that may wait at most: older drafts go stale."""

ALARM_SHARE = 0.2
"""Chance of a backlog above the limit from which people should know."""

_HOUR = 3600.0
_DUST = 1e-12
_LEAST_HOURS = 0.1


def _hours(given: float) -> float:
    """Refuse a working day of seconds, which is a slip of the pen: nobody at all is written as 0."""
    if 0 < given < _LEAST_HOURS:
        raise ValueError(f"allowed is 0, or {_LEAST_HOURS:g} to 24")
    return given


class _TeamForm(StrictForm):
    # strict: `true` is no number; bounds: shares so near to nothing need staff beyond all figures
    version_of_schema: FirstSchema = Field(alias="schema")
    reviewers: Annotated[int, Field(strict=True, ge=0, le=10_000)]
    hours_per_day: Annotated[float, Field(strict=True, ge=0, le=24), AfterValidator(_hours)]
    utilisation: Annotated[float, Field(strict=True, ge=0.01, le=1)] = 0.85
    shrinkage: Annotated[float, Field(strict=True, ge=0, le=0.99)] = 0.30
    cover_days: Annotated[float, Field(strict=True, ge=0, le=MOST_COVER_DAYS)] = 1.0


@dataclass(frozen=True, slots=True)
class Team:
    """Who reviews, and how much of it may wait."""

    reviewers: int
    """People on the list."""
    hours_per_day: float
    """Paid hours of each a day."""
    utilisation: float = 0.85
    """Share of present time that may be planned, 0..1: a team planned to the last minute has long queues."""
    shrinkage: float = 0.30
    """Share of paid time that is leave, breaks and meetings, 0..1."""
    cover_days: float = 1.0
    """Days of review that may wait."""

    @property
    def present_seconds(self) -> float:
        """Seconds a day that people are there, all together: R * h * 3600 of those who are there."""
        return self.reviewers * (1 - self.shrinkage) * self.hours_per_day * _HOUR

    @property
    def day_seconds(self) -> float:
        """Active seconds of review a day: R * h * 3600 * util of those who are there."""
        return self.present_seconds * self.utilisation

    @property
    def present(self) -> int:
        """People who are there at once: whole ones, and one where there is anybody, who is there for a part of the day.

        Each of them works `present_seconds / present` a day, so that waits and capacity are of the same time.
        """
        return max(min(self.reviewers, 1), math.floor(round(self.reviewers * (1 - self.shrinkage), 9)))

    def images_per_day(self, review_seconds: float) -> float | None:
        """Turn capacity into images of so many seconds each; None where an image takes no time."""
        return self.day_seconds / review_seconds if review_seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a draft waits for a reviewer, in a queue that does not grow; null and why where it does."""

    utilisation: float | None
    """Offered load per reviewer; None without reviewers."""
    share_waiting: float | None
    """Share of drafts that wait at all, 0..1 (Erlang C)."""
    seconds: float | None
    """Mean wait."""
    reason: str = ""
    """Why there is no figure."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What a night may still give to reviewers."""

    day_seconds: float
    """Capacity a day."""
    limit_seconds: float
    """Review that may wait: cover days times capacity a day."""
    backlog_seconds: float
    """Review that waits already."""
    admit_seconds: float
    """max(0, limit - backlog)."""

    @property
    def said(self) -> str:
        """The sentence a person reads."""
        hours = [seconds / _HOUR for seconds in (self.limit_seconds, self.backlog_seconds, self.admit_seconds)]
        if self.day_seconds == 0:
            return f"Reviewers have no capacity, {hours[1]:.1f} h wait: nothing is admitted."
        if self.limit_seconds == 0:
            return f"No review may wait (0 days of cover), {hours[1]:.1f} h do: nothing is admitted."
        return f"Reviewers cover {hours[0]:.1f} h, {hours[1]:.1f} h wait: {hours[2]:.1f} h are admitted."

    def count(self, expected_seconds: Sequence[float]) -> int:
        """Say how many pieces of work, in order, fit: all before the first that does not."""
        total = np.cumsum(np.asarray(expected_seconds, dtype=np.float64))
        dust = _DUST * self.limit_seconds  # of sums of decimals
        return int(np.searchsorted(total, self.admit_seconds + dust, side="right")) if self.admit_seconds else 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """The backlog some days ahead."""

    backlog_seconds: tuple[Estimate, ...]
    """Median and P10 to P90 after each day; null without history."""
    share_above: float | None
    """Chance that it is above the limit on the last day, 0..1."""
    alarm: bool
    """Whether people should know."""
    reason: str = ""
    """Why there is no figure."""


def load_team(path: Path) -> Team | None:
    """Read `capacity.yaml`; None where there is none, and then nothing is held back.

    Raises:
        ConfigurationError: The file breaks its form; names key, value found and what is allowed.
    """
    if not path.exists():
        return None
    form = read_form(path, _TeamForm, error=ConfigurationError)
    return Team(form.reviewers, form.hours_per_day, form.utilisation, form.shrinkage, form.cover_days)


def admission(team: Team, backlog_seconds: float) -> Admission:
    """Decide how much review may be added: max(0, cover * capacity - backlog) (`measures.md` section 7)."""
    if not (math.isfinite(backlog_seconds) and backlog_seconds >= 0):
        raise ValueError(f"backlog of {backlog_seconds} seconds, expected at least 0")
    limit = team.cover_days * team.day_seconds
    return Admission(team.day_seconds, limit, backlog_seconds, max(0.0, limit - backlog_seconds))


def staff(arrivals_per_day: float, review_seconds: float, team: Team) -> int | None:
    """Say how many people on the list this work needs: ceil(arrivals * s / (3600 * h * util)) of those present."""
    each = (1 - team.shrinkage) * team.hours_per_day * _HOUR * team.utilisation
    return math.ceil(arrivals_per_day * review_seconds / each) if each > 0 else None


def erlang_c(load: float, reviewers: int) -> float:
    """Give the share of arrivals that wait: [a^c/(c!(1-rho))] / [sum_{k<c} a^k/k! + a^c/(c!(1-rho))].

    Args:
        load: Offered load a, arrivals times service time; at least 0 and below `reviewers`.
        reviewers: c, at least 1.

    Raises:
        ValueError: The queue would grow without end.
    """
    if not 0 <= load < reviewers:
        raise ValueError(f"load {load} for {reviewers} reviewers, expected 0 <= load < reviewers")
    blocked = 1.0  # Erlang B by its recursion: powers and factorials overflow beyond 170 reviewers
    for servers in range(1, reviewers + 1):
        blocked = load * blocked / (servers + load * blocked)
    return blocked / (1 - load / reviewers * (1 - blocked))


def wait(
    arrivals_per_second: float, review_seconds: float, reviewers: int, *, batch_images: float = 1.0, service_cv2: float
) -> Wait:
    """Estimate waits of drafts that arrive in batches at random times.

    Wq = Erlang / (c mu - lambda) * (1 + Cs2) / 2 as for single arrivals (Allen and Cunneen), and within a batch of B
    (B - 1) s / (2 (c - a)) more: exact for one reviewer, as each batch finds the work of earlier ones. Their formula
    with Ca2 = 2 B - 1 would take the first of a batch for as late as its last.

    Args:
        arrivals_per_second: Images that arrive.
        review_seconds: Mean seconds of a review.
        reviewers: People at work.
        batch_images: Images that are released together, at least 1.
        service_cv2: Squared coefficient of variation of the seconds of a review; exp(sd^2) - 1 for log-normal ones.
    """
    load = arrivals_per_second * review_seconds
    if reviewers < 1:
        return Wait(None, None, None, "nobody reviews")
    if load >= reviewers:
        reason = f"work for {load:.2f} reviewers and {reviewers} are there: the queue never ends"
        return Wait(load / reviewers, None, None, reason)
    waiting = erlang_c(load, reviewers)
    spare = reviewers - load
    seconds = review_seconds / spare * (waiting * (1 + service_cv2) + batch_images - 1) / 2
    return Wait(load / reviewers, waiting, seconds)


def forecast(
    team: Team, backlog_seconds: float, daily_seconds: Sequence[float], *, days: int = 5, seed: int = 0
) -> Forecast:
    """Forecast the backlog: each day brings one of the days seen before, drawn anew, and takes away what people can do.

    Args:
        team: Who reviews.
        backlog_seconds: Review that waits now.
        daily_seconds: Review seconds that arrived on each day seen before.
        days: Days ahead.
        seed: Of the draws.
    """
    if not len(daily_seconds):
        return Forecast((), None, alarm=False, reason="no day has been seen yet")
    draws = np.random.default_rng(seed).choice(np.asarray(daily_seconds, dtype=np.float64), (9999, days))
    backlog, told = np.full(len(draws), backlog_seconds), []
    for day in range(days):
        backlog = np.maximum(0.0, backlog + draws[:, day] - team.day_seconds)
        low, middle, high = np.quantile(backlog, [0.1, 0.5, 0.9]).tolist()
        told.append(Estimate(middle, low, high, len(daily_seconds)))
    above = float(np.mean(backlog > team.cover_days * team.day_seconds))
    return Forecast(tuple(told), above, alarm=above > ALARM_SHARE)
