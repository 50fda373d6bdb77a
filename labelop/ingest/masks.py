"""Masks of annotation files become COCO compressed run lengths of the full image.

Wraps pycocotools, which is loaded for polygons and raw counts only. Ready run lengths are checked in plain Python
first: the C code trusts its input.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.errors import MissingExtraError
from labelop.ingest.truth import bad_record, finite

_FIRST, _LAST = 48, 111  # the 64 characters of the run-length alphabet
_CONTINUES, _SIGN = 0x20, 0x10
_MAX_CHUNKS = 7
_POLYGON_NUMBERS = 6


def run_lengths(counts: str) -> list[int]:
    """Decode COCO's compressed counts: 5 bits a character, from the fourth run on the difference to two runs before.

    Raises:
        AnnotationError: Not of this form; code BAD_MASK.
    """
    runs: list[int] = []
    position = 0
    while position < len(counts):
        value = chunks = 0
        while True:
            code = ord(counts[position]) - _FIRST if position < len(counts) else -1
            if not 0 <= code <= _LAST - _FIRST or chunks >= _MAX_CHUNKS:
                raise bad_record("BAD_MASK", f"Run lengths break off or hold a strange character at {position}.")
            value |= (code & 0x1F) << (5 * chunks)
            position, chunks = position + 1, chunks + 1
            if not code & _CONTINUES:
                if code & _SIGN:
                    value |= -1 << (5 * chunks)
                break
        runs.append(value + runs[-2] if len(runs) > 2 else value)  # noqa: PLR2004 - the format's own number
    return runs


def decode_mask(mask_rle: str, width_px: int, height_px: int) -> NDArray[np.bool_]:
    """Decode COCO compressed run lengths of a full image.

    Returns:
        bool, shape (height, width).

    Raises:
        AnnotationError: They are no run lengths, or of another size; code BAD_MASK.
    """
    runs = run_lengths(mask_rle)
    if min(runs, default=0) < 0 or sum(runs) != width_px * height_px:
        raise bad_record("BAD_MASK", f"The run lengths of a mask must add up to {width_px * height_px} pixels.")
    painted = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.asarray(painted.reshape(width_px, height_px).T)


def encode_mask(mask: NDArray[np.bool_]) -> str:
    """Encode a mask, shape (height, width), as COCO compressed run lengths.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    return _text(_coco().encode(np.asfortranarray(mask.astype(np.uint8))))


def extent(mask_rle: str, height_px: int) -> tuple[int, int, int, int]:
    """Give left, top, right and bottom of what compressed run lengths of a full image paint, in pixels.

    Raises:
        AnnotationError: They are none, or paint nothing; code BAD_MASK.
    """
    runs = run_lengths(mask_rle)
    ends = list(accumulate(runs))
    painted = [(end - run, end - 1) for run, end in zip(runs[1::2], ends[1::2], strict=True) if run]
    if not painted:
        raise bad_record("BAD_MASK", "A mask without a pixel has no place.")
    # a run that goes on in the next column touches the lower and the upper edge
    rows = [
        (first % height_px, last % height_px) if first // height_px == last // height_px else (0, height_px - 1)
        for first, last in painted
    ]
    left, right = painted[0][0] // height_px, painted[-1][1] // height_px
    return left, min(top for top, _ in rows), right + 1, max(bottom for _, bottom in rows) + 1


def lie_apart(box: tuple[float, float, float, float], mask_extent: tuple[float, float, float, float]) -> bool:
    """Say whether a box and the extent of a mask, both xyxy pixels, do not touch: they cannot be of one object then."""
    (x0, y0, x1, y1), (left, top, right, bottom) = box, mask_extent
    return left > x1 or right < x0 or top > y1 or bottom < y0


def mask_of(segmentation: Any, width_px: int, height_px: int) -> str | None:
    """Read a COCO segmentation.

    Args:
        segmentation: Compressed or raw run lengths (`size`, `counts`), a list of polygons, or nothing.
        width_px: Width of the upright image.
        height_px: Height of the upright image.

    Returns:
        COCO compressed run lengths (column-major) of the full image; None when there is no mask.

    Raises:
        AnnotationError: It breaks its form or is for another size; code BAD_MASK.
        MissingExtraError: pycocotools is needed and not installed.
    """
    if segmentation in (None, [], {}):
        return None
    if isinstance(segmentation, list):
        return polygons_mask(segmentation, width_px, height_px)
    if not isinstance(segmentation, dict) or segmentation.get("size") != [height_px, width_px]:
        raise bad_record("BAD_MASK", f"A mask must have the size {[height_px, width_px]} (height, width).")
    counts = segmentation.get("counts")
    runs = run_lengths(counts) if isinstance(counts, str) else counts
    whole = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    if not isinstance(runs, list) or not whole or sum(runs) != width_px * height_px:
        raise bad_record("BAD_MASK", f"The run lengths of a mask must add up to {width_px * height_px} pixels.")
    if isinstance(counts, str):
        return counts
    return _text(_coco().frPyObjects({"size": [height_px, width_px], "counts": runs}, height_px, width_px))


def polygons_mask(polygons: list[Any], width_px: int, height_px: int) -> str:
    """Fill polygons (x, y, x, y ... in pixels) and join them into one mask.

    Raises:
        AnnotationError: A polygon has under three points or a value that is no finite number, or none of them covers
            a pixel; code BAD_MASK.
        MissingExtraError: pycocotools is not installed.
    """
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < _POLYGON_NUMBERS or len(polygon) % 2:
            raise bad_record("BAD_MASK", "A polygon must be a list of at least three x, y pairs.")
        numbers = [finite(value) for value in polygon]
        # the C code walks from point to point: far ones would cost hours
        reach = max(width_px, height_px)
        if any(number is None or abs(number) > 2 * reach for number in numbers):
            raise bad_record("BAD_MASK", "A polygon holds a value that is not a number near its image.")
    coco = _coco()
    mask = coco.merge(coco.frPyObjects([[float(v) for v in p] for p in polygons], height_px, width_px))
    if not coco.area(mask):
        raise bad_record("BAD_MASK", "A polygon without a pixel has no place.")
    return _text(mask)


def _coco() -> Any:
    try:
        from pycocotools import mask  # noqa: PLC0415 - only polygons and raw counts need it
    except ImportError as error:
        raise MissingExtraError(
            "Polygons and raw run lengths need pycocotools, which is not installed.", hint="pip install pycocotools"
        ) from error
    return mask


def _text(rle: Any) -> str:
    return str(rle["counts"].decode("ascii"))
