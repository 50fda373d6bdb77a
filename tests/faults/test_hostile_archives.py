"""Whatever an archive holds, nothing is written outside its folder, and one bad member costs itself."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from labelop.errors import ManifestError
from labelop.ingest.archives import ArchiveLimits, unpack

LONG = "x" * 300
CLIMBING = ["../out.txt", "/out.txt", "a/../../out.txt", LONG, "good.txt/below.txt"]


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
    """Traversal, absolute and too long names, and a name below a file, cost themselves; the good ones are whole."""
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
    """The first of two names counts; a password and a wrong checksum are told apart."""
    stored = [("a", b"first"), ("a", b"second"), ("locked", b"secret"), ("damaged", b"checked"), ("z", b"last")]
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

    assert found.refused == (("a", "DUPLICATE"), ("locked", "ENCRYPTED"), ("damaged", "CORRUPT"))
    assert below(tmp_path / "out") == {"a": b"first", "z": b"last"}


def test_what_is_no_archive_is_one_error(tmp_path: Path) -> None:
    """Other bytes and a folder that is there are refused by name; an archive that breaks off keeps what was whole."""
    (tmp_path / "words").write_bytes(b"only words")
    with pytest.raises(ManifestError, match="words cannot be unpacked"):
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
