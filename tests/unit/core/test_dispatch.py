"""Children: embedded they are plain calls, in order, with their own parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labelop.errors import RunFailedError
from tasks.artifacts import progress_shown, publish_table, publish_tables
from tasks.dispatch import Child, embedded, run_children


def child(number: int, deployment: str = "onprem") -> Child:
    """Make a child that is told its number."""
    return Child("work", deployment, {"number": number}, f"key-{number}")


def test_embedded_children_run_in_order() -> None:
    """Each goes to the function of its deployment, with its parameters by name."""
    calls: list[tuple[str, int]] = []
    flows = {
        "work/onprem": lambda number: calls.append(("onprem", number)),
        "work/cloud": lambda number: calls.append(("cloud", number)),
    }
    with embedded(flows):
        states = run_children([child(2), child(1, "cloud"), child(3)])
    assert calls == [("onprem", 2), ("cloud", 1), ("onprem", 3)]
    assert states == ["Completed"] * 3


def test_embedded_runs_nest() -> None:
    """A child may start children of its own, as the nightly flow's children do."""
    calls: list[str] = []
    flows: dict[str, Callable[..., object]] = {
        "parent/onprem": lambda: run_children([child(1)]),
        "work/onprem": lambda number: calls.append(f"work {number}"),
    }
    with embedded(flows):
        run_children([Child("parent", "onprem", {}, "k")])
    assert calls == ["work 1"]


def test_a_failing_child_ends_an_embedded_parent() -> None:
    """An embedded error is seen at once, and the embedding ends with its block."""

    def fail(number: int) -> None:
        raise RunFailedError(f"child {number}")

    with pytest.raises(RunFailedError, match="child 1"), embedded({"work/onprem": fail}):
        run_children([child(1), child(2)])
    with pytest.raises(RunFailedError, match="flow run or an embedded run"):
        run_children([child(1)])


def test_artifacts_are_silent_outside_a_flow() -> None:
    """An embedded run shows progress in the terminal and makes no request for artifacts."""
    with progress_shown():
        publish_table("key", [{"a": object()}], "nothing")
        publish_tables([("key", [], "nothing")])
