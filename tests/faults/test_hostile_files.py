"""One hostile file for each rule, in one run with good ones: each has its reason, and nothing else changes."""

from __future__ import annotations

import hashlib
import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from labelop.errors import UnreadableImageError
from labelop.ingest.decode import inspect
from labelop.ingest.decoders import Decoders
from labelop.ingest.manifest import Manifest, build_manifest
from labelop.settings import Settings


def encoded(kind: str, seed: int = 0, size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    """Encode noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Make one part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    """Make a PNG of a declared size whose pixels are all missing but a few."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + pixels + chunk(b"IEND", b"")


def wrong_checksum() -> bytes:
    """Damage a checksum that loading alone does not look at."""
    data = bytearray(encoded("PNG"))
    start = data.index(b"IDAT")
    data[start + 4 + int.from_bytes(data[start - 4 : start])] ^= 0xFF
    return bytes(data)


def many_pages(count: int) -> bytes:
    """Make an animation of so many frames."""
    out = io.BytesIO()
    frames = [Image.new("L", (2, 2), number % 256) for number in range(count)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def big_notes() -> bytes:
    """Make a JPEG whose colour profile is larger than many photographs."""
    return encoded("JPEG", icc_profile=bytes(8 * 1024 * 1024 + 1))


def much_text() -> bytes:
    """Make a PNG whose text unpacks to a thousand times its size."""
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "x" * 4_000_000, zip=True)
    return encoded("PNG", pnginfo=notes)


def lab() -> bytes:
    """Make a TIFF in a colour space that has no exact way to RGB."""
    out = io.BytesIO()
    Image.new("LAB", (4, 4)).save(out, "TIFF")
    return out.getvalue()


def many_scans(side_px: int, count: int) -> bytes:
    """Make a small progressive JPEG whose last pass over all pixels is repeated: minutes of work, within all limits."""
    out = io.BytesIO()
    Image.new("L", (side_px, side_px), 128).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def cut(data: bytes) -> bytes:
    """Break a JPEG off and end it as if it were whole."""
    return data[: len(data) // 2] + b"\xff\xd9"


def lying(width: int, height: int) -> bytes:
    """Make a JPEG of some hundred bytes that claims to be large."""
    data = encoded("JPEG", size=(16, 16))
    size = data.index(b"\xff\xc0") + 5
    return data[:size] + struct.pack(">HH", height, width) + data[size + 4 :]


def no_numbers() -> bytes:
    """Make a TIFF whose pixels are none."""
    out = io.BytesIO()
    Image.fromarray(np.full((5, 4), np.nan, np.float32)).save(out, "TIFF")
    return out.getvalue()


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing.jpg": (lambda: b"", "EMPTY"),
    "words.jpg": (lambda: b"only words", "NOT_RASTER"),
    "drawing.png": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "NOT_RASTER"),
    "page.jpg": (lambda: b"%PDF-1.7 and so on", "NOT_RASTER"),
    "script.png": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run", "NOT_RASTER"),
    "phone.jpg": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "UNSUPPORTED_FORMAT"),
    "next.jpg": (lambda: b"\0\0\0\x0cJXL \r\n\x87\n", "UNSUPPORTED_FORMAT"),
    "layers.png": (lambda: b"8BPS\0\1" + bytes(30), "UNSUPPORTED_FORMAT"),
    "sky.tiff": (lambda: b"SIMPLE  =                    T" + bytes(2850), "UNSUPPORTED_FORMAT"),
    "lab.tiff": (lab, "UNSUPPORTED_FORMAT"),
    "half.jpg": (lambda: encoded("JPEG")[:500], "CORRUPT"),
    "half.png": (lambda: encoded("PNG")[:500], "CORRUPT"),
    "half.webp": (lambda: encoded("WEBP")[:200], "CORRUPT"),
    "checksum.png": (wrong_checksum, "CORRUPT"),
    "cut.jpg": (lambda: cut(encoded("JPEG", size=(200, 100))), "CORRUPT"),
    "cut-between.jpg": (lambda: cut(encoded("JPEG", size=(200, 100), restart_marker_blocks=2)), "CORRUPT"),
    "lying.jpg": (lambda: lying(800, 599), "CORRUPT"),
    "numbers.tiff": (no_numbers, "CORRUPT"),
    "start.jpg": (lambda: b"\xff\xd8\xff\xe0", "CORRUPT"),
    "nowhere.tiff": (lambda: b"II*\0" + b"\xff" * 40, "CORRUPT"),
    "wide.png": (lambda: png(60_000, 60_000), "TOO_LARGE"),
    "long.png": (lambda: png(70_000, 1), "TOO_LARGE"),
    "frames.gif": (lambda: many_pages(1001), "TOO_LARGE"),
    "profile.jpg": (big_notes, "TOO_LARGE"),
    "text.png": (much_text, "TOO_LARGE"),
}


