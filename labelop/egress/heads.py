"""Signed heads of an audit log, kept in a second folder: they show when the log itself was cut or rebuilt.

A bare chain can be made anew by whoever owns the file; a head signed earlier and copied elsewhere cannot. Each head
carries the digest of the head before it. Knows no image and no policy.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from labelop.egress.keys import write_durably
from labelop.egress.public_keys import Keyring
from labelop.egress.release_token import Signer
from labelop.forms import StrictForm
from labelop.ids import canonical_json, sha256_hex

EVERY_LINES = 1000
"""A head is signed at least after so many lines."""
EVERY_MS = 600_000
"""A head is signed with the first line after so many milliseconds."""

_DOMAIN = b"labelop/audit-head/1\0"
_NONE = "0" * 64
_TAIL_BYTES = 4096
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _HeadForm(StrictForm):
    model_config = ConfigDict(strict=True)

    form: Literal[1] = Field(alias="schema")
    lines_count: Annotated[int, Field(ge=1)]
    head: _Digest
    at_ms: Annotated[int, Field(ge=0)]
    previous: _Digest
    key_id: Annotated[str, Field(pattern=r"^k-[0-9a-f]{32}$")]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


@dataclass(frozen=True, slots=True)
class Head:
    """What a signed head says."""

    lines_count: int
    """Lines the log had."""
    head: str
    """Hash of the last of them, 64 hex digits."""
    at_ms: int
    """When, milliseconds since 1970."""
    previous: str
    """Digest of the head before this one, 64 hex digits; zeros for the first."""
    key_id: str
    """Whose signature it carries."""


@dataclass(frozen=True, slots=True)
class HeadsFault:
    """A file of heads that cannot be believed."""

    line: int
    """First bad line of the file of heads, from 1."""
    problem: str
    """What is wrong with it."""


def heads_file(folder: Path, log: Path) -> Path:
    """Name the file of a log's heads; by where the log lies, so that a rebuilt log has no fresh start.

    Args:
        folder: Folder of heads; several logs may share it.
        log: The audit log.
    """
    return folder / f"{log.stem}-{sha256_hex(os.fsencode(log.resolve()))[:12]}.heads.jsonl"


class SignedHeads:
    """Appends heads of one log; the caller holds the log's lock.

    Args:
        path: File of the heads, best on another disk or machine; see `heads_file`.
        signer: Signs them.
        every_lines: Most lines without a head.
        every_ms: Longest time without a head while lines are written.
        memory: File of the newest head's digest, see `memory_file`; None for none.
    """

    def __init__(
        self,
        path: Path,
        signer: Signer,
        *,
        every_lines: int = EVERY_LINES,
        every_ms: int = EVERY_MS,
        memory: Path | None = None,
    ) -> None:
        self.path = path
        self._memory = memory
        self._signer = signer
        self._every_lines = every_lines
        self._every_ms = every_ms

    def offer(self, lines_count: int, head: str, at_ms: int, *, at_once: bool = False) -> None:
        """Sign a head when one is due.

        Args:
            lines_count: Lines of the log now.
            head: Hash of the last of them.
            at_ms: Now, milliseconds since 1970.
            at_once: Sign unless the last head says the same already.

        Raises:
            OSError: The head could not be kept; nothing may be released then.
        """
        last = self._last()
        if last is not None:
            count, said, then_ms, previous = last
            gone = lines_count - count
            is_due = gone < 0 or gone >= self._every_lines or at_ms - then_ms >= self._every_ms
            if (count, said) == (lines_count, head) or not (is_due or at_once):
                return
        else:
            previous = _NONE
        remembered = recall(self._memory)
        if remembered not in {"", previous} and remembered not in _digests(self.path):
            # heads were taken away: the next one follows what is missing, so that the gap stays
            previous = remembered
        body = asdict(Head(lines_count, head, at_ms, previous, self._signer.key_id))
        said_bytes = canonical_json({"schema": 1, **body}).encode()
        signature = self._signer.sign(_DOMAIN, said_bytes).hex()
        line = canonical_json({"schema": 1, **body, "signature": signature}).encode() + b"\n"
        self._append(line)
        if self._memory is not None:
            # behind the head: after a death in between an older head is remembered, which is there as well
            self._memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(self._memory, sha256_hex(line).encode(), mode=0o600)

    def _last(self) -> tuple[int, str, int, str] | None:
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - _TAIL_BYTES))
                tail = file.read()
        except FileNotFoundError:
            return None
        lines = tail.splitlines(keepends=True)
        if not lines:
            return None
        line = lines[-1]
        try:
            said = json.loads(line)
            return int(said["lines_count"]), str(said["head"]), int(said["at_ms"]), sha256_hex(line)
        except (ValueError, KeyError, TypeError):
            # damaged: sign the next head at once, and `read_heads` names the bad line
            return -1, "", 0, sha256_hex(line)

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with os.fdopen(os.open(self.path, flags, 0o600), "r+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            # a writer died inside a head: end its line, so that only that one is bad
            os.write(file.fileno(), b"\n" + line if torn else line)
            os.fsync(file.fileno())


def memory_file(keys: Path, heads: Path) -> Path:
    """Name the file in a key folder that remembers the newest head of a log: that there were any, and none is missing.

    Args:
        keys: The key folder.
        heads: File of the log's heads.
    """
    return keys / "vouched" / heads.name


def recall(memory: Path | None) -> str:
    """Read the digest of the newest head; empty where none was ever signed."""
    return memory.read_text(encoding="ascii", errors="replace") if memory is not None and memory.exists() else ""


def _digests(path: Path) -> set[str]:
    return set(map(sha256_hex, path.read_bytes().splitlines(keepends=True))) if path.exists() else set()


def read_heads(path: Path, keyring: Keyring, *, remembered: str = "") -> list[Head] | HeadsFault:
    """Read the heads of a log and check their signatures and their chain.

    Args:
        path: File of heads; a missing file has none.
        keyring: Public keys, the retired ones included.
        remembered: Digest of a head that must be among them; empty for none.

    Returns:
        The heads in order, or the first fault. A line torn by a death is passed over when the next head chains to it.
    """
    heads: list[Head] = []
    previous = _NONE
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            form = _HeadForm.model_validate(json.loads(line))
        except (ValidationError, ValueError, RecursionError):
            if _is_torn(line):
                previous = sha256_hex(line.rstrip(b"\n"))
                continue
            return HeadsFault(number, f"head {number} has not the form of a head")
        said = form.model_dump(by_alias=True, exclude={"signature"})
        key = keyring.find(form.key_id, form.at_ms)
        if key is None:
            return HeadsFault(number, f"head {number} is signed with {form.key_id}, which is unknown or was retired")
        if not key.verifies(bytes.fromhex(form.signature), _DOMAIN, canonical_json(said).encode()):
            return HeadsFault(number, f"head {number} has a signature that does not fit")
        if form.previous != previous:
            return HeadsFault(number, f"head {number} follows {form.previous}, expected {previous}")
        heads.append(Head(form.lines_count, form.head, form.at_ms, form.previous, form.key_id))
        previous = sha256_hex(line)
    if remembered and remembered not in _digests(path):
        kept = f"only {len(heads)} of them are left" if heads else "none is left: nothing vouches for the log"
        return HeadsFault(len(lines) + 1, f"heads of this log were signed, and {kept}")
    return heads


def _is_torn(line: bytes) -> bool:
    """Say whether a line is the beginning of a head, as a death inside a write leaves it."""
    start = b'{"at_ms":'
    return (line.startswith(start) or start.startswith(line.rstrip(b"\n"))) and not line.rstrip(b"\n").endswith(b"}")
