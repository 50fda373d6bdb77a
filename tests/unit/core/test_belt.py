"""What runs admit is counted by the orchestrator; the real server is asked in tests/flows/test_stack.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError

from labelop.pilot.capacity import Team
from tasks import belt

HOUR = Team(1, 1.0, utilisation=1.0, shrinkage=0.0)


@dataclass
class Server:
    """Counts slots as the orchestrator does, within one moment."""

    limit: int = 0
    taken: int = 0
    decays: list[float] = field(default_factory=list)
    status: int = 423

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def upsert_global_concurrency_limit_by_name(self, name: str, limit: int, slot_decay_per_second: float) -> None:
        """Set the limit."""
        assert name == belt.LIMIT
        self.limit = limit
        self.decays.append(slot_decay_per_second)

    def increment_concurrency_slots(self, names: list[str], slots: int, mode: str) -> None:
        """Take slots, or refuse."""
        assert (names, mode) == ([belt.LIMIT], "rate_limit")
        if self.taken + slots > self.limit:
            request = httpx.Request("POST", "http://127.0.0.1/increment")
            raise PrefectHTTPStatusError("no", request=request, response=httpx.Response(self.status, request=request))
        self.taken += slots


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Stand in for the orchestrator's client."""
    made = Server()
    monkeypatch.setattr(belt, "get_client", lambda **_: made)
    return made


def test_a_second_run_gets_what_the_first_left(server: Server) -> None:
    """An hour of reviewers is given once: the second run gets what is left of it, and people free it in a day."""
    assert belt.take(HOUR, [1200.0, 1200.4]) == 2
    assert belt.take(HOUR, [1200.0, 1200.0]) == 1
    assert belt.take(HOUR, [1200.0]) == 0
    assert server.limit == 3600
    assert server.decays[-1] * 86_400 == pytest.approx(3600)


def test_without_an_orchestrator_everything_is_given(server: Server) -> None:
    """Embedded there is one process, and no server is asked."""
    assert belt.reserve(HOUR, [9000.0, 1.0]) == 2
    assert server.decays == []


def test_an_answer_that_is_no_refusal_is_told(server: Server) -> None:
    """A server that fails is not taken for one that has no room."""
    server.status = 500
    with pytest.raises(PrefectHTTPStatusError):
        belt.take(HOUR, [9000.0])
