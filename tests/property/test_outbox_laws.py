"""Whatever dies at whatever step, power included: nothing lost, nothing doubled, order kept, quota kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from labelop.errors import OutboxFullError
from labelop.site.outbox import Outbox

MOST_ITEMS, MOST_BYTES = 6, 1200


class PowerCut(BaseException):
    """The machine is gone; no handler of the product may catch it."""


class Disk:
    """Dies at a chosen step and then loses all that was never synced: bytes of files, and names of folders."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.dies_at: int | None = None
        self._undo: dict[Path, list[Callable[[], None]]] = {}
        self._synced: set[Path] = set()  # files whose bytes are safe, before they get their names
        self._unsynced: set[Path] = set()
        self._real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}
        patch.setattr(os, "fsync", self._fsync)
        patch.setattr(os, "replace", self._replace)
        patch.setattr(os, "unlink", self._unlink)

    def _step(self) -> None:
        if self.dies_at is not None:
            self.dies_at -= 1
            if self.dies_at < 0:
                raise PowerCut

    def _fsync(self, handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        self._step()
        self._undo.pop(path, None)
        self._synced.add(path)

    def _replace(self, source: Any, target: Any) -> None:
        source, target = Path(source), Path(target)
        self._step()
        before = target.read_bytes() if target.exists() else None
        self._real["replace"](source, target)
        if source in self._synced:
            self._synced.remove(source)
        else:
            self._unsynced.add(target)

        def back() -> None:
            if before is None:
                self._real["unlink"](target)
            else:
                target.write_bytes(before)

        self._undo.setdefault(target.parent, []).append(back)

    def _unlink(self, path: Any, **more: Any) -> None:
        path = Path(path)
        self._step()
        before = path.read_bytes()
        self._real["unlink"](path, **more)
        self._undo.setdefault(path.parent, []).append(lambda: None if path.exists() else _write(path, before))

    def lose(self, *, everything: bool) -> None:
        """Come back after a cut: what no folder was synced for is as it was before, or has happened all the same."""
        self.dies_at = None
        for path in self._unsynced:
            if path.exists():
                path.write_bytes(path.read_bytes()[:3])
        if everything:
            for steps in self._undo.values():
                for step in reversed(steps):
                    step()
        self._undo, self._synced, self._unsynced = {}, set(), set()


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


class Machine(RuleBasedStateMachine):
    """A site that takes items and hands them over, and a receiver that drops keys it knows."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._folder = tempfile.TemporaryDirectory()
        self._disk = Disk(self._patch)
        self._now = datetime(2026, 11, 20, tzinfo=UTC)
        self.taken: list[str] = []  # keys, in the order in which they were accepted
        self.offered: list[str] = []  # keys whose taking was cut off: either way is right
        self.received: list[str] = []
        self.number = self.highest = 0
        self.restart()

    @initialize()
    def begin(self) -> None:
        """Make the folder durable: it is part of the installation."""
        self.outbox.put("work-00", {})
        self.outbox.done(*self.outbox.items())

    def restart(self) -> None:
        """Open the outbox anew, as a process that starts does."""
        self.outbox = Outbox(
            Path(self._folder.name) / "outbox",
            most_items=MOST_ITEMS,
            most_bytes=MOST_BYTES,
            clock=lambda: self._now,
        )

    @rule(seconds=st.integers(-3600, 3600))
    def time_passes(self, seconds: int) -> None:
        """Turn the clock, also back."""
        self._now += timedelta(seconds=seconds)

    @rule(size=st.integers(0, 400), cut=st.none() | st.integers(0, 3), everything=st.booleans())
    def put(self, size: int, cut: int | None, *, everything: bool) -> None:
        """Offer a new item; the power may go meanwhile."""
        self.number += 1
        key = f"rows-{self.number:04x}"
        before = self.outbox.contents()
        self._disk.dies_at = cut
        try:
            item = self.outbox.put(key, {"n": self.number}, b"x" * size)
        except OutboxFullError:
            assert before.items_count == MOST_ITEMS or before.size_bytes + size + 200 > MOST_BYTES
        except PowerCut:
            self.offered.append(key)
            self._disk.lose(everything=everything)
            self.restart()
            if key in [item.key for item in self.outbox.items()]:
                self.taken.append(key)
        else:
            self.taken.append(key)
            assert item.sequence > self.highest, "head office would count an older answer"
            self.highest = item.sequence
        self._disk.dies_at = None

    @rule()
    def put_again(self) -> None:
        """Offer what waits already: it is not taken twice."""
        for item in self.outbox.items():
            assert self.outbox.put(item.key, {}).sequence == item.sequence

    @rule(count=st.integers(1, 4), cut=st.none() | st.integers(0, 6), everything=st.booleans())
    def drain(self, count: int, cut: int | None, *, everything: bool) -> None:
        """Hand over the first items; the power may go after the receiver has them and before they are removed."""
        some = self.outbox.items()[:count]
        for item in some:
            self.outbox.read(item)
            if item.key not in self.received:
                self.received.append(item.key)
        self._disk.dies_at = cut
        try:
            self.outbox.done(*some)
        except PowerCut:
            self._disk.lose(everything=everything)
            self.restart()
        self._disk.dies_at = None

    @invariant()
    def nothing_lost_nothing_doubled_order_and_quota_kept(self) -> None:
        """What was taken is with the receiver or waits whole, in the order of taking, within the quota."""
        waiting = self.outbox.items()
        keys = [item.key for item in waiting]
        for item in waiting:
            self.outbox.read(item)
        assert set(self.taken) == set(self.received) | set(keys)
        assert self.received == self.taken[: len(self.received)]
        assert keys == [key for key in self.taken if key in keys]
        assert len(keys) <= MOST_ITEMS
        assert sum(path.stat().st_size for path in self.outbox.folder.glob("*.item")) <= MOST_BYTES

    def teardown(self) -> None:
        """Leave nothing behind."""
        self._patch.undo()
        self._folder.cleanup()


TestOutbox = Machine.TestCase
TestOutbox.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
