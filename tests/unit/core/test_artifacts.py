"""Artifacts inside a flow run: plain values, legal keys, and no more requests than somebody can look at."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from prefect.context import FlowRunContext

from labelop import progress
from tasks import artifacts


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Pretend that a flow run is active and write down what would be shown."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def create_progress(percent: float, **given: Any) -> uuid.UUID:
        calls.append(("create", {"progress": percent, **given}))
        return uuid.UUID(int=1)

    monkeypatch.setattr(FlowRunContext, "get", object)
    monkeypatch.setattr(artifacts, "create_progress_artifact", create_progress)
    monkeypatch.setattr(artifacts, "update_progress_artifact", lambda **given: calls.append(("update", given)))
    monkeypatch.setattr(artifacts, "create_table_artifact", lambda **given: calls.append(("table", given)))
    return calls


def test_a_table_holds_plain_values_only(shown: list[tuple[str, dict[str, Any]]]) -> None:
    """Money and other values without a JSON form are written as text; keys are lower case with dashes."""
    artifacts.publish_table("Cost per arm!", [{"cost": Decimal("1.5"), "n": 2, "none": None}], "costs")
    assert shown == [
        ("table", {"table": [{"cost": "1.5", "n": 2, "none": None}], "key": "cost-per-arm", "description": "costs"})
    ]


def test_progress_is_created_once_and_ends_at_a_hundred(shown: list[tuple[str, dict[str, Any]]]) -> None:
    """Many steps in little time are one creation and the final update."""
    with artifacts.progress_shown():
        for done in range(101):
            progress.report("prelabel toys", done, 100)
    assert [kind for kind, _ in shown] == ["create", "update"]
    assert shown[0][1]["key"] == "prelabel-toys"
    assert shown[-1][1]["progress"] == 100.0


def test_no_work_counts_as_done(shown: list[tuple[str, dict[str, Any]]]) -> None:
    """Zero of zero is a hundred per cent, not a division by zero."""
    with artifacts.progress_shown():
        progress.report("nothing", 0, 0)
    assert shown[0][1]["progress"] == 100.0
