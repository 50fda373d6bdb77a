"""One prober with full jitter: rests stay under their limit, patience ends, a probe that lies does not reset it."""

from __future__ import annotations

import pytest

from labelop.errors import HeadOfficeUnavailableError
from labelop.site.link import FIRST_SECONDS, MOST_SECONDS, Link


class Away:
    """A head office that is away until a time; counts what it is asked."""

    def __init__(self, until: float, *, lies: bool = False) -> None:
        self.now, self.until, self.lies = 0.0, until, lies
        self.calls = self.probes = 0
        self.rests: list[float] = []
        self.limits: list[float] = []

    def link(self, patience: float) -> Link:
        """Make the way to it, on its own clock; every rest is drawn as long as it may be."""

        def draw(least: float, most: float) -> float:
            assert least == 0.0
            self.limits.append(most)
            return most

        def sleep(seconds: float) -> None:
            self.rests.append(seconds)
            self.now += seconds

        return Link(self.probe, patience_seconds=patience, clock=lambda: self.now, sleep=sleep, draw=draw)

    def _answer(self) -> None:
        if self.now < self.until:
            raise HeadOfficeUnavailableError("Nobody answered.")

    def probe(self) -> None:
        """Answer the smallest request."""
        self.probes += 1
        if not self.lies:
            self._answer()

    def call(self) -> str:
        """Answer a whole request."""
        self.calls += 1
        self._answer()
        return "taken"


def test_after_a_failed_call_only_probes_are_made_until_one_is_answered() -> None:
    """The circuit is open while it is away: one call found nobody, one call goes through, between them only probes."""
    away = Away(until=3600)
    assert away.link(patience=10_000).call(away.call) == "taken"
    assert away.calls == 2
    assert away.probes > 10


def test_the_limit_of_a_rest_doubles_up_to_five_minutes() -> None:
    """Each rest is drawn between nothing and a limit that doubles until it is five minutes."""
    away = Away(until=7200)
    away.link(patience=100_000).call(away.call)
    assert away.limits[:4] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, 8 * FIRST_SECONDS]
    assert max(away.limits) == MOST_SECONDS == 300
    assert away.now - away.until <= MOST_SECONDS


@pytest.mark.parametrize("patience", [0.0, 30.0, 600.0])
def test_patience_ends(patience: float) -> None:
    """It waits no longer than it was told, and without patience it tries once and rests never."""
    away = Away(until=1e9)
    with pytest.raises(HeadOfficeUnavailableError):
        away.link(patience).call(away.call)
    assert away.now <= patience
    assert (away.rests == []) is (patience == 0.0)


def test_probes_that_pass_do_not_start_the_rests_again() -> None:
    """Where small requests pass and whole ones do not, rests still grow: a probe alone closes nothing for good."""
    away = Away(until=2000, lies=True)
    assert away.link(patience=100_000).call(away.call) == "taken"
    assert away.limits == sorted(away.limits)
    assert away.calls < 20
