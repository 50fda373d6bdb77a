"""Files that real uploads contain and that must never end a run.

Each comes with the outcome a careful reader reaches: `ok`, or `quarantine` with a reason code.
"""

from __future__ import annotations

import csv
import struct
import zlib
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from . import parcels
from .scene import Pixels

_ORIENTATION = 0x0112


def _jpeg(image: Image.Image, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    if orientation != 1:
        exif[_ORIENTATION] = orientation
    out = BytesIO()
    image.save(out, "JPEG", quality=80, exif=exif)
    return out.getvalue()


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb() -> bytes:
    """A PNG of a few hundred bytes whose header claims 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(10_000), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _marked(seed: int) -> Image.Image:
    """A small parcel, wider than high, so that a wrong orientation shows."""
    pixels: Pixels = parcels.draw(900_000 + seed).pixels
    return Image.fromarray(pixels).crop((0, 0, 160, 112))


def files() -> list[tuple[str, bytes, str, str]]:
    """Name, content, expected outcome and reason code (empty when ok) of every file."""
    good = _jpeg(_marked(0))
    sixteen = np.asarray(_marked(1).convert("L")).astype(np.uint16) * 257
    frames = [_marked(seed).convert("P", palette=Image.Palette.ADAPTIVE, colors=32) for seed in (2, 3, 4)]
    pages = [_marked(seed).crop((0, 0, 80, 56)) for seed in (5, 6)]
    alpha = _marked(7)
    alpha.putalpha(Image.linear_gradient("L").resize(alpha.size))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>1</script></svg>\n'
    heic = struct.pack(">I", 24) + b"ftypheic\0\0\0\0heicmif1" + bytes(64)
    rows = [
        ("empty.jpg", b"", "quarantine", "EMPTY"),
        ("truncated.jpg", good[: len(good) * 6 // 10], "quarantine", "CORRUPT"),
        ("bomb.png", _bomb(), "quarantine", "TOO_LARGE"),
        ("text.jpg", b"this is a note, not a picture\n", "quarantine", "NOT_RASTER"),
        ("drawing.png", svg, "quarantine", "NOT_RASTER"),
        ("phone.heic", heic, "quarantine", "UNSUPPORTED_FORMAT"),
        ("really_a_png.jpg", _saved(_marked(8), "PNG"), "ok", ""),
        ("cmyk.jpg", _jpeg(_marked(9).convert("CMYK")), "ok", ""),
        ("sixteen_bit.png", _saved(Image.fromarray(sixteen), "PNG"), "ok", ""),
        ("alpha.png", _saved(alpha.crop((0, 0, 96, 72)), "PNG"), "ok", ""),
        ("animated.gif", _saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=80), "ok", ""),
        ("pages.tiff", _saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]), "ok", ""),
        ("duplicate.jpg", good, "ok", ""),
        ("original.jpg", good, "ok", ""),
        ("line\nbreak.jpg", _jpeg(_marked(10)), "ok", ""),
        ("right\u202eto left.jpg", _jpeg(_marked(11)), "ok", ""),
        ("smile \U0001f600.jpg", _jpeg(_marked(12)), "ok", ""),
        ("-rf.jpg", _jpeg(_marked(13)), "ok", ""),
        ("n" * 196 + ".jpg", _jpeg(_marked(14)), "ok", ""),
    ]
    rows += [(f"orientation_{turn}.jpg", _jpeg(_marked(15), turn), "ok", "") for turn in range(2, 9)]
    return rows


def write(folder: Path) -> None:
    """Write the files into `folder` and `expected.csv` (names percent-encoded) beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "expected.csv").open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("file_name", "outcome", "reason"))
        for name, content, outcome, reason in files():
            (folder / name).write_bytes(content)
            table.writerow((quote(name, safe=""), outcome, reason))
