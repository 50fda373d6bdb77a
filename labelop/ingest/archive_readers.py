"""Read zip and tar files member by member, so that what is wrong with one costs no other and a broken end is told.

The readers of the standard library give up on a whole zip file for one entry of its directory, and take what breaks off
in a tar file for its end. Knows bytes; must not know where members go.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Self, cast

BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    MemoryError,
    OSError,
    OverflowError,
    RecursionError,
    ValueError,
    NotImplementedError,
)
"""What reading hostile bytes raises; see `is_of_the_disk` for the other kind of OSError."""

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PACKED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"\x5d\x00\x00\x80": lzma.open,
}
"""Unlike those inside the tar reader these look at the checksum at the end, and go on where another part follows."""
_LONGEST_MARK = 6
_LINK_OR_DEVICE, _REGULAR = 0o170000, 0o100000
_ENCRYPTED = 0x1

_ENTRY, _END = b"PK\x01\x02", b"PK\x05\x06"
_ENTRY_BYTES, _VERSION_AT, _FLAGS_AT, _LENGTHS_AT = 46, 6, 8, 28
_OLDEST_VERSION, _UTF_8 = 20, 0x800
"""Layout of an entry in the directory of a zip file; source: PKWARE's APPNOTE.TXT 4.3.12 and 4.4.4."""
_COUNT_AT = 4
"""Where the reader keeps how many members the end of a zip file speaks of."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member that is no folder."""

    name: bytes
    """Its name, as the archive has it."""
    code: str | None
    """Reason code where it cannot be a file, whatever its bytes: NOT_REGULAR or ENCRYPTED."""
    opened: Callable[[], IO[bytes]]
    """Opens its bytes; before the next member is asked for."""


def members(archive: Path, count: Callable[[int], None]) -> Iterator[Member]:
    """Read the members of an archive, a zip file or a tar file that may be packed, in its order.

    Args:
        archive: The file; told by its content.
        count: Is told of every number of bytes unpacked, before anybody has them; may raise to end it.

    Raises:
        Exception: One of `BROKEN`: nothing behind this can be read.
    """
    return _zip(archive, count) if _is_zip(archive) else _tar(archive, count)


def is_of_the_disk(error: BaseException) -> bool:
    """Say whether this is no fault of the bytes: those come without a number, or ask for a place before the begin."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def _start(archive: Path) -> bytes:
    with archive.open("rb") as file:
        return file.read(_LONGEST_MARK)


def _is_zip(archive: Path) -> bool:
    # a program that unpacks itself stands before its zip file; a tar file may hold one at its end
    return _start(archive).startswith(_ZIP) or (not tarfile.is_tarfile(archive) and zipfile.is_zipfile(archive))


def _zip(path: Path, count: Callable[[int], None]) -> Iterator[Member]:
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
        except BROKEN:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(_PlainDirectory(path))))
        for info in archive.infolist():
            if info.filename.endswith("/") and not info.file_size:
                continue
            kind = (info.external_attr >> 16) & _LINK_OR_DEVICE
            code = "ENCRYPTED" if info.flag_bits & _ENCRYPTED else None
            code = "NOT_REGULAR" if kind not in (0, _REGULAR) else code
            name = info.filename.encode("utf-8", "surrogateescape")
            yield Member(name, code, partial(_opened, archive, info, count))
        with path.open("rb") as file:
            said: int = zipfile._EndRecData(file)[_COUNT_AT]  # type: ignore[attr-defined]  # noqa: SLF001 - also in long form
        if len(archive.infolist()) < said:
            raise zipfile.BadZipFile(f"{said} members, but {len(archive.infolist())} are in the directory")


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo, count: Callable[[int], None]) -> IO[bytes]:
    return cast("IO[bytes]", _Counted(archive.open(info), count))


def _tar(path: Path, count: Callable[[int], None]) -> Iterator[Member]:
    start = _start(path)
    unpacked = next((reader for mark, reader in _PACKED.items() if start.startswith(mark)), partial(open, mode="rb"))
    with unpacked(path) as file:
        counted = cast("IO[bytes]", _Counted(file, count))
        with _WholeTar.open(fileobj=counted, mode="r|", errors="surrogateescape") as archive:
            for info in archive:
                if not info.isdir():
                    code = None if info.isreg() and not info.issparse() else "NOT_REGULAR"
                    name = info.name.encode("utf-8", "surrogateescape")
                    yield Member(name, code, partial(_extracted, archive, info))


def _extracted(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    return cast("IO[bytes]", archive.extractfile(info))


class _Counted:
    """Reads what is there and counts it, instead of waiting for more and losing both where that breaks off."""

    def __init__(self, file: Any, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count

    def read(self, size: int) -> bytes:
        block: bytes = self._file.read1(size)
        self._count(len(block))
        return block


class _WholeHeader(tarfile.TarInfo):
    """A header, or an error: the library takes a broken or missing one for the end, and all behind it would be lost."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Read the next header.

        Raises:
            tarfile.ReadError: It is broken or cut off; only blocks of zeros are the end.
        """
        whole = cast("_WholeTar", archive)
        try:
            found = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # a block of zeros
            whole.has_ended = True
            raise
        except tarfile.HeaderError as error:
            if whole.has_ended and isinstance(error, tarfile.EmptyHeaderError):  # type: ignore[attr-defined]
                raise
            raise tarfile.ReadError(f"a header is broken: {error}") from error
        whole.has_ended = False
        return found


class _WholeTar(tarfile.TarFile):
    """A tar file read to the end of its bytes: behind blocks of zeros another may follow, as where two were joined."""

    tarinfo, ignore_zeros = _WholeHeader, True
    has_ended = False
    """Whether blocks of zeros came last."""


class _PlainDirectory(io.FileIO):
    """A zip file whose directory is made plain where the reader would refuse all members for one entry."""

    _is_read = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read; the directory comes in one piece."""
        data = super().read(size)
        if self._is_read or not data.startswith(_ENTRY):
            return data
        self._is_read = True
        return _plain(data)


def _plain(directory: bytes) -> bytes:
    """Take from each bad entry what it says of UTF-8, of its version and beyond the format's first form.

    Whether it is a member all the same shows where that is opened.
    """
    plain, at = bytearray(directory), 0
    while plain.startswith(_ENTRY, at) and at + _ENTRY_BYTES <= len(plain):
        name, extra, comment = struct.unpack_from("<3H", plain, at + _LENGTHS_AT)
        end = at + _ENTRY_BYTES + name + extra + comment
        try:
            zipfile.ZipFile(io.BytesIO(plain[at:end] + struct.pack("<4s4H2LH", _END, 0, 0, 1, 1, end - at, 0, 0)))
        except BROKEN:
            (flags,) = struct.unpack_from("<H", plain, at + _FLAGS_AT)
            struct.pack_into("<HH", plain, at + _VERSION_AT, _OLDEST_VERSION, flags & ~_UTF_8)
            extra_at = at + _ENTRY_BYTES + name
            plain[extra_at : extra_at + extra] = bytes(extra)
        at = end
    return bytes(plain)
