"""Tells what a file is by its first bytes, never by its name. Knows no decoder and no place."""

from __future__ import annotations

MAX_HEAD_BYTES = 16
"""Bytes that are enough to tell a signature."""

_OPENED = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")
_OTHER_RASTER = (
    b"\xff\x0a",
    b"\0\0\0\x0cJXL ",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
    b"8BPS",
    b"SIMPLE  =",
    b"\0\0\1\0",
)
_ISO_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def is_opened(head: bytes) -> bool:
    """Say whether these are the first bytes of a format that is opened at all."""
    return head.startswith(_OPENED) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_other_raster(head: bytes) -> bool:
    """Say whether these are the first bytes of a raster image of a format that is not opened."""
    return head.startswith(_OTHER_RASTER) or (head[4:8] == b"ftyp" and head[8:12] in _ISO_BRANDS)


def looks_like_image(head: bytes) -> bool:
    """Say whether a file's first bytes are those of a raster image, readable here or not."""
    # two letters are too little evidence for a bitmap; its reserved bytes are zero besides
    bitmap = head[:2] == b"BM" and head[6:10] == bytes(4)
    return bitmap or (is_opened(head) and head[:2] != b"BM") or is_other_raster(head)
