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

AHEAD_BYTES = 96 * 1024 * 1024
"""Most bytes that lie ready or are being read and decoded ahead of the engine; a larger image is read when wanted."""
TOGETHER = 8
"""Images in one load: what a call of a decoder's process costs is divided among them."""
TOGETHER_BYTES = 64 * 1024 * 1024
"""Most bytes of files and pixels in one load, which are let go together; a larger image is loaded alone."""
PASS_BYTES = 48 * 1024 * 1024
"""Bytes of pixels with which a pass is full."""
RUNNING_BYTES = 128 * 1024 * 1024
"""Bytes of pixels in passes with which no other pass is made ready: a frame beyond it goes alone.

Whoever resizes or encodes takes four bytes a pixel more meanwhile, so that 183 MiB of a frame at the limit become 427.
"""


class Reader(Generic[Key, Loaded]):
    """Loads by key in threads, ahead of who takes, also into the batch after this one.

    Args:
        load: Reads and decodes some, and gives them in their order; called from several threads.
        size: Bytes that one will take, known before it is loaded.
        threads: Loads at a time.
        together: Most keys in one load; the first ones are smaller, so that who takes need not wait for a full one.
    """

    def __init__(
        self,
        load: Callable[[Sequence[Key]], Sequence[Loaded]],
        size: Callable[[Key], int],
        threads: int | None = None,
        together: int = TOGETHER,
    ) -> None:
        self._load = load
        self._size = size
        self._together = together
        self._pool = ThreadPoolExecutor(threads or max(2, cores()), thread_name_prefix="read")
        self._waiting: dict[Key, tuple[Future[Sequence[Loaded]], int]] = {}
        self._held_bytes = 0

    def take(self, keys: Sequence[Key], most: int, following: Sequence[Key] = ()) -> Iterator[Loaded]:
        """Give what the keys load, in their order; an error is raised where the first of its load would stand.

        Args:
            keys: What is wanted now.
            most: Most that are loaded ahead.
            following: What will be wanted next; loaded ahead while the last of `keys` are taken.
        """
        wanted = set(keys) | set(following)
        # what failed ahead is asked again: a retry must not meet the error of the try before
        for stale, load in [(key, load) for key, (load, _) in self._waiting.items()]:
            if stale not in wanted or _has_failed(load):
                self._drop(stale)
        upcoming = deque([*keys, *(key for key in following if key not in set(keys))])
        for key in keys:
            self._fill(upcoming, most, key)
            load, at = self._waiting[key]
            try:
                loaded = load.result()[at]
            finally:
                self._drop(key)
            if self._size(key) <= AHEAD_BYTES:
                self._fill(upcoming, most, None)
            yield loaded
            # what was given is not held while the next one is made
            del load, loaded

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
        while True:
            while upcoming and upcoming[0] in self._waiting:
                upcoming.popleft()
            is_needed = needed is not None and needed not in self._waiting
            room = most - len(self._waiting)
            # room for a whole load is waited for, unless this is the last one
            if not is_needed and room < min(self._together, most, len(upcoming)):
                return
            group = self._group(upcoming, max(1, min(self._together, room, 1 + len(self._waiting))), is_needed)
            if not group:
                return
            load = self._pool.submit(self._load, group)
            self._waiting.update((key, (load, at)) for at, key in enumerate(group))

    def _group(self, upcoming: deque[Key], most: int, is_needed: bool) -> list[Key]:
        """Take the keys of one load off the queue: `most` keys and `TOGETHER_BYTES`; one alone may be larger."""
        group: list[Key] = []
        held = 0
        while upcoming and len(group) < most and upcoming[0] not in self._waiting:
            size = self._size(upcoming[0])
            if self._held_bytes + size > AHEAD_BYTES and not (is_needed and not group):
                break
            if group and held + size > TOGETHER_BYTES:
                break
            self._held_bytes += size
            held += size
            group.append(upcoming.popleft())
        return group

    def _drop(self, key: Key) -> None:
        load, _ = self._waiting.pop(key)
        self._held_bytes -= self._size(key)
        if not any(load is other for other, _ in self._waiting.values()):
            load.cancel()


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
    """Cut items into passes of at most `most` items, each given as soon as it is full: `PASS_BYTES` or more."""
    group: list[Item] = []
    held = 0
    for item in items:
        group.append(item)
        held += size(item)
        del item
        if len(group) >= most or held >= PASS_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group


def side_by_side(
    work: Callable[[Item], Answer],
    passes: Iterable[Item],
    lanes: int,
    done: Callable[[Pass[Answer]], Any],
    size: Callable[[Item], int],
) -> None:
    """Run passes in several threads and hand each one's answer over, in the order of the passes.

    At most one pass more than there are lanes is waiting, and together they have at most `RUNNING_BYTES`; beside one
    that has more by itself none runs, and none is made ready. After an error no pass is begun; those that were already
    running are ended and handed over, for they were paid for. The error of the earliest pass is raised.
    """

    def timed(given: list[Item]) -> Pass[Answer]:
        started = time.perf_counter()
        answers = work(given.pop())  # nothing holds its images when its answer is there
        return Pass(answers, started, time.perf_counter())

    running: deque[tuple[Future[Pass[Answer]], int]] = deque()

    def make_room(more: int) -> None:
        while running and (len(running) > lanes or more + sum(held for _, held in running) > RUNNING_BYTES):
            done(running.popleft()[0].result())

    with ThreadPoolExecutor(lanes, thread_name_prefix="pass") as pool:
        try:
            for one in passes:
                make_room(size(one))
                running.append((pool.submit(timed, [one]), size(one)))
                del one
                make_room(0)
            while running:
                done(running.popleft()[0].result())
        except BaseException:
            for future, _ in running:
                future.cancel()
            for future, _ in running:
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
