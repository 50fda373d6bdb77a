"""Waits for a network that is away without hammering it: one prober, rests with full jitter, then on where it was.

Closed: calls go through. Open, after a call that found nobody: only a probe is made, after a rest drawn evenly from
nothing to a limit that doubles up to five minutes. Its answer closes the circuit and the call is made again.
Source: Exponential Backoff And Jitter, AWS Architecture Blog ("full jitter"). Knows no table and no store.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from labelop.errors import HeadOfficeUnavailableError

FIRST_SECONDS = 1.0
"""Longest first rest."""
MOST_SECONDS = 300.0
"""Longest rest."""

_DOUBLINGS = 16  # far beyond the longest rest

R = TypeVar("R")


class Link:
    """The way to one place; for one thread of the one process that syncs (see `Site.alone`).

    Args:
        probe: The smallest request there is; raises HeadOfficeUnavailableError while nobody answers.
        patience_seconds: How long to wait for an answer, from the first try that found nobody; 0 tries once.
        clock: Monotonic seconds; a test hands in its own.
        sleep: Rests; a test hands in its own.
        draw: Gives a number of seconds between two; even.
    """

    def __init__(
        self,
        probe: Callable[[], object],
        *,
        patience_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._probe = probe
        self._patience_seconds = patience_seconds
        self._clock, self._sleep, self._draw = clock, sleep, draw
        self._tries = 0
        self._away_since: float | None = None

    def call(self, function: Callable[[], R]) -> R:
        """Call until it went through; it must be safe to call twice.

        Raises:
            HeadOfficeUnavailableError: Nobody answered within the patience.
        """
        while True:
            try:
                answer = function()
            except HeadOfficeUnavailableError as error:
                self._wait(error)
            else:
                # only a whole call shows that the way is good: a probe may pass where nothing else does
                self._tries, self._away_since = 0, None
                return answer

    def _wait(self, error: HeadOfficeUnavailableError) -> None:
        if self._away_since is None:
            self._away_since = self._clock()
        until = self._away_since + self._patience_seconds
        while True:
            rest = self._draw(0.0, min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(self._tries, _DOUBLINGS)))
            self._tries += 1
            if self._clock() + rest > until:
                raise error
            self._sleep(rest)
            try:
                self._probe()
            except HeadOfficeUnavailableError as again:
                error = again
            else:
                return
