"""Children: embedded they are plain calls, in order, with their own parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labelop.errors import EngineUnavailableError, RunFailedError, SettingsError
from tasks.artifacts import progress_shown, publish_table, publish_tables
from tasks.dispatch import Child, ChildOutcome, embedded, may_heal, run_children


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
    assert states == [ChildOutcome("Completed")] * 3


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


def test_a_failing_child_stops_neither_its_siblings_nor_its_parent() -> None:
    """As in work pools, each child ends alone; the parent is told in words how."""
    done: list[int] = []

    def work(number: int) -> None:
        if number == 1:
            raise EngineUnavailableError(f"child {number}", hint="Start it.")
        done.append(number)

    with embedded({"work/onprem": work}):
        outcomes = run_children([child(1), child(2)])
    assert done == [2]
    assert outcomes == [ChildOutcome("Failed", "child 1", "Start it."), ChildOutcome("Completed")]


def test_what_an_operator_wrote_wrong_does_not_heal() -> None:
    """A fault of the configuration is not worth another try; every other error is, here and in a pool's words."""

    def work(number: int) -> None:
        raise [SettingsError("no address"), EngineUnavailableError("no answer")][number]

    with embedded({"work/onprem": work}):
        assert [outcome.can_retry for outcome in run_children([child(0), child(1)])] == [False, True]
    said = "Flow run encountered an exception: {}: Model m at http://host is not served."
    assert [may_heal(said.format(name)) for name in ("CatalogError", "EngineUnavailableError")] == [False, True]


def test_a_bug_in_an_embedded_child_ends_everything() -> None:
    """An error that is none of ours is not taken for a failed child."""

    def broken(number: int) -> None:
        raise KeyError(number)

    with pytest.raises(KeyError), embedded({"work/onprem": broken}):
        run_children([child(1)])


def test_children_need_a_run_around_them() -> None:
    """The embedding ends with its block; without it or a flow run nothing can be started."""
    with embedded({"work/onprem": lambda number: number}):
        run_children([child(1)])
    with pytest.raises(RunFailedError, match="flow run or an embedded run"):
        run_children([child(1)])


def test_artifacts_are_silent_outside_a_flow() -> None:
    """An embedded run shows progress in the terminal and makes no request for artifacts."""
    with progress_shown():
        publish_table("key", [{"a": object()}], "nothing")
        publish_tables([("key", [], "nothing")])
