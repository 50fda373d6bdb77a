"""Whatever an archive holds, nothing is written outside its folder, and one bad member costs itself."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelop.errors import ManifestError
from labelop.ingest.archives import ArchiveLimits, unpack
from tests.faults.full_disk import small_disk

LONG = "x" * 300
DEEP = "d/" * 1500 + "out.txt"
CLIMBING = ["../out.txt", "/out.txt", "a/../../out.txt", LONG, DEEP, "good.txt/below.txt"]


def zipped(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names used twice
        for name, data in members:
            archive.writestr(name, data)
    return path


def tarred(path: Path, members: list[tuple[str, bytes]], **special: bytes) -> Path:
    """Write a tar file; special members have the type given."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, kind in special.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    return path


def below(folder: Path) -> dict[str, bytes]:
    """Read everything below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("make", [zipped, tarred])
def test_names_that_climb_are_left_out(tmp_path: Path, make: Any) -> None:
    """Traversal, absolute, too long and too deep names, and one below a file, cost themselves; good ones are whole."""
    members = [("good.txt", b"good"), *((name, b"bad") for name in CLIMBING), ("a/b/also.txt", b"also")]
    archive = make(tmp_path / "archive", members)

    found = unpack(archive, tmp_path / "in/side")

    assert below(tmp_path / "in/side") == {"good.txt": b"good", "a/b/also.txt": b"also"}
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "in"}
    assert found.files_count == 2
    assert found.stopped is None
    assert len(found.refused) == len(CLIMBING)
    assert {code for _, code in found.refused} <= {"BAD_PATH", "DUPLICATE"}


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    """No link is made, so that nothing written later can go through one."""
    kinds = {"soft": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "pipe": tarfile.FIFOTYPE, "disk": tarfile.BLKTYPE}
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16

    from_tar = unpack(tarred(tmp_path / "a.tar.gz", [("good", b"1")], **kinds), tmp_path / "a")
    from_zip = unpack(zipped(tmp_path / "b.zip", [("good", b"1"), (link, b"/etc/passwd")]), tmp_path / "b")

    assert sorted(from_tar.refused) == sorted((name, "NOT_REGULAR") for name in kinds)
    assert from_zip.refused == (("link", "NOT_REGULAR"),)
    assert below(tmp_path / "a") == below(tmp_path / "b") == {"good": b"1"}


@pytest.mark.parametrize("make", [zipped, tarred])
def test_bombs_are_stopped(tmp_path: Path, make: Any) -> None:
    """Ratio, size and count each end it; what was whole before stays, what was begun is gone."""
    archive = make(tmp_path / "archive", [("first", b"1"), ("bomb", bytes(8 << 20)), ("last", b"1")])

    for number, limits in enumerate(
        [
            ArchiveLimits(free_bytes=1 << 20, max_ratio=10),
            ArchiveLimits(max_bytes=1 << 20),
            ArchiveLimits(max_members=1),
        ]
    ):
        found = unpack(archive, tmp_path / str(number), limits)
        assert found.stopped == "TOO_LARGE"
        assert below(tmp_path / str(number)) == {"first": b"1"}


def test_a_doubled_a_locked_and_a_damaged_member_cost_themselves(tmp_path: Path) -> None:
    """The first of two names counts, none lies below a file; a password and a wrong checksum are told apart."""
    stored = [
        ("a", b"first"),
        ("a", b"second"),
        ("a/b", b"below"),
        ("a/b/c", b"below"),
        ("locked", b"secret"),
        ("damaged", b"checked"),
        ("z", b"last"),
    ]
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as made, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, text in stored:
            made.writestr(name, text)
    data = bytearray(archive.read_bytes().replace(b"checked", b"cracked"))
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"locked"))
    struct.pack_into("<H", data, at + 8, 1)
    archive.write_bytes(data)

    found = unpack(archive, tmp_path / "out")

    below_a_file = (("a/b", "BAD_PATH"), ("a/b/c", "BAD_PATH"))
    assert found.refused == (("a", "DUPLICATE"), *below_a_file, ("locked", "ENCRYPTED"), ("damaged", "CORRUPT"))
    assert below(tmp_path / "out") == {"a": b"first", "z": b"last"}


def test_what_is_no_archive_is_one_error(tmp_path: Path) -> None:
    """Other bytes and a folder that is there are refused by name; an archive that breaks off keeps what was whole."""
    (tmp_path / "words").write_bytes(b"only words")
    with pytest.raises(ManifestError, match=r"words cannot be unpacked: \w+\."):
        unpack(tmp_path / "words", tmp_path / "a")
    with pytest.raises(ManifestError, match="there already"):
        unpack(tmp_path / "words", tmp_path)
    whole = tmp_path / "whole.tar"
    with tarfile.open(whole, "w") as made:
        for name in ("one", "two"):
            info = tarfile.TarInfo(name)
            info.size = 40_000
            made.addfile(info, io.BytesIO(bytes(40_000)))
    whole.write_bytes(whole.read_bytes()[:60_000])
    found = unpack(whole, tmp_path / "b")
    assert below(tmp_path / "b") == {"one": bytes(40_000)}
    assert (found.stopped, found.refused) == ("CORRUPT", (("two", "CORRUPT"),))


@pytest.mark.parametrize("fault", ["a flipped byte", "cut in a header", "cut between members"])
def test_a_tar_that_breaks_off_says_so(tmp_path: Path, fault: str) -> None:
    """A broken or missing header is no end: three of five files are there, and the rest is not lost in silence."""
    packed = tarred(tmp_path / "whole.tar.gz", [(f"{n}.txt", b"text") for n in range(5)])
    whole = gzip.decompress(packed.read_bytes())
    fourth = 3 * 1024  # a header and a block of data each
    broken = {
        "a flipped byte": whole[:fourth] + bytes([whole[fourth] ^ 0xFF]) + whole[fourth + 1 :],
        "cut in a header": whole[: fourth + 100],
        "cut between members": whole[:fourth],
    }[fault]
    (tmp_path / "broken.tar").write_bytes(broken)
    found = unpack(tmp_path / "broken.tar", tmp_path / "out")
    assert (found.files_count, found.stopped) == (3, "CORRUPT")


def _behind(data: bytearray, number: int, mark: bytes) -> int:
    """Find a place in a zip file: the header of that number with that mark."""
    at = -1
    for _ in range(number):
        at = data.index(mark, at + 1)
    return at


def _spoil_bytes(data: bytearray) -> None:
    at = _behind(data, 1, b"PK\x03\x04") + 30 + len("0.txt")
    data[at + 4 : at + 12] = b"\xff" * 8


def _spoil_name(data: bytearray) -> None:
    at = _behind(data, 1, b"PK\x01\x02")
    struct.pack_into("<H", data, at + 8, 0x800)
    data[at + 46] = 0xFF


def _spoil_version(data: bytearray) -> None:
    data[_behind(data, 1, b"PK\x01\x02") + 6] = 99


def _prepend(data: bytearray) -> None:
    data[:0] = b"#!/bin/sh\nexit 1\n"


@pytest.mark.parametrize(
    ("method", "spoil", "refused"),
    [
        (zipfile.ZIP_BZIP2, _spoil_bytes, 1),
        (zipfile.ZIP_DEFLATED, _spoil_bytes, 1),
        (zipfile.ZIP_LZMA, _spoil_bytes, 1),
        (zipfile.ZIP_STORED, _spoil_name, 1),
        (zipfile.ZIP_STORED, _spoil_version, 0),
        (zipfile.ZIP_STORED, _prepend, 0),
    ],
)
def test_one_bad_member_of_a_zip_costs_itself(
    tmp_path: Path, method: int, spoil: Callable[[bytearray], None], refused: int
) -> None:
    """Damaged bytes, a name that is no UTF-8 or a program before it refused the whole file, or the members behind."""
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", method) as made:
        for number in range(4):
            made.writestr(f"{number}.txt", f"text {number} " * 20)
    data = bytearray(archive.read_bytes())
    spoil(data)
    archive.write_bytes(data)

    found = unpack(archive, tmp_path / "out")

    assert [code for _, code in found.refused] == ["CORRUPT"] * refused
    assert found.stopped is None
    assert {f"{n}.txt": f"text {n} ".encode() * 20 for n in range(refused, 4)}.items() <= below(
        tmp_path / "out"
    ).items()


def test_members_that_a_directory_has_lost_are_told(tmp_path: Path) -> None:
    """An entry whose comment swallows the next one hid it without a word; the end of the file counts them."""
    archive = zipped(tmp_path / "archive.zip", [(f"{n}.txt", b"text") for n in range(4)])
    data = bytearray(archive.read_bytes())
    entry = _behind(data, 1, b"PK\x01\x02")
    struct.pack_into("<H", data, entry + 32, _behind(data, 3, b"PK\x01\x02") - _behind(data, 2, b"PK\x01\x02"))
    archive.write_bytes(data)
    found = unpack(archive, tmp_path / "out")
    assert (found.files_count, found.stopped) == (3, "CORRUPT")


def test_what_lies_behind_the_end_of_a_tar_is_read(tmp_path: Path) -> None:
    """Two tar files that were joined are both unpacked, packed one by one or together; other bytes there are told."""
    parts = [tarred(tmp_path / f"{n}.tar.gz", [(f"{n}.txt", b"text")]).read_bytes() for n in range(2)]
    plain = b"".join(map(gzip.decompress, parts))
    for number, (data, stopped) in enumerate(
        [(b"".join(parts), None), (plain, None), (gzip.compress(plain), None), (plain + b"more" * 300, "CORRUPT")]
    ):
        (tmp_path / "joined").write_bytes(data)
        found = unpack(tmp_path / "joined", tmp_path / f"out{number}")
        assert (found.files_count, found.stopped) == (2, stopped)


def test_a_wrong_checksum_at_the_end_of_a_packed_tar_is_told(tmp_path: Path) -> None:
    """Nobody looked at it; what was unpacked is kept, since a decoder will say which file is meant."""
    archive = tarred(tmp_path / "a.tar.gz", [("a.txt", b"text")])
    archive.write_bytes(archive.read_bytes()[:-8] + bytes(8))
    found = unpack(archive, tmp_path / "out")
    assert (found.files_count, found.stopped) == (1, "CORRUPT")


def test_a_try_that_failed_is_in_nobodys_way(tmp_path: Path) -> None:
    """The empty folder of a file that is no archive made the next try, with the right file, fail."""
    archive = tmp_path / "archive"
    archive.write_bytes(b"only words")
    with pytest.raises(ManifestError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]
    zipped(archive, [("a.txt", b"text")])
    assert unpack(archive, tmp_path / "out").files_count == 1
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "out"}


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """It is not the archive that is at fault, and half a folder would pass for all of it."""
    archive = zipped(tmp_path / "archive.zip", [("first", b"1"), ("large", bytes(8 << 20))])
    try:
        with small_disk(tmp_path / "disk") as disk:
            with pytest.raises(ManifestError, match="No space left"):
                unpack(archive, disk / "out")
            assert not list(disk.iterdir())
    except PermissionError as error:
        pytest.skip(str(error))
