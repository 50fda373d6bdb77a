"""Slots of this machine's GPUs: so many processes may hold a model there at a time, whoever started them.

A slot is a locked file. The system frees the lock when its holder ends, however it ends, so no slot can leak, nothing
has to be tidied up. What a file says about its holder is for people; only the lock counts. Knows no orchestrator.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labelop.errors import SettingsError

_WAIT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a slot."""

    slot: int
    """Number, from 0."""
    run_id: str
    """Run it works for."""
    pid: int
    """Its process."""


@contextmanager
def held(folder: Path, count: int, run_id: str, *, while_waiting: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold one of the machine's slots while the block runs; waits until one is free.

    Args:
        folder: Where the lock files are: one for all processes of the machine, on a local disk.
        count: Slots there are; 0 means no cap, and nothing is locked.
        run_id: Told to who asks.
        while_waiting: Called now and then until a slot is free; what it raises ends the wait.

    Yields:
        Number of the slot, -1 without a cap.

    Raises:
        SettingsError: The folder cannot be used.
    """
    if not count:
        yield -1
        return
    while True:
        for slot in range(count):
            handle = _try(folder, slot)
            if handle is None:
                continue
            try:
                os.ftruncate(handle, 0)
                os.pwrite(handle, json.dumps({"run_id": run_id, "pid": os.getpid()}).encode(), 0)
                yield slot
            finally:
                os.ftruncate(handle, 0)
                os.close(handle)
            return
        while_waiting()
        time.sleep(_WAIT_SECONDS)


def holders(folder: Path) -> list[Holder]:
    """Say which slots are held, by trying their locks; a file whose holder is gone is free, whatever it says."""
    found = []
    for path in sorted(folder.glob("slot-*.lock")):
        slot = int(path.stem.removeprefix("slot-"))
        handle = _try(folder, slot)
        if handle is not None:
            os.close(handle)
            continue
        try:
            said = json.loads(path.read_text() or "{}")
        except ValueError:  # read while it was being written
            said = {}
        found.append(Holder(slot, str(said.get("run_id", "")), int(said.get("pid", 0))))
    return found


def _try(folder: Path, slot: int) -> int | None:
    path = folder / f"slot-{slot}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # not inherited: a child process that outlives its parent would keep the slot
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SettingsError(
            f"LABELOP_GPU_SLOTS_FOLDER: {path} cannot be opened: {error.strerror}.",
            hint="It must be a folder of this machine that all its workers can write.",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
