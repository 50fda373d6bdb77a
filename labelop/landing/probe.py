"""Find out whether a store refuses the second of two racing writers, before a night trusts it with rows.

Landing once rests on one thing: that what exists is never replaced by a write that says "only if it does not exist".
Several stores take that condition and ignore it. Knows no table; a folder is asked for the hard link that the table
library commits with, an object store for the conditional put.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from labelop.errors import LandingError, StoreUnavailableError, UnsafeStoreError
from labelop.landing.address import Store
from labelop.object_store import CONNECTIONS, file_options
from labelop.settings import Settings

WRITERS, ROUNDS = CONNECTIONS, 20
_GOOD_FOR = timedelta(days=30)
_ANSWER = "store-probe.json"
_FOLDER = "store-probe-"
"""Each probe races in a folder of its own: two may ask the same store at once."""
_LONGEST_SECONDS = 10.0
_REFUSED = frozenset({"409", "412", "ConditionalRequestConflict", "PreconditionFailed"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe found, or found earlier."""

    rounds_count: int
    """Rounds in which the writers raced."""
    two_winners_count: int
    """Rounds in which more than one was told to have won, or what stayed was not the winner's."""
    overwrites_count: int
    """Rounds in which a late writer, long after the race, was not refused either."""
    seconds: float
    """How long it took."""
    asked_at: datetime
    """When the store was asked."""
    remembered: bool = False
    """Whether this was read from the store instead of asked."""

    @property
    def safe(self) -> bool:
        """Whether no round showed a fault."""
        return not (self.two_winners_count or self.overwrites_count)


class _Place(Protocol):
    """What a probe needs of a store."""

    def create(self, name: str, data: bytes) -> bool:
        """Write where nothing is; False where the store refused."""

    def read(self, name: str) -> bytes | None:
        """Read, None where nothing is."""

    def write(self, name: str, data: bytes) -> None:
        """Write, whatever is there."""

    def clear(self, folder: str) -> None:
        """Remove a folder and what is in it."""


def require_safe(store: Store, settings: Settings) -> Answer | None:
    """Let a run begin only on a store that lands once; asks it where that is not known from the last 30 days.

    Returns:
        The answer; None where the operator has chosen the single-writer mode, which needs none.

    Raises:
        UnsafeStoreError: The store lets two writers win.
        LandingError: It cannot be asked.
    """
    if settings.store_single_writer:
        return None
    found = remembered(store, settings) or ask(store, settings)
    if not found.safe:
        what = "a hard link onto an existing name" if store.is_local else "`If-None-Match: *`"
        raise UnsafeStoreError(
            f"Store {store.root}{f' at {settings.s3_endpoint}' if settings.s3_endpoint else ''} ignores {what}: "
            f"{found.two_winners_count} of {found.rounds_count} races of {WRITERS} writers had not exactly one winner, "
            f"{found.overwrites_count} late writers replaced what was there.",
            hint="Use another store, or set LABELOP_STORE_SINGLE_WRITER=true and write from one machine only.",
        )
    return found


def remembered(store: Store, settings: Settings) -> Answer | None:
    """Read the last good answer, if it is about this very address and not too old."""
    place = _place(store, settings)
    data = _asked(store, lambda: place.read(_ANSWER))
    if data is None:
        return None
    try:
        kept = json.loads(data)
        asked_at = datetime.fromisoformat(kept["asked_at"])
        address, rounds, seconds = kept["address"], int(kept["rounds_count"]), float(kept["seconds"])
    except (ValueError, KeyError, TypeError):
        return None  # not ours or torn: ask again
    if address != _address(store, settings) or not asked_at <= datetime.now(UTC) < asked_at + _GOOD_FOR:
        return None
    return Answer(rounds, 0, 0, seconds, asked_at, remembered=True)


def ask(store: Store, settings: Settings) -> Answer:
    """Let 32 writers race for a name, 20 times, and keep a good answer in the store.

    A store so slow that the races take more than ten seconds is asked fewer times, once at least.

    Raises:
        LandingError: The store cannot be asked.
    """
    place, folder = _place(store, settings), f"{_FOLDER}{uuid.uuid4().hex}"
    started = time.monotonic()
    rounds = winners = overwrites = 0
    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            while rounds < ROUNDS and (not rounds or time.monotonic() - started < 0.9 * _LONGEST_SECONDS):
                name = f"{folder}/{rounds}"
                won = _race(pool, store, place, name)
                stayed = _asked(store, lambda name=name: place.read(name))  # type: ignore[misc]
                # a store that did not answer a winner in time leaves none of them sure: no fault, and no proof either
                winners += len(won) > 1 or (bool(won) and stayed != won[0])
                overwrites += _asked(store, lambda name=name: place.create(name, b"late"))  # type: ignore[misc]
                rounds += 1
    finally:
        with suppress(Exception):
            place.clear(folder)
    found = Answer(rounds, winners, overwrites, round(time.monotonic() - started, 2), datetime.now(UTC))
    if found.safe:
        kept = {
            "address": _address(store, settings),
            "asked_at": found.asked_at.isoformat(),
            "rounds_count": rounds,
            "writers_count": WRITERS,
            "seconds": found.seconds,
        }
        _asked(store, lambda: place.write(_ANSWER, json.dumps(kept, indent=1).encode()))
    return found


def _race(pool: ThreadPoolExecutor, store: Store, place: _Place, name: str) -> list[bytes]:
    together = threading.Barrier(WRITERS)

    def write(number: int) -> bytes | None:
        data = str(number).encode()
        together.wait()
        return data if _asked(store, lambda: place.create(name, data)) else None

    return [data for data in pool.map(write, range(WRITERS)) if data is not None]


def _asked(store: Store, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except LandingError:
        raise
    except Exception as error:
        # every store has error classes of its own, so the adapter catches them all
        kind = LandingError if store.is_local else StoreUnavailableError
        raise kind(
            f"Store {store.root} cannot be probed: {type(error).__name__} {str(error)[:200]}.",
            hint="Check that it is there and may be written to; LABELOP_S3_* say how an object store is reached.",
        ) from error


def _address(store: Store, settings: Settings) -> str:
    return f"{settings.s3_endpoint or ''} {store.root}"


def _place(store: Store, settings: Settings) -> _Place:
    return _Folder(Path(store.root)) if store.is_local else _Objects(store, settings)


@dataclass(frozen=True, slots=True)
class _Folder:
    root: Path

    def create(self, name: str, data: bytes) -> bool:
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f"{target.name}.{uuid.uuid4().hex}")
        staged.write_bytes(data)
        try:
            os.link(staged, target)
        except FileExistsError:
            return False
        finally:
            staged.unlink()
        return True

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        staged = self.root / f"{name}.{uuid.uuid4().hex}"
        staged.write_bytes(data)
        staged.replace(self.root / name)

    def clear(self, folder: str) -> None:
        shutil.rmtree(self.root / folder)


class _Objects:
    def __init__(self, store: Store, settings: Settings) -> None:
        import s3fs  # noqa: PLC0415 - a second of import that a folder does not need

        self._files = s3fs.S3FileSystem(**file_options(settings))
        self._root = store.root.removeprefix("s3://")

    def create(self, name: str, data: bytes) -> bool:
        try:
            self._files.pipe_file(f"{self._root}/{name}", data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            said = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code", "")
            if str(said) in _REFUSED:
                return False
            raise
        return True

    def read(self, name: str) -> bytes | None:
        try:
            return bytes(self._files.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        self._files.pipe_file(f"{self._root}/{name}", data)

    def clear(self, folder: str) -> None:
        self._files.rm(f"{self._root}/{folder}", recursive=True)
