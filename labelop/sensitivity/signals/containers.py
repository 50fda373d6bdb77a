"""Which parts of an image file nobody here reads: segments and chunks that are on no list, and bytes behind the end.

Lists name what is harmless or read elsewhere (EXIF, XMP, IPTC, comments), so that a part nobody thought of is told
and not let pass. A second picture is such a part: signals look at the first. Knows JPEG, PNG, WebP, GIF and BMP as
containers and asks `tiff_parts` about TIFF; no pixel, and none of the notes inside.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from labelop import jpeg
from labelop.sensitivity.signals.tiff_parts import tiff_parts

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

_GIF_START = (b"GIF87a", b"GIF89a")
_GIF_END, _GIF_PICTURE, _GIF_EXTENSION, _GIF_COMMENT = 0x3B, 0x2C, 0x21, 0xFE
_GIF_READ = re.compile(
    # how long it is shown, how often it is repeated, its colours, and XMP
    rb"!(?:\xf9\x04.{4}\0|\xff\x0bNETSCAPE2\.0\x03\x01..\0|\xff\x0b(?:ICCRGBG1012|XMP DataXMP).*)",
    re.DOTALL,
)

_BMP_HEADERS, _BMP_MASKS = (40, 52, 56, 108, 124), {(40, 3): 12, (40, 6): 16}
"""Sizes of headers; bytes of colour masks behind a header, by its size and the packing."""
_BMP_PLAIN_PACKINGS = (0, 3, 6)


def unread_parts(data: bytes) -> Iterator[tuple[str, str]]:
    """Give category and kind of each part that is neither harmless nor read elsewhere.

    Args:
        data: The original file; of a format that is not known here nothing is given.
    """
    try:
        yield from _parts(data)
    except (struct.error, IndexError):
        yield UNKNOWN, "a part that is cut off"


def _parts(data: bytes) -> Iterator[tuple[str, str]]:
    if data.startswith(jpeg.START):
        yield from _jpeg(data)
    elif data.startswith(_PNG_START):
        yield from _png(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        yield from _webp(data)
    elif data.startswith(_GIF_START):
        yield from _gif(data)
    elif data.startswith(b"BM"):
        yield from _bmp(data)
    elif data.startswith((b"II", b"MM")):
        yield from ((UNKNOWN, part) for part in tiff_parts(data))


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


def _gif(data: bytes) -> Iterator[tuple[str, str]]:
    at, pictures = 13 + _gif_table(data[10]), 0
    while (kind := data[at]) != _GIF_END:
        start = at
        at += 2 if kind == _GIF_EXTENSION else 11 + _gif_table(data[at + 9])
        while data[at]:
            at += data[at] + 1
        at += 1
        if kind == _GIF_EXTENSION and data[start + 1] == _GIF_COMMENT:
            yield COMMENT, "comment"
        elif kind == _GIF_EXTENSION:
            if not _GIF_READ.fullmatch(data, start, at):
                yield UNKNOWN, "GIF extension"
        elif kind == _GIF_PICTURE:
            pictures += 1
        else:
            yield UNKNOWN, "GIF block"
    if pictures > 1:
        yield UNKNOWN, "further pictures in the GIF"
    if data[at + 1 :].strip(b"\0"):
        yield UNKNOWN, "bytes behind the end of the GIF"


def _gif_table(flags: int) -> int:
    """Give the bytes of the table of colours that flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _bmp(data: bytes) -> Iterator[tuple[str, str]]:
    start, size, width, height, bits, packing, used = struct.unpack_from("<10xIIii2xHI12xI", data)
    if size not in _BMP_HEADERS or packing not in _BMP_PLAIN_PACKINGS:
        yield UNKNOWN, "a packed or old BMP"
        return
    colours = min(used or 1 << bits, 1 << bits) if bits <= 8 else 0  # noqa: PLR2004 - more bits need no table
    before = 14 + size + _BMP_MASKS.get((size, packing), 0) + 4 * colours
    end = start + (width * bits + 31) // 32 * 4 * abs(height)
    if data[before:start].strip(b"\0") or data[end:].strip(b"\0"):
        yield UNKNOWN, "bytes beside the pixels of the BMP"
