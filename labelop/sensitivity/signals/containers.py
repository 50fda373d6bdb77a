"""Which parts of an image file nobody here reads: segments and chunks that are on no list, and bytes behind the end.

Lists name what is harmless or read elsewhere (EXIF, XMP, IPTC, comments), so that a part nobody thought of is told
and not let pass. Knows JPEG, PNG and WebP as containers, no pixel, and none of the notes inside.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from labelop import jpeg

COMMENT, UNKNOWN = "comment", "notes_unknown"

_COMMENT, _PHOTOSHOP = 0xFE, 0xED
_JPEG_READ = {
    jpeg.JFIF: jpeg.JFIF_PLAIN,
    0xE1: re.compile(rb"(?:Exif\0\0|http://ns\.adobe\.com/xap/1\.0/\0).*", re.DOTALL),
    0xE2: re.compile(rb"ICC_PROFILE\0.*", re.DOTALL),
    _PHOTOSHOP: re.compile(rb"Photoshop 3\.0\0(?P<rest>.*)", re.DOTALL),
    0xEE: re.compile(rb"Adobe.{7}", re.DOTALL),
}
"""Segments of applications that are harmless or read elsewhere, by marker."""
_IPTC_RESOURCE = 0x0404

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_PLAIN = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT pHYs bKGD hIST tIME cICP mDCV cLLI eXIf".split()
)
"""Pixels, colours, sizes and times; EXIF is read elsewhere."""
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_PNG_SELF = (b"Software", b"Creation Time", b"date:create", b"date:modify", b"date:timestamp")
"""Keywords under which tools write about themselves."""
_PNG_XMP = b"XML:com.adobe.xmp"

_WEBP_PLAIN = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"EXIF", b"XMP "})


def unread_parts(data: bytes) -> Iterator[tuple[str, str]]:
    """Give category and kind of each part that is neither harmless nor read elsewhere.

    Args:
        data: The original file; of a format that is not known here nothing is given.
    """
    if data.startswith(jpeg.START):
        yield from _jpeg(data)
    elif data.startswith(_PNG_START):
        yield from _png(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        yield from _webp(data)


def _jpeg(data: bytes) -> Iterator[tuple[str, str]]:
    marker, is_scanned, seen = 0, False, set[bytes]()
    for marker, part in jpeg.segments(data):
        if marker == jpeg.END:
            if part.strip(b"\0"):
                yield UNKNOWN, "bytes behind the end of the JPEG"
        elif marker == _COMMENT:
            yield COMMENT, "comment"
        elif marker not in jpeg.PLAIN:
            kind = part.partition(b"\0")[0]
            # what comes twice or behind the pixels is not where others look for it
            if is_scanned or (kind in seen and kind != b"ICC_PROFILE") or not _is_read(marker, part):
                yield UNKNOWN, f"JPEG segment {marker:02X}"
            seen.add(kind)
        is_scanned = is_scanned or marker == jpeg.SCAN
    if marker != jpeg.END:
        yield UNKNOWN, "no end of the JPEG"


def _is_read(marker: int, part: bytes) -> bool:
    pattern = _JPEG_READ.get(marker)
    found = pattern.fullmatch(part) if pattern else None
    return found is not None and (marker != _PHOTOSHOP or _holds_iptc_only(found["rest"]))


def _holds_iptc_only(resources: bytes) -> bool:
    at = 0
    while at + 12 <= len(resources):
        sign, number, name = struct.unpack_from(">4sHB", resources, at)
        if (sign, number, name) != (b"8BIM", _IPTC_RESOURCE, 0):
            return False
        size = struct.unpack_from(">I", resources, at + 8)[0]
        at += 12 + size + size % 2
    return at >= len(resources)


def _png(data: bytes) -> Iterator[tuple[str, str]]:
    at, kind, packets = len(_PNG_START), b"", 0
    while at + 8 <= len(data) and kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", data, at)
        keyword = data[at + 8 : at + 8 + size].partition(b"\0")[0]
        at += size + 12
        if kind == b"iTXt" and keyword == _PNG_XMP:
            packets += 1
        elif kind in _PNG_TEXT:
            # what is squeezed is more than a tool's name
            if kind == b"zTXt" or keyword not in _PNG_SELF:
                yield COMMENT, "PNG text"
        elif kind not in _PNG_PLAIN:
            yield UNKNOWN, "PNG chunk"
    if packets > 1:
        yield UNKNOWN, "XMP twice"
    if kind != b"IEND":
        yield UNKNOWN, "no end of the PNG"
    elif data[at:].strip(b"\0"):
        yield UNKNOWN, "bytes behind the end of the PNG"


def _webp(data: bytes) -> Iterator[tuple[str, str]]:
    at, end = 12, 8 + struct.unpack_from("<I", data, 4)[0]
    while at + 8 <= min(end, len(data)):
        kind, size = struct.unpack_from("<4sI", data, at)
        at += 8 + size + size % 2
        if kind not in _WEBP_PLAIN:
            yield UNKNOWN, "WebP chunk"
    if data[end:].strip(b"\0"):
        yield UNKNOWN, "bytes behind the end of the WebP"
