"""The durable record of what left the premises and what was stopped: hash-chained JSON lines.

A line is on disk before its bytes may leave. Knows no image and no policy. A bare chain shows damage and editing
of single lines; whoever owns the file can rebuild all of it, so keep the head elsewhere and hand it to `verify`.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labelop.ids import canonical_json, sha256_hex

FIRST_HASH = "0" * 64
"""What the first line carries as the hash of the line before it."""

_TAIL_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Verification:
    """What checking an audit log found."""

    lines_count: int
    """Good lines from the start."""
    head: str
    """Hash of the last good line, 64 hex digits."""
    bad_line: int | None
    """Number of the first bad line, from 1; None when the log is whole."""
    problem: str
    """What is wrong with it; empty when the log is whole."""


class AuditLog:
    """Appends to one audit file; many processes may share the file.

    Args:
        path: The file, made when missing. Lines are JSON objects of at most 64 KiB.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: Mapping[str, Any]) -> str:
        """Write one record durably; returns the new head of the chain."""
        return self.append_many([record])

    def append_many(self, records: Sequence[Mapping[str, Any]]) -> str:
        """Write records durably with one fsync; returns the new head of the chain.

        Raises:
            ValueError: A record holds something JSON has no form for, or is too large.
            OSError: The disk refused; nothing may be released then.
        """
        with self._locked() as file:
            seq, head = self._resume(file)
            lines: list[bytes] = []
            for record in records:
                seq, head, line = _line(seq, head, record)
                lines.append(line)
            data = b"".join(lines)
            while data:
                data = data[os.write(file, data) :]
            os.fsync(file)
        return head

    @contextmanager
    def _locked(self) -> Iterator[int]:
        fresh = not self.path.exists()
        if fresh:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        # every call opens anew: a lock belongs to an open file, so threads exclude each other as well
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if fresh:
                _sync_folder(self.path.parent)
            yield file
        finally:
            os.close(file)

    def _resume(self, file: int) -> tuple[int, str]:
        size = os.fstat(file).st_size
        if size == 0:
            return 0, FIRST_HASH
        tail = os.pread(file, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        if not tail.endswith(b"\n"):
            # a writer died inside a line: it was never durable, so nothing was released on its word
            torn = tail.rpartition(b"\n")[2]
            os.ftruncate(file, size - len(torn))
            seq, head = self._resume(file)
            seq, head, line = _line(
                seq, head, {"event": "torn_line_cut", "bytes": len(torn), "sha256": sha256_hex(torn)}
            )
            os.write(file, line)
            return seq, head
        last = tail[:-1].rpartition(b"\n")[2]
        try:
            entry = json.loads(last)
            return int(entry["seq"]), str(entry["hash"])
        except (ValueError, KeyError, TypeError):
            # appending goes on, and `verify` names the damaged line: refusing to log would hide later releases
            return 0, sha256_hex(last)


def _line(seq: int, head: str, record: Mapping[str, Any]) -> tuple[int, str, bytes]:
    body = {
        "seq": seq + 1,
        "at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "previous": head,
        "record": dict(record),
    }
    digest = sha256_hex(canonical_json(body).encode())
    line = canonical_json({**body, "hash": digest}).encode() + b"\n"
    if len(line) > _TAIL_BYTES:
        raise ValueError(f"audit record of {len(line)} bytes, expected at most {_TAIL_BYTES}")
    return seq + 1, digest, line


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def verify(path: Path, *, expected_head: str | None = None) -> Verification:
    """Check a whole audit log.

    Args:
        path: The log; a missing file is an empty log.
        expected_head: A head copied elsewhere earlier; when no line has it, the log was cut or rebuilt.

    Returns:
        Counts and, when the log is not whole, the first bad line.
    """
    head, count, known = FIRST_HASH, 0, expected_head in (None, FIRST_HASH)
    if path.exists():
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                problem = _problem(line, number, head)
                if problem:
                    return Verification(count, head, number, problem)
                head, count = str(json.loads(line)["hash"]), number
                known = known or head == expected_head
    if not known:
        return Verification(count, head, count + 1, f"no line has the expected head {expected_head}")
    return Verification(count, head, None, "")


def _problem(line: bytes, number: int, head: str) -> str:
    if not line.endswith(b"\n"):
        return "the line is torn"
    try:
        entry = json.loads(line)
        claimed = entry.pop("hash")
        found = sha256_hex(canonical_json(entry).encode())
        facts = (entry["seq"], entry["previous"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "the line is not an audit entry"
    if claimed != found:
        return f"the line hashes to {found}, it claims {claimed}"
    if canonical_json({**entry, "hash": claimed}).encode() + b"\n" != line:
        return "the line is not in its canonical form"
    if facts != (number, head):
        return f"the line is number {facts[0]} behind {facts[1]}, expected {number} behind {head}"
    return ""
