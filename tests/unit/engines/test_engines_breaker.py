"""When a client stops asking, and when it tries again."""

from __future__ import annotations

import pytest

from labelop.engines.breaker import CircuitBreaker
from labelop.errors import EngineUnavailableError


def test_a_refusal_is_an_answer() -> None:
    """Refused requests do not open the circuit: the server lives; only one call probes at a time."""
    now = [0.0]
    breaker = CircuitBreaker(failures=2, rest_seconds=1, clock=lambda: now[0])
    for _ in range(3):
        breaker.enter("m")
        breaker.failed("status 500: boom")
        breaker.enter("m")
        breaker.succeeded()
    assert breaker.state == "closed"
    breaker.failed("status 500: boom")
    breaker.failed("status 500: boom")
    now[0] = 1.0
    breaker.enter("m")
    with pytest.raises(EngineUnavailableError, match=r"2 tries in a row failed\. The last one: status 500: boom"):
        breaker.enter("m")
    with pytest.raises(ValueError, match="at least 1"):
        CircuitBreaker(failures=0)
