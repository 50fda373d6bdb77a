"""Unpacks zip and tar archives into a new folder: no member leaves it, links to anything or grows without bound.

The one way in which archives are opened. Readers of archives meet hostile bytes too, so they run in a child process.
Knows files and bytes; must not know images.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from labelop.children import Child
from labelop.errors import ChildError, ChildFaultError, ManifestError
from labelop.ingest import names
from labelop.ingest.archive_readers import BROKEN, Member, is_of_the_disk, members

_BLOCK_BYTES = 1 << 20
_MEMORY_BYTES = 2 << 30
_WALL_SECONDS = 24 * 3600.0
_PREFIX, _LOCK, _FILES = ".unpacking-", "lock", "files"
_NO_NAME = frozenset({errno.EEXIST, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ})
_MOST_FOLDERS = 200
"""One in the other; folders are made by a function that calls itself."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What one archive may unpack to."""

    max_members: int = 1_000_000
    """Most members."""
    max_bytes: int = 1 << 40
    """Most bytes of all members together."""
    max_ratio: int = 200
    """Most bytes of all members for each byte of the archive; photographs hardly shrink, tables twentyfold."""
    free_bytes: int = 64 << 20
    """Bytes that may be unpacked before the ratio counts: small archives of text shrink far."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What became of an archive."""

    files_count: int
    """Files written."""
    refused: tuple[tuple[str, str], ...]
    """Percent-encoded name and reason code of each member that was not: BAD_PATH, NOT_REGULAR, DUPLICATE, ENCRYPTED,
    CORRUPT."""
    stopped: str | None = None
    """Reason code where the rest of the archive was left: TOO_LARGE or CORRUPT."""


