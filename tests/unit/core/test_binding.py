"""Steps: the plain function outside a flow run, so that an embedded run needs no server."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import is_dataclass
from typing import Any
from unittest.mock import patch

import pytest
from prefect.cache_policies import NO_CACHE

from labelop.errors import EngineUnavailableError, ManifestError
from tasks import binding
from tasks.binding import step


class State:
    """A task state that ended with an error."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def result(self) -> None:
        """Raise as Prefect's state does."""
        if self.error is not None:
            raise self.error


def add(a: int, *, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_a_step_is_its_function_outside_a_flow() -> None:
    """Arguments and result pass through and no task runs."""
    assert step(add, name="add")(1, b=2) == 3


def test_errors_pass_through_unchanged() -> None:
    """An embedded run sees the library's own error."""
    error = ManifestError("broken")

    def fail() -> None:
        raise error

    with pytest.raises(ManifestError) as caught:
        step(fail, name="fail", retries=2)()
    assert caught.value is error


def test_inputs_are_neither_cached_nor_stored() -> None:
    """A task's inputs may name images: they are not hashed and results are not kept."""
    bound = step(add, name="add", retries=2)
    assert bound.task.cache_policy == NO_CACHE
    assert bound.task.persist_result is False
    assert (bound.task.name, bound.task.retries) == ("add", 2)


@pytest.mark.parametrize(
    ("error", "again"),
    [(EngineUnavailableError("gone"), True), (ManifestError("broken"), False), (KeyError("bug"), False), (None, False)],
)
def test_only_errors_that_can_heal_are_tried_again(error: Exception | None, again: bool) -> None:
    """The error's class decides, and a bug is never tried again."""
    assert binding._can_retry(None, None, State(error)) is again


def test_a_task_is_handed_a_call_and_not_what_it_is_about() -> None:
    """An engine looks for futures in all it is given, item by item; a shard holds every image of a dataset."""
    bound = step(add, name="add")
    handed: list[tuple[object, ...]] = []

    def task(*given: Any) -> int:
        handed.append(given)
        return int(given[0]())

    with patch("prefect.context.FlowRunContext.get", return_value=object()), patch.object(bound, "task", task):
        assert bound(1, b=2) == 3
    [[call]] = handed
    assert not is_dataclass(call)
    assert not isinstance(call, Collection)
