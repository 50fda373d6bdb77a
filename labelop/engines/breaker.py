"""Stops asking a server that does not answer, so that a dead one costs moments and not a timeout per image.

Closed: every call goes through. Open, after too many failures in a row: none does. Half open, after a rest: one does,
and its end decides. Source: the circuit breaker of Nygard, Release It!. Knows no network and no model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from labelop.errors import EngineUnavailableError

FAILURES = 6
"""Failures in a row, over all threads, after which nothing is sent."""
REST_SECONDS = 15.0
"""How long nothing is sent before one call may try."""


class CircuitBreaker:
    """State shared by all threads of one client.

    Args:
        failures: Failures in a row that open it, at least 1.
        rest_seconds: How long it stays open before a probe.
        clock: Monotonic seconds; a test hands in its own.
    """

    def __init__(
        self,
        failures: int = FAILURES,
        rest_seconds: float = REST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1:
            raise ValueError(f"failures is {failures}, expected at least 1")
        self._most = failures
        self._rest_seconds = rest_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._cause = ""
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        """Say closed, open or half_open."""
        with self._lock:
            return self._state()

    def _state(self) -> str:
        if self._opened_at is None:
            return "closed"
        rested = self._clock() - self._opened_at >= self._rest_seconds
        return "half_open" if rested or self._probing else "open"

    def enter(self, what: str) -> None:
        """Ask whether a call may be made; each that may must end in `succeeded` or `failed`.

        Args:
            what: Model and server, for the message.

        Raises:
            EngineUnavailableError: It is open, or another call is the probe; nothing was sent.
        """
        with self._lock:
            state = self._state()
            if state == "closed":
                return
            if state == "half_open" and not self._probing:
                self._probing = True
                return
            failed, cause = self._failed, self._cause
        raise EngineUnavailableError(
            f"{what} was not asked: the last {failed} tries in a row failed. The last one: {cause}",
            hint=f"One call tries again every {self._rest_seconds:g} seconds. Is the inference server running?",
            circuit="open",
        )

    def succeeded(self) -> None:
        """Note that the server answered, if only with a refusal."""
        with self._lock:
            self._failed, self._opened_at, self._probing = 0, None, False

    def failed(self, cause: str) -> None:
        """Note that it did not answer, or not in time, or that it failed.

        Args:
            cause: What happened, a sentence for the error of those who are not let through.
        """
        with self._lock:
            self._failed += 1
            self._cause = cause
            if self._probing or self._failed >= self._most:
                self._opened_at, self._probing = self._clock(), False
