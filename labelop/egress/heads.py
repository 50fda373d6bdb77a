"""Signed heads of an audit log, kept in a second folder: they show when the log itself was cut or rebuilt.

A bare chain can be made anew by whoever owns the file; a head signed earlier and copied elsewhere cannot. Each head
carries the digest of the head before it. Writes them; `heads_check` reads them. Knows no image and no policy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from labelop.egress.keys import write_durably
from labelop.egress.release_token import Signer
from labelop.errors import naming
from labelop.forms import FirstSchema, StrictForm
from labelop.ids import canonical_json, sha256_hex

EVERY_LINES = 1000
"""A head is signed at least after so many lines."""
EVERY_MS = 600_000
"""A head is signed with the first line after so many milliseconds."""

DOMAIN = b"labelop/audit-head/1\0"
"""What a signature over a head is good for, and nothing else."""
NO_HEAD = "0" * 64
"""What the first head follows."""
_TAIL_BYTES = 4096
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class HeadForm(StrictForm):
    """A head as its line has it."""

    model_config = ConfigDict(strict=True)

    form: FirstSchema = Field(alias="schema")
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
    """When, as its signer said, milliseconds since 1970; proves nothing."""
    previous: str
    """Digest of the head before this one, 64 hex digits; zeros for the first."""
    key_id: str
    """Whose signature it carries."""


def heads_file(folder: Path, log: Path) -> Path:
    """Name the file of a log's heads; by where the log lies, so that a rebuilt log has no fresh start.

    Args:
        folder: Folder of heads; several logs may share it.
        log: The audit log.
    """
    return folder / f"{log.stem}-{sha256_hex(os.fsencode(log.resolve()))[:12]}.heads.jsonl"


@dataclass(frozen=True, slots=True)
class _Last:
    """How a file of heads ends."""

    lines_count: int
    head: str
    at_ms: int
    digest: str
    """Of the last line, whatever it is."""
    whole: str
    """Of the last line that no death has torn; zeros where there is none."""


class SignedHeads:
    """Appends heads of one log; the caller holds the log's lock.

    Args:
        path: File of the heads, best on another disk or machine; see `heads_file`.
        signer: Signs them.
        every_lines: Most lines without a head.
        every_ms: Longest time without a head while lines are written.
        memory: File of the newest head's digest, see `memory_file`; None for none.
        is_current: Says whether the key is still the one in use. Work that began before a rotation leaves the signing
            of heads to those who have the new key, so that in the chain no old key follows a newer one.
    """

    def __init__(
        self,
        path: Path,
        signer: Signer,
        *,
        every_lines: int = EVERY_LINES,
        every_ms: int = EVERY_MS,
        memory: Path | None = None,
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        self.path = path
        self._is_current = is_current
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
            gone = lines_count - last.lines_count
            is_due = gone < 0 or gone >= self._every_lines or at_ms - last.at_ms >= self._every_ms
            if (last.lines_count, last.head) == (lines_count, head) or not (is_due or at_once):
                return
        if not self._is_current():
            return
        whole, previous = (NO_HEAD, NO_HEAD) if last is None else (last.whole, last.digest)
        remembered = recall(self._memory)
        if remembered and whole not in remembered:
            # heads were taken away or put behind: the next one follows what was there, so that the break stays
            whole = previous = remembered[-1]
        body = asdict(Head(lines_count, head, at_ms, previous, self._signer.key_id))
        said_bytes = canonical_json({"schema": 1, **body}).encode()
        signature = self._signer.sign(DOMAIN, said_bytes).hex()
        line = canonical_json({"schema": 1, **body, "signature": signature}).encode() + b"\n"
        # both while it is being written: after a death there is either the head before or this one, and no third
        self._remember(whole, sha256_hex(line))
        self._append(line)
        self._remember(sha256_hex(line))

    def _remember(self, *digests: str) -> None:
        if self._memory is not None:
            self._memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(self._memory, " ".join(digests).encode(), mode=0o600)

    def _last(self) -> _Last | None:
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
        line, digest = lines[-1], sha256_hex(lines[-1])
        try:
            said = json.loads(line)
            return _Last(int(said["lines_count"]), str(said["head"]), int(said["at_ms"]), digest, digest)
        except (ValueError, KeyError, TypeError):
            # damaged: sign the next head at once, and `read_heads` names the bad line unless it was torn by a death
            whole = [sha256_hex(one) for one in lines if not is_torn(one)]
            return _Last(-1, "", 0, digest, whole[-1] if whole else NO_HEAD)

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with naming(self.path), os.fdopen(os.open(self.path, flags, 0o600), "r+b", buffering=0) as file:
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


def recall(memory: Path | None) -> list[str]:
    """Read the digest of the newest head, or those of the last two after a death; empty where none was signed."""
    if memory is None or not memory.exists():
        return []
    return memory.read_text(encoding="ascii", errors="replace").split()


def is_torn(line: bytes) -> bool:
    """Say whether a line is the beginning of a head, as a death inside a write leaves it."""
    start = b'{"at_ms":'
    return (line.startswith(start) or start.startswith(line.rstrip(b"\n"))) and not line.rstrip(b"\n").endswith(b"}")
