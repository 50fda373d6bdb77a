"""Walks the segments of a JPEG, for whoever has to know what lies in the file beside its pixels.

Knows the container only (ITU T.81): no pixel, no note and no rule about either.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

START, END, SCAN = b"\xff\xd8", 0xD9, 0xDA
"""What a file begins with; the markers of its end and of pixels."""
HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})
"""Frames in Huffman codes: baseline, extended and progressive."""
PLAIN = frozenset({*range(0xC0, 0xD0), SCAN, 0xDB, 0xDC, 0xDD} - {0xC8})
"""Frames, tables, scans, number of lines and restart interval (table B.1)."""
JFIF, JFIF_PLAIN = 0xE0, re.compile(rb"JFIF\0.{7}\0\0", re.DOTALL)
"""Marker of the segment with the size of a pixel, and that segment without the thumbnail it could hold."""

_FILL = 0xFF
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker; inside a scan 0xFF stands before a zero, a restart number or another 0xFF otherwise."""


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give marker and content of each segment; the last is `END` with what lies behind it, where there is an end.

    Args:
        data: A file that begins with `START`.
    """
    end = len(START)
    for marker, start, stop, end in _places(data):  # noqa: B007 - the last one's end
        yield marker, data[start:stop]
    if data.startswith(b"\xff\xd9", end):
        yield END, data[end + 2 :]


def with_longer_scans(data: bytes, more: bytes) -> bytes | None:
    """Put bytes behind each scan of a whole file in Huffman codes, where a decoder that has every pixel reads nothing.

    Returns:
        The file, or None where it is coded in another way: arithmetic codes end in what follows them.
    """
    places = [*_places(data)]
    if not HUFFMAN & {marker for marker, *_ in places}:
        return None
    pieces, done = list[bytes](), 0
    for end in (end for marker, _, _, end in places if marker == SCAN):
        pieces += [data[done:end], more]
        done = end
    return b"".join([*pieces, data[done:]])


def _places(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Give marker, start and end of the content of each segment but the last, and where the next one begins."""
    at = len(START)
    while at + 4 <= len(data) and data[at] == _FILL and data[at + 1] != END:
        marker = data[at + 1]
        if marker == _FILL:
            at += 1
            continue
        start, stop = at + 4, at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        at = stop
        if marker == SCAN:
            found = _AFTER_SCAN.search(data, at)
            at = found.start() if found else len(data)
        yield marker, start, stop, at


def is_bare(data: bytes) -> bool:
    """Say whether a file is a whole JPEG of pixels alone: no note, no thumbnail, nothing behind its end."""
    if not data.startswith(START):
        return False
    *parts, last = [*segments(data)] or [(0, b"")]
    plain = all(marker in PLAIN or (marker == JFIF and JFIF_PLAIN.fullmatch(part)) for marker, part in parts)
    return plain and last == (END, b"")
