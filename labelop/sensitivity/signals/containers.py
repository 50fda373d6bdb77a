"""Which parts of an image file nobody here reads: segments and chunks that are on no list, and bytes behind the end.

Lists name what is harmless or read elsewhere (EXIF, XMP, IPTC, comments), so that a part nobody thought of is told
and not let pass. Knows JPEG, PNG and WebP as containers, no pixel, and none of the notes inside.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

COMMENT, UNKNOWN = "comment", "notes_unknown"

_JPEG_PLAIN = frozenset({*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD} - {0xC8})
"""Frames, tables, scans, number of lines and restart interval (ITU T.81, table B.1)."""
_JPEG_END, _JPEG_COMMENT = 0xD9, 0xFE
_JPEG_SCAN, _JPEG_PHOTOSHOP, _FILL = 0xDA, 0xED, 0xFF
_JPEG_READ = {
    0xE0: re.compile(rb"JFIF\0.{7}\0\0", re.DOTALL),  # a thumbnail has a width and a height
    0xE1: re.compile(rb"(?:Exif\0\0|http://ns\.adobe\.com/xap/1\.0/\0).*", re.DOTALL),
    0xE2: re.compile(rb"ICC_PROFILE\0.*", re.DOTALL),
    _JPEG_PHOTOSHOP: re.compile(rb"Photoshop 3\.0\0(?P<rest>.*)", re.DOTALL),
    0xEE: re.compile(rb"Adobe.{7}", re.DOTALL),
}
"""Segments of applications that are harmless or read elsewhere, by marker."""
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker; inside a scan 0xFF stands before a zero, a restart number or another 0xFF otherwise."""
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
    if data.startswith(b"\xff\xd8"):
        yield from _jpeg(data)
    elif data.startswith(_PNG_START):
        yield from _png(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        yield from _webp(data)


def _jpeg(data: bytes) -> Iterator[tuple[str, str]]:
    at, is_scanned, seen = 2, False, set[bytes]()
    while at + 4 <= len(data) and data[at] == _FILL:
        marker = data[at + 1]
        if marker == _FILL:
            at += 1
            continue
        if marker == _JPEG_END:
            break
        size = struct.unpack_from(">H", data, at + 2)[0]
        part = data[at + 4 : at + 2 + size]
        at += 2 + size
        if marker == _JPEG_COMMENT:
            yield COMMENT, "comment"
        elif marker not in _JPEG_PLAIN:
            kind = part.partition(b"\0")[0]
            # what comes twice or behind the pixels is not where others look for it
            if is_scanned or (kind in seen and kind != b"ICC_PROFILE") or not _is_read(marker, part):
                yield UNKNOWN, f"JPEG segment {marker:02X}"
            seen.add(kind)
        if marker == _JPEG_SCAN:
            is_scanned = True
            found = _AFTER_SCAN.search(data, at)
            at = found.start() if found else len(data)
    if not data.startswith(b"\xff\xd9", at):
        yield UNKNOWN, "no end of the JPEG"
    elif data[at + 2 :].strip(b"\0"):
        yield UNKNOWN, "bytes behind the end of the JPEG"


def _is_read(marker: int, part: bytes) -> bool:
    pattern = _JPEG_READ.get(marker)
    found = pattern.fullmatch(part) if pattern else None
    return found is not None and (marker != _JPEG_PHOTOSHOP or _holds_iptc_only(found["rest"]))


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
