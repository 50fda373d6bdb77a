"""Bind library functions to Prefect: a task inside a flow run, the plain function everywhere else.

The embedded run has no server; there a step is the function itself. Inside a flow run the same step is a task, so that
ops see it. Inputs are never hashed or stored: they may name images, and "done" is decided by what has landed. Errors
are told as `tasks.told` allows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from labelop.errors import LabelopError
from tasks.told import safely

P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """A library function under the name ops will see.

    Args:
        fn: The function.
        name: Task name, kebab case.
        retries: Times to try again after an error whose class says a retry can help.
    """

    def __init__(self, fn: Callable[P, R], *, name: str, retries: int = 0) -> None:
        self.fn = fn
        self.name = name
        self.task: Task[[Callable[[], R]], R] = Task(
            _called,
            name=name,
            retries=retries,
            retry_delay_seconds=[2.0 * (n + 1) for n in range(retries)] or None,
            retry_condition_fn=_can_retry if retries else None,
            cache_policy=NO_CACHE,
            persist_result=False,
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run as a task when a flow run is active, else as the plain function."""
        if not is_orchestrated():
            return self.fn(*args, **kwargs)
        # an engine looks through all collections and dataclasses it is given for futures, and a shard holds every
        # image of a dataset; it does not look into a call
        return self.task(partial(self.fn, *args, **kwargs))


def step(fn: Callable[P, R], *, name: str, retries: int = 0) -> Step[P, R]:
    """Bind a function; see `Step`."""
    return Step(fn, name=name, retries=retries)


def is_orchestrated() -> bool:
    """Say whether steps called here are tasks of a flow run."""
    return FlowRunContext.get() is not None


def _called(call: Callable[[], R]) -> R:
    return safely(call)


def _can_retry(_task: object, _run: object, state: object) -> bool:
    """Leave the decision to the error's class."""
    try:
        state.result()  # type: ignore[attr-defined]
    except LabelopError as error:
        return error.retryable
    except Exception:  # noqa: BLE001 - a foreign error is a bug or a dead machine; neither heals by itself
        return False
    return False
