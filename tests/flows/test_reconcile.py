"""What dead flow runs hold is found and freed; the real server is in tests/faults."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from labelop.errors import RunFailedError
from tasks import reconcile as subject
from tasks.reconcile import DeadRun, LeakedSlots, reconcile

DEAD = DeadRun(uuid4(), "brave-newt", "Running", datetime(2026, 1, 1, tzinfo=UTC))


def test_what_is_wrong_is_said_and_freed_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `fix` nothing is touched and the finding is a fault; with it everything found is handed over."""
    freed: list[DeadRun] = []
    monkeypatch.setattr(subject, "find_dead", lambda: [DEAD])
    monkeypatch.setattr(subject, "find_leaks", lambda: [LeakedSlots("deployment:1", 2, 1)])
    monkeypatch.setattr(subject, "free", freed.extend)
    first, second = reconcile(fix=False)
    assert (first["ok"], second["ok"], freed) == (False, False, [])
    assert "brave-newt is Running and was not heard since 2026-01-01T00:00:00+00:00" in first["detail"]
    assert "counts 2 slots for 1 runs" in second["detail"]
    assert [one["ok"] for one in reconcile(fix=True)] == [True, True]
    assert freed == [DEAD]


def test_a_server_that_is_away_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor goes on with the rest."""

    def away() -> list[DeadRun]:
        raise RunFailedError("It does not answer.")

    monkeypatch.setattr(subject, "find_dead", away)
    assert reconcile(fix=True) == [{"subject": "orchestrator", "ok": False, "detail": "It does not answer."}]
