"""The durable record of what left the premises and what was stopped: hash-chained JSON lines.

A line is on disk before its bytes may leave. Knows no image and no policy. A bare chain shows damage and editing
of single lines; whoever owns the file can rebuild all of it, so heads signed along the way are kept elsewhere.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labelop.egress.audit_check import FIRST_HASH, Verification, entries, verify
from labelop.egress.heads import SignedHeads
from labelop.egress.keys import sync_folder
from labelop.errors import naming
from labelop.ids import canonical_json, sha256_hex

__all__ = ["FIRST_HASH", "AuditLog", "Moment", "Verification", "entries", "verify"]

TOLERANCE_SECONDS = 1.0
"""How far the clock may be behind the last line: time services set it back by less all day long."""

_TAIL_BYTES = 1 << 16
_START = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """When records are written; the log is locked meanwhile."""

    at: datetime
    """Time of the new lines: now, but never before the last line."""
    is_behind: bool
    """Whether the clock is behind the last line of the log."""


@dataclass(frozen=True, slots=True)
class _End:
    """Where a log ends."""

    seq: int
    head: str
    at: datetime


def _now() -> datetime:
    return datetime.now(UTC)


class AuditLog:
    """Appends to one audit file; many processes may share the file.

    Args:
        path: The file, made when missing. Lines are JSON objects of at most 64 KiB.
        heads: Signs the log's head now and then and keeps it elsewhere; None for nowhere.
        clock: Gives the time in UTC.
    """

    def __init__(self, path: Path, *, heads: SignedHeads | None = None, clock: Callable[[], datetime] = _now) -> None:
        self.path = path
        self._heads = heads
        self._clock = clock

    def append(self, record: Mapping[str, Any]) -> str:
        """Write one record durably; returns the new head of the chain."""
        return self.append_many([record])

    def append_many(self, records: Sequence[Mapping[str, Any]]) -> str:
        """Write records durably with one fsync; returns the new head of the chain.

        Raises:
            ValueError: A record holds something JSON has no form for, or is too large.
            OSError: The disk refused; nothing may be released then.
        """
        return self.decide(lambda _: records)

    def decide(self, make: Callable[[Moment], Sequence[Mapping[str, Any]]]) -> str:
        """Write the records that a function makes for this moment, durably and before any other writer.

        Args:
            make: Makes the records; may depend on the time, which cannot change until they are on disk.

        Returns:
            The new head of the chain.

        Raises:
            ValueError: A record holds something JSON has no form for, or is too large.
            OSError: The disk refused; nothing may be released then.
        """
        with self._locked() as file:
            end = self._resume(file)
            now = self._clock()
            moment = Moment(max(now, end.at), is_behind=(end.at - now).total_seconds() > TOLERANCE_SECONDS)
            lines: list[bytes] = []
            for record in make(moment):
                end, line = _line(end, moment, record, now)
                lines.append(line)
            data = b"".join(lines)
            while data:
                data = data[os.write(file, data) :]
            os.fsync(file)
            if self._heads is not None and end.seq:
                self._heads.offer(end.seq, end.head, int(moment.at.timestamp() * 1000))
        return end.head

    def close(self) -> None:
        """Sign the head as it is now, so that the end of the log is vouched for as well."""
        if self._heads is None or not self.path.exists():
            return
        with self._locked() as file:
            end = self._resume(file)
            if end.seq:
                now = max(self._clock(), end.at)
                self._heads.offer(end.seq, end.head, int(now.timestamp() * 1000), at_once=True)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        fresh = not self.path.exists()
        if fresh:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        # every call opens anew: a lock belongs to an open file, so threads exclude each other as well
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with naming(self.path):
                fcntl.flock(file, fcntl.LOCK_EX)
                if fresh:
                    sync_folder(self.path.parent)
                yield file
        finally:
            os.close(file)

    def _resume(self, file: int) -> _End:
        size = os.fstat(file).st_size
        if size == 0:
            return _End(0, FIRST_HASH, _START)
        tail = os.pread(file, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        if not tail.endswith(b"\n"):
            # a writer died inside a line: it was never durable, so nothing was released on its word
            torn = tail.rpartition(b"\n")[2]
            os.ftruncate(file, size - len(torn))
            end, now = self._resume(file), self._clock()
            cut = {"event": "torn_line_cut", "bytes": len(torn), "sha256": sha256_hex(torn)}
            end, line = _line(end, Moment(max(now, end.at), is_behind=now < end.at), cut, now)
            os.write(file, line)
            return end
        last = tail[:-1].rpartition(b"\n")[2]
        try:
            entry = json.loads(last)
            at = datetime.fromisoformat(entry["at"])
            return _End(int(entry["seq"]), str(entry["hash"]), at if at.tzinfo else at.replace(tzinfo=UTC))
        except (ValueError, KeyError, TypeError):
            # appending goes on, and `verify` names the damaged line: refusing to log would hide later releases
            return _End(0, sha256_hex(last), _START)


def _line(end: _End, moment: Moment, record: Mapping[str, Any], now: datetime) -> tuple[_End, bytes]:
    body = {
        "seq": end.seq + 1,
        "at": moment.at.isoformat(timespec="microseconds"),
        "previous": end.head,
        # lines never go back in time, so that what is ahead stays ahead; what the clock said is kept
        "record": {**record, "clock": now.isoformat(timespec="microseconds")} if moment.is_behind else dict(record),
    }
    digest = sha256_hex(canonical_json(body).encode())
    line = canonical_json({**body, "hash": digest}).encode() + b"\n"
    if len(line) > _TAIL_BYTES:
        raise ValueError(f"audit record of {len(line)} bytes, expected at most {_TAIL_BYTES}")
    return _End(end.seq + 1, digest, moment.at), line
