"""Hand finished work over behind the worker's back: one thread checks and lands what is done while the next is made.

What is finished meanwhile is handed over together, since a check and a commit cost about the same for one batch and for
several. Bounded: one group is under way and one is gathering; then whoever makes more has to wait. Knows no table.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")

GROUP_SIZE = 1024
"""Size at which a group is full; an item alone may be larger."""
HOLD_SECONDS = 5.0
"""Longest that an item waits for company where nothing else holds it back."""


class Behind(Generic[Item]):
    """Does `work` for groups of items in one thread, in their order.

    Leaving the block does what is left, also after an error of the block: it was paid for. After an error of `work`
    nothing is tried again; `left` then holds what was never handed over.

    Args:
        work: Called with one group after the other, never twice at a time, in the context of the block.
        size: Size of an item, in the unit of `GROUP_SIZE`.
        hold_seconds: See `HOLD_SECONDS`.
    """

    def __init__(
        self, work: Callable[[list[Item]], None], size: Callable[[Item], int], hold_seconds: float = HOLD_SECONDS
    ) -> None:
        self.left: list[Item] = []
        """What waits for the next group."""
        self._work = work
        self._size = size
        self._hold_seconds = hold_seconds
        self._since = 0.0
        self._running: Future[None] | None = None
        self._failed = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")

    def add(self, item: Item) -> None:
        """Take an item; waits while a full group cannot be handed over.

        Raises:
            Exception: What `work` raised for an earlier group.
        """
        if not self.left:
            self._since = time.monotonic()
        self.left.append(item)
        if self._running is not None and self._running.done():
            self._wait()
        full = sum(map(self._size, self.left)) >= GROUP_SIZE
        if full or (self._running is None and time.monotonic() - self._since >= self._hold_seconds):
            self._wait()
            self._start()

    def __enter__(self) -> Behind[Item]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._pool:
            if self._failed:
                return
            self._wait()
            if self.left:
                self._start()
                self._wait()

    def _start(self) -> None:
        group, self.left = self.left, []
        # a step is a task of the flow run it belongs to, wherever it is called
        self._running = self._pool.submit(contextvars.copy_context().run, self._work, group)

    def _wait(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            try:
                running.result()
            except BaseException:
                self._failed = True
                raise
