"""Reads an audit log again: whether it is whole, against the heads signed along the way, and what it says.

Streams, since a log may have millions of lines. Knows no image, no policy and no private key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelop.egress.heads import Head
from labelop.egress.heads_check import HeadsFault
from labelop.ids import sha256_hex

FIRST_HASH = "0" * 64
"""What the first line carries as the hash of the line before it."""

# the one form in which lines are written: keys sorted, no spaces; `hash` is over the line without itself
_LINE = re.compile(
    rb'(\{"at":"[^"\\]*",)"hash":"([0-9a-f]{64})",("previous":"([0-9a-f]{64})","record":\{.*\},"seq":([1-9][0-9]*)\})\n',
    re.DOTALL,
)


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
    cause: str = ""
    """edited | torn | dropped | swapped | inserted | truncated | rebuilt | head-forged; empty when the log is whole."""
    vouched_count: int = 0
    """Lines up to the last signed head; those behind it are held by the chain alone."""


def verify(
    path: Path, *, expected_head: str | None = None, heads: list[Head] | HeadsFault | None = None
) -> Verification:
    """Check a whole audit log.

    Args:
        path: The log; a missing file is an empty log.
        expected_head: A head copied elsewhere earlier; when no line has it, the log was cut or rebuilt.
        heads: Signed heads kept elsewhere, as `read_heads` gives them.

    Returns:
        Counts and, when the log is not whole, the first bad line and the cause.
    """
    if isinstance(heads, HeadsFault):
        return Verification(0, FIRST_HASH, heads.line, heads.problem, "head-forged")
    vouched: dict[int, set[str]] = {}
    for one in heads or []:
        vouched.setdefault(one.lines_count, set()).add(one.head)
    head, count, sure, known = FIRST_HASH, 0, 0, expected_head in (None, FIRST_HASH)
    for number, line in enumerate(_lines(path), start=1):
        found = _LINE.fullmatch(line)
        cause, problem = _fault(line, found, number, head)
        if cause:
            if cause == "dropped" and _follows(path, number):
                cause = "swapped"
            return Verification(count, head, number, problem, cause, sure)
        assert found is not None
        head, count = found[2].decode(), number
        known = known or head == expected_head
        if number in vouched:
            if vouched[number] != {head}:
                problem = f"the signed head of line {number} is another: lines {sure + 1} to {number} were rebuilt"
                return Verification(sure, head, sure + 1, problem, "rebuilt", sure)
            sure = number
    last = max(vouched, default=0)
    if last > count:
        problem = f"a signed head says that there were {last} lines; lines {count + 1} to {last} are missing"
        return Verification(count, head, count + 1, problem, "truncated", sure)
    if not known:
        problem = f"no line has the expected head {expected_head}"
        return Verification(count, head, count + 1, problem, "truncated", sure)
    return Verification(count, head, None, "", "", sure)


def entries(path: Path, *, image_id: str | None = None, run_id: str | None = None) -> Iterator[dict[str, Any]]:
    """Read the lines about an image or a run, in order; lines that cannot be read are left to `verify`.

    A line about a whole group is given once for each of its images that was asked for, and without their list.

    Args:
        path: The log.
        image_id: Image id, or its first digits.
        run_id: Id of a run.
    """
    for line in _lines(path):
        try:
            entry = json.loads(line)
            record = entry["record"]
            group = record.pop("image_ids", None)
            named = group if group is not None and image_id else [record.get("image_id", "")]
            for about in (one for one in map(str, named) if one.startswith(image_id or "")):
                if run_id in (None, record.get("run_id")):
                    yield {"line": entry["seq"], "at": entry["at"], **record, "image_id": about}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # damage: not for this question, and `verify` names it


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from file


def _fault(line: bytes, found: re.Match[bytes] | None, number: int, head: str) -> tuple[str, str]:
    if not line.endswith(b"\n"):
        return "torn", "the line is torn"
    if found is None:
        return "edited", "the line is not an audit entry"
    claimed, computed = found[2].decode(), sha256_hex(found[1] + found[3])
    if claimed != computed:
        return "edited", f"the line hashes to {computed}, it claims {claimed}"
    seq, previous = int(found[5]), found[4].decode()
    if (seq, previous) != (number, head):
        cause = "dropped" if seq > number else "inserted" if seq < number else "rebuilt"
        return cause, f"the line is number {seq} behind {previous}, expected {number} behind {head}"
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return "edited", "the line is not JSON"
    return "", ""


def _follows(path: Path, number: int) -> bool:
    """Say whether the line that should stand at a place stands one further on."""
    for place, line in enumerate(_lines(path), start=1):
        if place == number + 1:
            found = _LINE.fullmatch(line)
            return found is not None and int(found[5]) == number
    return False
