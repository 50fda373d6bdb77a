"""Unpacks zip and tar archives into a new folder: no member leaves it, links to anything or grows without bound.

The one way in which archives are opened. Readers of archives meet hostile bytes too, so they run in a child process.
Knows files and bytes; must not know images.
"""

from __future__ import annotations

import errno
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from labelop.children import Child
from labelop.errors import ChildError, ManifestError
from labelop.ingest import names

_BLOCK_BYTES = 1 << 20
_MEMORY_BYTES = 2 << 30
_WALL_SECONDS = 24 * 3600.0
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ENCRYPTED = 0x1
_LINK_OR_DEVICE, _REGULAR = 0o170000, 0o100000
_NO_NAME = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ})
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    NotImplementedError,
)
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
    """Unpack an archive into a folder that is made for it.

    Args:
        archive: A zip file, or a tar file, also packed with gzip, bzip2 or xz; told by its content.
        folder: A folder that is not there yet.
        limits: What it may unpack to.

    Raises:
        ManifestError: The folder is there, or the archive cannot be opened or ended its reader.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise ManifestError(f"Folder {folder} is there already.", hint="Unpack into a new one.") from error
    try:
        with Child(_MEMORY_BYTES) as child:
            found = child.call(
                f"{__name__}:unpack_in_child",
                timeout_seconds=_WALL_SECONDS,
                archive=os.fspath(archive.resolve()),
                folder=os.fspath(folder.resolve()),
                limits=asdict(limits),
            )
    except ChildError as error:
        raise ManifestError(
            f"Archive {archive.name} cannot be unpacked: {error.message}", hint="Give a zip or tar file that is whole."
        ) from error
    return Unpacked(found["files_count"], tuple((name, code) for name, code in found["refused"]), found["stopped"])


def unpack_in_child(data: bytes, archive: str, folder: str, limits: dict[str, int]) -> dict[str, Any]:
    """Unpack; runs in the child."""
    del data
    work = _Work(Path(archive), folder, ArchiveLimits(**limits))
    work.run()
    return {"files_count": work.files_count, "refused": work.refused, "stopped": work.stopped}


class _Refused(Exception):  # noqa: N818 - no error: it ends here
    """One member is not written; its code."""


class _Stopped(Exception):  # noqa: N818 - no error: it ends here
    """Nothing more is written; the code."""


class _WholeTar(tarfile.TarInfo):
    """A header, or an error: the library takes a broken or missing one for the end, and all behind it would be lost."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Read the next header.

        Raises:
            tarfile.ReadError: It is broken or cut off; only blocks of zeros are the end.
        """
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # blocks of zeros: the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"a header is broken: {error}") from error


class _Work:
    """Writes the members of one archive and keeps count."""

    def __init__(self, archive: Path, folder: str, limits: ArchiveLimits) -> None:
        self.files_count = 0
        self.refused: list[tuple[str, str]] = []
        self.stopped: str | None = None
        self._archive = archive
        self._folder = folder
        packed = archive.stat().st_size
        self._left = min(limits.max_bytes, limits.free_bytes + packed * limits.max_ratio)
        self._members = limits.max_members

    def run(self) -> None:
        with self._archive.open("rb") as file:
            is_zip = file.read(4) in _ZIP
        try:
            for name, code, opened in self._zip() if is_zip else self._tar():
                try:
                    self._write(name, code, opened)
                except _Refused as error:
                    self.refused.append((names.encode(name), str(error)))
        except _Stopped as error:
            self.stopped = str(error)
        except (*_BROKEN, OSError) as error:
            is_of_the_disk = isinstance(error, OSError) and error.errno is not None
            if is_of_the_disk or not self.files_count:
                raise
            self.stopped = "CORRUPT"  # what came before the break is whole

    def _write(self, name: bytes, code: str | None, opened: Callable[[], IO[bytes] | None]) -> None:
        self._members -= 1
        if self._members < 0:
            raise _Stopped("TOO_LARGE")
        path = names.encode(name.removeprefix(b"./"))
        if not names.is_safe(path):
            raise _Refused("BAD_PATH")
        if code is not None:
            raise _Refused(code)
        target = os.path.join(os.fsencode(self._folder), *names.components(path))  # noqa: PTH118 - raw bytes
        try:
            # only folders made here lie below, and no links: nothing can lead out
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 - raw bytes
            descriptor = os.open(target, _NEW, 0o644)
        except FileExistsError:
            raise _Refused("DUPLICATE") from None
        except OSError as error:
            if error.errno not in _NO_NAME:
                raise
            raise _Refused("BAD_PATH") from None
        try:
            with os.fdopen(descriptor, "wb") as out:
                self._copy(opened, out)
        except BaseException:
            os.unlink(target)  # noqa: PTH108 - raw bytes
            raise
        self.files_count += 1

    def _copy(self, opened: Callable[[], IO[bytes] | None], out: IO[bytes]) -> None:
        try:
            source = opened()
            while source is not None and (block := source.read(_BLOCK_BYTES)):
                self._left -= len(block)  # what is written counts, not what a header says
                if self._left < 0:
                    raise _Stopped("TOO_LARGE")
                out.write(block)
        except _BROKEN as error:
            raise _Refused("CORRUPT") from error

    def _zip(self) -> Iterator[tuple[bytes, str | None, Callable[[], IO[bytes] | None]]]:
        with zipfile.ZipFile(self._archive) as archive:
            for info in archive.infolist():
                if info.is_dir():
                    continue
                kind = (info.external_attr >> 16) & _LINK_OR_DEVICE
                code = "ENCRYPTED" if info.flag_bits & _ENCRYPTED else None
                code = "NOT_REGULAR" if kind not in (0, _REGULAR) else code
                yield info.filename.encode("utf-8", "surrogateescape"), code, partial(archive.open, info)

    def _tar(self) -> Iterator[tuple[bytes, str | None, Callable[[], IO[bytes] | None]]]:
        with tarfile.open(self._archive, "r|*", errors="surrogateescape", tarinfo=_WholeTar) as archive:
            for info in archive:
                if info.isdir():
                    continue
                code = None if info.isreg() and not info.issparse() else "NOT_REGULAR"
                yield info.name.encode("utf-8", "surrogateescape"), code, partial(archive.extractfile, info)