def read(root: Path) -> Manifest:
    """Ingest a folder."""
    return build_manifest(str(root), "set", "folder", settings=Settings())


def fill(root: Path, count: int) -> None:
    """Write good pictures, of every format in turn."""
    for number in range(count):
        kind = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")[number % 6]
        (root / f"good-{number:04}.{kind.lower()}").write_bytes(encoded(kind, number, (8 + number % 5, 6)))


def rows(manifest: Manifest) -> list[dict[str, Any]]:
    """Give the rows of the good pictures, without the version they belong to."""
    good = [row for row in manifest.images if row["path"].startswith("good-")]
    return [{key: value for key, value in row.items() if key != "dataset_version"} for row in good]


def hashes(root: Path) -> dict[str, str]:
    """Hash every regular file."""
    files = (path for path in root.iterdir() if path.is_file() and not path.is_symlink())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_each_rule_has_its_code_and_nothing_else_changes(tmp_path: Path) -> None:
    """Every hostile file is quarantined with the code of its rule; good rows are those of a run without it."""
    fill(tmp_path, 12)
    clean = rows(read(tmp_path))
    for name, (make, _) in FILES.items():
        (tmp_path / name).write_bytes(make())
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("/etc/passwd")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    before = hashes(tmp_path)

    manifest = read(tmp_path)

    wanted = {name: code for name, (_, code) in FILES.items()} | dict.fromkeys(
        ("pipe.jpg", "link.jpg", "loop.jpg"), "NOT_REGULAR"
    )
    assert {row["path"]: row["reason"] for row in manifest.quarantine} == wanted
    assert rows(manifest) == clean
    assert len(manifest.images) == len(clean) + len(wanted)
    assert hashes(tmp_path) == before


def drawn(number: int, random_: random.Random) -> tuple[bytes, set[str]]:
    """Draw one hostile file and the codes that would be right for it."""
    kind = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")[number % 6]
    whole = encoded(kind, number, (random_.randint(30, 60), random_.randint(30, 60)))
    half = whole[: random_.randint(len(whole) // 3, len(whole) // 2)]
    return random_.choice(
        [
            (half, {"CORRUPT"}),
            (random_.randbytes(random_.randint(1, 5000)), {"NOT_RASTER"}),
            (b"\xff\xd8\xff" + random_.randbytes(300), {"CORRUPT"}),
            (b"\x89PNG\r\n\x1a\n" + random_.randbytes(300), {"CORRUPT"}),
            (png(random_.randint(8_001, 65_000), random_.randint(8_001, 65_000)), {"TOO_LARGE"}),
            (png(random_.randint(2_000, 7_000), random_.randint(2_000, 7_000)), {"CORRUPT"}),
        ]
    )


def test_a_real_file_is_too_slow() -> None:
    """A JPEG of a few hundred kilobytes that asks for ten thousand passes is ended by the processor time it takes.

    There is no such file for `DECODER_CRASHED`: one that ends the decoder would be an open fault of the library, and
    too much memory is an error there and not an end. Functions that end their process stand for it in `test_decoders`.
    """
    data = many_scans(4000, 10_000)
    assert len(data) < 2 << 20
    with Decoders(1, cpu_seconds=1.0) as slow, pytest.raises(UnreadableImageError, match="TOO_SLOW"):
        slow.inspect(data)
    assert inspect(many_scans(100, 3)).width_px == 100
