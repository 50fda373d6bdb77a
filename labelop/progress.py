"""Say how far long work has come, without knowing who listens.

The command line draws a bar, a Prefect run updates an artifact, a notebook hears nothing. Knows neither of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], None]
"""Called with the stage's name, the units done and the units in all."""

_listener: ContextVar[Listener | None] = ContextVar("labelop_progress", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send progress to one listener while the block runs."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(stage: str, done: int, total: int) -> None:
    """Tell the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(stage, done, total)
