"""Writing that is too blurred to be read: soft edges that take turns along a line, on ground that is quiet around it.

No reader says a word about such a line, and somebody who knows the form may read it all the same. Pure pixels; knows
no category and no policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

_EDGES = (10, 16, 22)  # steps of grey values at a soft rim
_SHARP = 90.0  # steeper than this a reader would have read it
_LEAST_PX, _MOST_PX = 7, 60  # height of a line, or of a few
_LEAST_WIDTH_PX, _LONG = 40, 2.5  # a line is longer than this, and than high by this
_RING_PX, _RIM_PX = 12, 4  # what is around a line, without its own soft rim
_QUIET = 5.0  # how much more there is inside than around
_TURNS = 12  # light and dark take turns along a line: two for each stroke of the pen
_LEAST_SWING = 5.0  # standard deviation of the grey values along it
_CLEAR = 0.35  # a swing below this share of it is no turn
_TREND_PX = 8.0
_MOST_REGIONS = 200

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels."""


def blurred_lines(grey: NDArray[np.uint8]) -> list[Box]:
    """Find what looks like blurred writing, upright or on its side.

    Args:
        grey: uint8, shape (height, width).
    """
    import cv2  # noqa: PLC0415 - heavy, and only where it is asked for

    slopes = np.asarray(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, _kernel(3, 3)), dtype=np.uint8)
    found = sorted(set(_candidates(slopes)), key=lambda one: (one[0][0] - one[0][2] + one[0][1] - one[0][3], one))
    return sorted({box for box, lies in found[:_MOST_REGIONS] if _is_writing(grey, slopes, box, lies=lies)})


def _candidates(slopes: NDArray[np.uint8]) -> Iterator[tuple[Box, bool]]:
    """Give places where soft edges lie close together in a line, and whether the line lies or stands."""
    import cv2  # noqa: PLC0415

    for edge, (along, across) in product(_EDGES, (((15, 1), (9, 5)), ((1, 15), (5, 9)))):
        steep = (slopes > edge).astype(np.uint8)
        closed = cv2.morphologyEx(steep, cv2.MORPH_CLOSE, _kernel(*along))
        opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, _kernel(*across))
        for outline in cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            x, y, width, height = cv2.boundingRect(outline)
            lies = along[0] > 1
            length, thick = (width, height) if lies else (height, width)
            if _LEAST_PX <= thick <= _MOST_PX and length >= max(_LEAST_WIDTH_PX, _LONG * thick):
                yield (x, y, x + width, y + height), lies


def _is_writing(grey: NDArray[np.uint8], slopes: NDArray[np.uint8], box: Box, *, lies: bool) -> bool:
    x0, y0, x1, y1 = box
    inside = slopes[y0:y1, x0:x1]
    if np.percentile(inside, 99) >= _SHARP:
        return False
    left, top = max(0, x0 - _RING_PX), max(0, y0 - _RING_PX)
    near = slopes[top : y1 + _RING_PX, left : x1 + _RING_PX]
    around = np.ones(near.shape, dtype=np.bool_)
    around[max(0, y0 - top - _RIM_PX) : y1 - top + _RIM_PX, max(0, x0 - left - _RIM_PX) : x1 - left + _RIM_PX] = False
    # the median: the rim of a strip and the next line are around a line as well, and leave most of the ground quiet
    if around.any() and np.median(near[around]) * _QUIET >= inside.mean():
        return False
    line = grey[y0:y1, x0:x1] if lies else grey[y0:y1, x0:x1].T
    return _turns(line) >= _TURNS


def _turns(line: NDArray[np.uint8]) -> int:
    """Count how often light and dark take turns along the middle of a line."""
    import cv2  # noqa: PLC0415

    high = len(line)
    mean = line[high // 4 : 3 * high // 4].mean(axis=0, dtype=np.float32).reshape(1, -1)
    swing = (mean - cv2.GaussianBlur(mean, (0, 0), _TREND_PX)).ravel()
    size = float(swing.std())
    if size < _LEAST_SWING:
        return 0
    clear = swing[np.abs(swing) >= _CLEAR * size] > 0
    return int(np.count_nonzero(clear[1:] != clear[:-1]))


def _kernel(width: int, height: int) -> Any:
    import cv2  # noqa: PLC0415

    return cv2.getStructuringElement(cv2.MORPH_RECT, (width, height))
