"""Hand finished work over behind the worker's back: one thread checks and lands what is done while the next is made.

What is finished meanwhile is handed over together, since a check and a commit cost about the same for one batch and for
several. Bounded: one group is under way and one is gathering; then whoever makes more has to wait. Knows no table.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from labelop.errors import kept_first

Item = TypeVar("Item")

GROUP_SIZE = 1024
"""Size at which a group is full; an item alone may be larger."""
HOLD_SECONDS = 5.0
"""Longest that an item waits for company where nothing else holds it back."""


class Behind(Generic[Item]):
    """Does `work` for groups of items in one thread, in their order.

    Leaving the block does what is left, also after an error of the block: it was paid for. After an error of `work`
    nothing is tried again; `left` then holds the group it had and all that came later. An error of the block stays the
    one that is raised; one of `work` that comes after it is a note of it.

    Args:
        work: Called with one group after the other, never twice at a time, in the context of the block.
        size: Size of an item, in the unit of `GROUP_SIZE`.
        hold_seconds: See `HOLD_SECONDS`.
    """

    def __init__(
        self, work: Callable[[list[Item]], None], size: Callable[[Item], int], hold_seconds: float = HOLD_SECONDS
    ) -> None:
        self.left: list[Item] = []
        """What waits for the next group; after an error of `work` all that it did not come to the end of."""
        self._work = work
        self._size = size
        self._hold_seconds = hold_seconds
        self._due = 0.0
        self._is_leaving = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, item: Item) -> None:
        """Take an item; waits while a full group cannot be handed over.

        Raises:
            Exception: What `work` raised for an earlier group.
        """
        with self._changed:
            if not self.left:
                self._due = time.monotonic() + self._hold_seconds
            self.left.append(item)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error is not None or not self._is_full())
            if self._error is not None:
                raise self._error

    def __enter__(self) -> Behind[Item]:
        # a step is a task of the flow run it belongs to, wherever it is called
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._hand_over,), name="behind")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._thread is not None
        with self._changed:
            self._is_leaving = True
            self._changed.notify_all()
        self._thread.join()
        if self._error is None or self._error is error:
            return
        if error is None:
            raise self._error
        with kept_first(error, "Handing over what was done before"):
            raise self._error

    def _hand_over(self) -> None:
        while group := self._next():
            try:
                self._work(group)
            except BaseException as error:  # noqa: BLE001 - it is raised where the items come from
                with self._changed:
                    self._error, self.left = error, [*group, *self.left]
                    self._changed.notify_all()
                return

    def _next(self) -> list[Item]:
        """Wait for a group that is full, was held long enough or is the last; empty when there will be none."""
        with self._changed:
            while not (self._is_leaving or self._is_full()):
                rest = self._due - time.monotonic() if self.left else None
                if rest is not None and rest <= 0:
                    break
                self._changed.wait(rest)
            group, self.left = self.left, []
            self._changed.notify_all()
            return group

    def _is_full(self) -> bool:
        return sum(map(self._size, self.left)) >= GROUP_SIZE
