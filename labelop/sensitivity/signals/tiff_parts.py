"""Which parts of a TIFF nobody here reads: tags on no list, further pictures, and bytes that no tag names.

A TIFF has no order of parts: tags name places, so that everything between those places has to be looked for. Knows the
container (TIFF 6.0), no pixel, and none of the notes inside.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

_PLAIN = frozenset(
    {254, 255, *range(256, 260), *range(262, 267), 271, 272, 273, 274, *range(277, 285), 290, 291, 292, 293, 296, 297}
    | {301, 305, 306, 317, 318, 319, 320, 321, *range(322, 326), 338, 339, 340, 341, 529, 530, 531, 532, 34675}
)
"""Pixels, colours, sizes, and what tools write about themselves."""
_READ = frozenset(
    {0x010D, 0x010E, 0x011D, 0x013B, 0x8298, 0xC62F, *range(0x9C9B, 0x9CA0), 0x02BC, 0x83BB, 0x8769, 0x8825}
)
"""Notes that `metadata` reads: texts, serial number, XMP, IPTC, EXIF and position."""
_PACKINGS = frozenset({1, 2, 3, 4, 5, 8, 32773, 32946})
"""Ways of packing pixels that have no parts of their own, as JPEG has."""
_PACKING, _FURTHER = 259, (0x8769, 0x8825, 0xA005)
"""Tags of the packing, and of further directories: EXIF, position, interoperability."""
_PIXELS = ((273, 279), (324, 325))
"""Tags of the places of strips and tiles, and of their sizes."""
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I"}


def tiff_parts(data: bytes) -> Iterator[str]:
    """Give the kind of each part that is neither harmless nor read elsewhere.

    Args:
        data: A file that begins as a TIFF does.

    Raises:
        struct.error: It is cut off.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        yield "a BigTIFF"
        return
    known = [(0, 8)]
    tags, following = _directory(data, order, struct.unpack_from(f"{order}I", data, 4)[0], known)
    yield from (f"TIFF tag {tag}" for tag in sorted(tags.keys() - _PLAIN - _READ))
    if tags.get(_PACKING, (1,))[0] not in _PACKINGS:
        yield "a TIFF that is packed as another format"
    inner = [*tags.items()]
    for tag, values in inner:
        if tag in _FURTHER:
            inner += _directory(data, order, values[0], known)[0].items()
    for place, size in _PIXELS:
        known += [(at, at + length) for at, length in zip(tags.get(place, ()), tags.get(size, ()), strict=False)]
    if following:
        yield "further pictures in the TIFF"
    elif _has_gaps(data, known):
        yield "bytes that no tag of the TIFF names"


def _directory(
    data: bytes, order: str, start: int, known: list[tuple[int, int]]
) -> tuple[dict[int, Sequence[int]], int]:
    """Read the whole numbers of a directory, and where the next one is; adds what it takes to the known places."""
    if any(start == at for at, _ in known):
        raise struct.error("a directory that leads back")
    (count,) = struct.unpack_from(f"{order}H", data, start)
    end = start + 2 + 12 * count
    known.append((start, end + 4))
    found: dict[int, Sequence[int]] = {}
    for entry in range(start + 2, end, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, entry)
        size = number * _BYTES.get(kind, len(data) + 1)
        at = entry + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, entry + 8)[0]  # noqa: PLR2004 - its room
        if at + size > len(data) or tag in found:
            raise struct.error("a tag that is cut off or comes twice")
        known.append((at, at + size))
        found[tag] = struct.unpack_from(f"{order}{number}{_WHOLE[kind]}", data, at) if kind in _WHOLE else (0,)
    return found, struct.unpack_from(f"{order}I", data, end)[0]


def _has_gaps(data: bytes, known: Sequence[tuple[int, int]]) -> bool:
    at = 0
    for start, end in sorted(known):
        if data[at:start].strip(b"\0"):
            return True
        at = max(at, end)
    return bool(data[at:].strip(b"\0"))
