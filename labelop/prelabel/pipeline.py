"""The worker's pipeline: read and decode ahead, run forward passes side by side, hand results over in order.

Every queue is bounded, so a slow engine holds the readers back and memory does not grow with the batch. Engines and
decoders let go of the interpreter while they work, so threads are enough. Knows no table and no engine.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from labelop.engines.side import cores

Key = TypeVar("Key")
Loaded = TypeVar("Loaded")
Item = TypeVar("Item")
Answer = TypeVar("Answer")

AHEAD_BYTES = 256 * 1024 * 1024
"""Most bytes of pixels that lie ready or are being decoded ahead of the engine."""
PASS_BYTES = 128 * 1024 * 1024
"""Most bytes of pixels in one pass of several images."""


class Reader(Generic[Key, Loaded]):
    """Loads by key in threads, ahead of who takes, also into the batch after this one.

    Args:
        load: Reads and decodes one; called from several threads.
        size: Bytes that one will take, known before it is loaded.
        threads: Loads at a time.
    """

    def __init__(self, load: Callable[[Key], Loaded], size: Callable[[Key], int], threads: int | None = None) -> None:
        self._load = load
        self._size = size
        self._pool = ThreadPoolExecutor(threads or max(2, cores()), thread_name_prefix="read")
        self._waiting: dict[Key, Future[Loaded]] = {}
        self._held_bytes = 0

    def take(self, keys: Sequence[Key], most: int, following: Sequence[Key] = ()) -> Iterator[Loaded]:
        """Give what the keys load, in their order; an error of one is raised where it would stand.

        Args:
            keys: What is wanted now.
            most: Most that are loaded ahead.
            following: What will be wanted next; loaded ahead while the last of `keys` are taken.
        """
        wanted = set(keys) | set(following)
        # what failed ahead is asked again: a retry must not meet the error of the try before
        for stale in [key for key, future in self._waiting.items() if key not in wanted or _has_failed(future)]:
            self._drop(stale)
        upcoming = deque([*keys, *(key for key in following if key not in set(keys))])
        for key in keys:
            self._fill(upcoming, most, key)
            future = self._waiting[key]
            try:
                loaded = future.result()
            finally:
                self._drop(key)
            self._fill(upcoming, most, None)
            yield loaded

    def close(self) -> None:
        """Stop loading and forget what was loaded."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._waiting.clear()

    def __enter__(self) -> Reader[Key, Loaded]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _fill(self, upcoming: deque[Key], most: int, needed: Key | None) -> None:
        """Start loads within the bounds; the one that is needed now is started whatever its size."""
        while upcoming:
            key = upcoming[0]
            if key not in self._waiting:
                full = len(self._waiting) >= most or self._held_bytes + self._size(key) > AHEAD_BYTES
                if full and (needed is None or needed in self._waiting):
                    return
                self._held_bytes += self._size(key)
                self._waiting[key] = self._pool.submit(self._load, key)
            upcoming.popleft()

    def _drop(self, key: Key) -> None:
        self._waiting.pop(key).cancel()
        self._held_bytes -= self._size(key)


def _has_failed(future: Future[Any]) -> bool:
    return future.done() and future.exception() is not None


@dataclass(frozen=True, slots=True)
class Pass(Generic[Answer]):
    """One forward pass that was done."""

    answers: Answer
    """What came of it."""
    started: float
    """By the performance counter, seconds."""
    ended: float
    """By the performance counter, seconds."""


def groups(items: Iterable[Item], most: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Cut items into passes of at most `most` items and `PASS_BYTES`; one item alone may be larger."""
    group: list[Item] = []
    held = 0
    for item in items:
        if group and (len(group) >= most or held + size(item) > PASS_BYTES):
            yield group
            group, held = [], 0
        group.append(item)
        held += size(item)
    if group:
        yield group


def side_by_side(
    work: Callable[[Item], Answer], passes: Iterable[Item], lanes: int, done: Callable[[Pass[Answer]], Any]
) -> None:
    """Run passes in several threads and hand each one's answer over, in the order of the passes.

    At most one pass more than there are lanes is waiting. After an error no pass is begun; those that were already
    running are ended and handed over, for they were paid for. The error of the earliest pass is raised.
    """

    def timed(one: Item) -> Pass[Answer]:
        started = time.perf_counter()
        answers = work(one)
        return Pass(answers, started, time.perf_counter())

    running: deque[Future[Pass[Answer]]] = deque()
    with ThreadPoolExecutor(lanes, thread_name_prefix="pass") as pool:
        try:
            for one in passes:
                running.append(pool.submit(timed, one))
                if len(running) > lanes:
                    done(running.popleft().result())
            while running:
                done(running.popleft().result())
        except BaseException:
            for future in running:
                future.cancel()
            for future in running:
                if not future.cancelled() and future.exception() is None:
                    done(future.result())
            raise


def busy_seconds(passes: Sequence[tuple[float, float]]) -> float:
    """Give the seconds during which at least one of the passes ran.

    Example:
        >>> busy_seconds([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
        4.0
    """
    total, reached = 0.0, float("-inf")
    for started, ended in sorted(passes):
        total += max(0.0, ended - max(started, reached))
        reached = max(reached, ended)
    return total
