"""Masks in the run lengths that Label Studio's brush reads and writes, to and from COCO's run lengths.

The form is rle-pack's: a header (count of values, word size, four sizes of lengths), then runs bit by bit. Its values
are the RGBA bytes of the image, row by row. Knows no region and no task; what comes in is taken for hostile.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labelop.engines.masks import encode_mask
from labelop.geometry import Box
from labelop.ingest.masks import run_lengths

MAX_BYTES = 4 * 1024 * 1024
"""Longest mask that is read; one of 64 megapixels with a ragged outline takes a tenth."""

_CHANNELS = 4
_FULL = 255
_COUNT_BITS, _WORD_BITS, _SIZE_BITS = 32, 5, 4
_SIZES = (3, 4, 8, 16)  # bits of a run's length, as the editor and its SDK write them
_HEADER = (8 - 1, *(size - 1 for size in _SIZES))

Mask = NDArray[np.bool_]
"""Shape (height, width) of the upright image."""


def from_counts(counts: str, width_px: int, height_px: int) -> Mask:
    """Draw COCO's compressed run lengths.

    Raises:
        AnnotationError: They break their form.
        ValueError: They are of another size.
    """
    runs = run_lengths(counts)
    if any(run < 0 for run in runs) or sum(runs) != width_px * height_px:
        raise ValueError(f"the run lengths of a mask must add up to {width_px * height_px} pixels")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width_px, height_px).T


def to_counts(mask: Mask) -> str | None:
    """Write a mask as COCO's compressed run lengths; None when it is empty."""
    return encode_mask(mask.astype(np.uint8))


def box_of_mask(mask: Mask) -> Box | None:
    """Give the smallest box around a mask, pixel edges; None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def encode(mask: Mask) -> list[int]:
    """Write a mask as the brush's bytes.

    Equal, byte by byte, to `label_studio_sdk.converter.brush.mask2rle` of the mask in 0 and 255.

    Args:
        mask: Shape (height, width).
    """
    flat = mask.ravel()
    ends = np.flatnonzero(np.append(flat[1:] != flat[:-1], True))
    lengths = np.diff(ends, prepend=-1) * _CHANNELS
    # a run longer than the longest length is several
    longest = 1 << _SIZES[-1]
    parts = -(-lengths // longest)
    values = np.repeat(np.where(flat[ends], _FULL, 0), parts)
    pieces = np.full(len(values), longest, dtype=np.int64)
    pieces[np.cumsum(parts) - 1] = lengths - (parts - 1) * longest
    kind = np.searchsorted([1 << size for size in _SIZES], pieces)
    size = np.array(_SIZES)[kind]
    # one bit for "a run", two for the kind of its length, the length, the value
    codes = (((1 << 2 | kind) << size | (pieces - 1)) << 8) | values
    count = 3 + size + 8
    head = np.array([flat.size * _CHANNELS, *_HEADER], dtype=np.uint64)
    head_bits = np.array([_COUNT_BITS, _WORD_BITS, *[_SIZE_BITS] * len(_SIZES)])
    bits = _bits(np.concatenate([head, codes.astype(np.uint64)]), np.concatenate([head_bits, count]))
    # the SDK fills up a whole byte where none is needed
    filled = np.concatenate([bits, np.zeros(8 - len(bits) % 8, dtype=np.uint8)])
    found: list[int] = np.packbits(filled).tolist()
    return found


def decode(data: Sequence[int], width_px: int, height_px: int) -> Mask:
    """Read the brush's bytes.

    Args:
        data: Numbers 0..255.
        width_px: Width of the upright image.
        height_px: Height of the upright image.

    Returns:
        Pixels that are more than half as opaque as the most opaque one.

    Raises:
        ValueError: They are no such bytes, or of an image of another size; nothing larger than it is ever drawn.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"a mask has {len(data)} bytes, at most {MAX_BYTES} are read")
    stream = _Stream(bytes(data))
    total = stream.take(_COUNT_BITS)
    if total != width_px * height_px * _CHANNELS:
        raise ValueError(f"a mask has {total} values, expected {width_px * height_px * _CHANNELS}")
    word = stream.take(_WORD_BITS) + 1
    if word != 8:  # noqa: PLR2004 - a byte per channel
        raise ValueError(f"a mask has words of {word} bits, expected 8")
    sizes = [stream.take(_SIZE_BITS) + 1 for _ in _SIZES]
    runs: list[int] = []
    values: list[int] = []
    left = total
    while left > 0:
        is_run = stream.take(1)
        length = stream.take(sizes[stream.take(2)]) + 1
        if length > left:
            raise ValueError("a mask has more values than its image")
        left -= length
        if is_run:
            runs.append(length)
            values.append(stream.take(word))
        else:
            runs.extend(itertools.repeat(1, length))
            values.extend(stream.take_bytes(length))
    opacity = np.repeat(np.array(values, dtype=np.uint8), runs).reshape(height_px, width_px, _CHANNELS)[:, :, 3]
    return np.asarray(opacity > opacity.max() // 2)


def _bits(words: NDArray[np.uint64], counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Write the lowest bits of words, the highest of them first, one word after the other."""
    bits = np.unpackbits(words.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    return bits[np.arange(64) >= 64 - counts[:, None]]


class _Stream:
    """Reads bits from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> int:
        """Read a number of up to 32 bits.

        Raises:
            ValueError: There are not so many left.
        """
        end = self._at + count
        last = (end + 7) >> 3
        if last > len(self._data):
            raise ValueError("a mask breaks off")
        number = int.from_bytes(self._data[self._at >> 3 : last], "big") >> (last * 8 - end)
        self._at = end
        return number & ((1 << count) - 1)

    def take_bytes(self, count: int) -> bytes:
        """Read bytes that may begin anywhere in a byte."""
        end = self._at + 8 * count
        last = (end + 7) >> 3
        if last > len(self._data):
            raise ValueError("a mask breaks off")
        number = int.from_bytes(self._data[self._at >> 3 : last], "big") >> (last * 8 - end)
        self._at = end
        return (number & ((1 << 8 * count) - 1)).to_bytes(count, "big")