def unpack(archive: Path, folder: Path, limits: ArchiveLimits = ArchiveLimits()) -> Unpacked:
    """Unpack an archive into a folder that is made for it, and is there only at the end.

    It holds all of the archive then, or the whole files before the place where it was `stopped`.

    Args:
        archive: A zip file, or a tar file, also packed with gzip, bzip2 or xz; told by its content.
        folder: A folder that is not there yet.
        limits: What it may unpack to.

    Raises:
        ManifestError: The folder is there, or the archive cannot be opened or ended its reader, or the disk did not do
            it.
    """
    if os.path.lexists(folder):
        raise ManifestError(f"Folder {folder} is there already.", hint="Unpack into a new one.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # a neighbour, so that a try that failed is in nobody's way and the last step is one rename
        with _beside(folder.parent.resolve()) as beside:
            found = _called(archive, beside / _FILES, limits)
            (beside / _FILES).rename(folder)
    except OSError as error:
        raise ManifestError(f"Archive {archive.name} cannot be unpacked to {folder}: {error.strerror}.") from error
    return Unpacked(found["files_count"], tuple((name, code) for name, code in found["refused"]), found["stopped"])


@contextmanager
def _beside(parent: Path) -> Iterator[Path]:
    """Give a new folder whose lock says that its maker lives, and remove those of makers that were killed."""
    for left in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # its maker lives, or it is another's, or gone meanwhile
            if {_LOCK, _FILES}.issuperset(os.listdir(left)) and not left.is_symlink():  # noqa: PTH208 - names alone
                with _locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(left)
    with ExitStack() as held:
        while True:
            made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            (made / _LOCK).touch(0o600)
            with suppress(FileNotFoundError):  # another took it for one that was left, before it was locked
                held.enter_context(_locked(made, fcntl.LOCK_SH))
                if (made / _LOCK).exists():
                    break
        held.callback(shutil.rmtree, made)
        yield made


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """Hold a folder's lock, which the system frees when its holders have ended, however they end.

    Raises:
        OSError: The folder has none, so nobody made it here; or another holds it.
    """
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def _called(archive: Path, folder: Path, limits: ArchiveLimits) -> dict[str, Any]:
    """Let the child unpack into a new folder.

    Raises:
        ManifestError: The archive cannot be opened or ended its reader.
        OSError: The disk did not do it.
    """
    folder.mkdir()
    try:
        with Child(_MEMORY_BYTES) as child:
            found: dict[str, Any] = child.call(
                f"{__name__}:unpack_in_child",
                timeout_seconds=_WALL_SECONDS,
                archive=os.fspath(archive.resolve()),
                folder=os.fspath(folder),
                limits=asdict(limits),
                caller=os.getpid(),
            )
    except ChildError as error:
        why = f"{error.context['kind']}." if isinstance(error, ChildFaultError) else error.message
        raise ManifestError(
            f"Archive {archive.name} cannot be unpacked: {why}", hint="Give a zip or tar file that is whole."
        ) from error
    if number := found.get("errno"):
        raise OSError(number, os.strerror(number))
    return found


def unpack_in_child(data: bytes, archive: str, folder: str, limits: dict[str, int], caller: int) -> dict[str, Any]:
    """Unpack; runs in the child, which ends with its caller."""
    del data
    work = _Work(Path(archive), folder, ArchiveLimits(**limits), caller)
    try:
        # its own hold: it may write for a moment longer than its caller lives
        with _locked(Path(folder).parent, fcntl.LOCK_SH):
            work.run()
    except OSError as error:
        if not is_of_the_disk(error):
            raise
        return {"errno": error.errno}
    return {"files_count": work.files_count, "refused": work.refused, "stopped": work.stopped}


class _Refused(Exception):  # noqa: N818 - no error: it ends here
    """One member is not written; its code."""


class _Stopped(Exception):  # noqa: N818 - no error: it ends here
    """Nothing more is written; the code."""


class _Work:
    """Writes the members of one archive and keeps count."""

    def __init__(self, archive: Path, folder: str, limits: ArchiveLimits, caller: int) -> None:
        self.files_count = 0
        self.refused: list[tuple[str, str]] = []
        self.stopped: str | None = None
        self._archive = archive
        self._folder = folder
        packed = archive.stat().st_size
        self._left = min(limits.max_bytes, limits.free_bytes + packed * limits.max_ratio)
        self._members = limits.max_members
        self._caller = caller

    def run(self) -> None:
        try:
            for member in members(self._archive, self._count):
                try:
                    self._write(member)
                except _Refused as error:
                    self.refused.append((names.encode(member.name), str(error)))
        except _Stopped as error:
            self.stopped = str(error)
        except BROKEN as error:
            if is_of_the_disk(error) or not (self.files_count or self.refused):
                raise
            self.stopped = "CORRUPT"  # what came before the break is whole

    def _write(self, member: Member) -> None:
        self._members -= 1
        if self._members < 0:
            raise _Stopped("TOO_LARGE")
        path = names.encode(member.name.removeprefix(b"./"))
        if not names.is_safe(path) or path.count("/") > _MOST_FOLDERS:
            raise _Refused("BAD_PATH")
        if member.code is not None:
            raise _Refused(member.code)
        target = os.path.join(os.fsencode(self._folder), *names.components(path))  # noqa: PTH118 - raw bytes
        try:
            # only folders made here lie below, and no links: nothing can lead out
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 - raw bytes
            descriptor = os.open(target, _NEW, 0o644)
        except OSError as error:
            if error.errno not in _NO_NAME:
                raise
            # where it is not there itself, a folder of its name is a file
            raise _Refused("DUPLICATE" if os.path.lexists(target) else "BAD_PATH") from None
        try:
            with os.fdopen(descriptor, "wb") as out:
                _copy(member, out)
        except BaseException:
            os.unlink(target)  # noqa: PTH108 - raw bytes
            raise
        self.files_count += 1

    def _count(self, size: int) -> None:
        if os.getppid() != self._caller:
            sys.exit()  # it was killed: nobody will have what is unpacked
        self._left -= size  # what is unpacked counts, not what a header says
        if self._left < 0:
            raise _Stopped("TOO_LARGE")


def _copy(member: Member, out: IO[bytes]) -> None:
    try:
        source = member.opened()
        while block := source.read(_BLOCK_BYTES):
            out.write(block)
    except BROKEN as error:
        if is_of_the_disk(error):
            raise
        raise _Refused("CORRUPT") from error
