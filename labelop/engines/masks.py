"""From a segmenter's mask logits to run lengths of the full image.

The only module that knows pycocotools' mask code, loaded at first use. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.engines.postprocess import BAD_SHAPE, NON_FINITE, tensor
from labelop.errors import EngineResponseError
from labelop.geometry import BoxArray

_NO_RUNS = np.empty(0, dtype=np.int64)
_PLAIN_COUNTS = 2
"""Run lengths after these are written as the difference to the one before the last."""
_MAX_LETTERS = 7
"""Letters that a number of up to 34 bits takes; an image has fewer pixels."""


def to_model_frame(boxes: BoxArray, image_size: tuple[int, int], input_size: tuple[int, int]) -> NDArray[np.float32]:
    """Move boxes from the image into the model's input frame.

    Args:
        boxes: Shape (n, 4), xyxy pixels of the upright image.
        image_size: Width and height of the image, pixels.
        input_size: Width and height of the model's input, pixels.

    Returns:
        float32, shape (n, 4), xyxy pixels of the input frame.
    """
    scale = np.array([input_size[0] / image_size[0], input_size[1] / image_size[1]] * 2)
    return np.asarray(boxes * scale, dtype=np.float32)


def read_masks(raw: Mapping[str, NDArray[np.float32]], count: int, width_px: int, height_px: int) -> list[str | None]:
    """Read a segmenter's answer for one image.

    Args:
        raw: `masks` float32 (1, count, h, w), logits.
        count: Number of boxes asked for.
        width_px: Width of the image, upright.
        height_px: Height of the image, upright.

    Returns:
        COCO compressed run lengths per box; None where no pixel is above 0.

    Raises:
        EngineResponseError: A value is not finite, or the tensor has a wrong shape.
    """
    logits = tensor(raw, "masks", 4)
    if logits.shape[:2] != (1, count) or 0 in logits.shape[2:]:
        raise EngineResponseError(f"Output masks has the shape {logits.shape} for {count} boxes.", code=BAD_SHAPE)
    if not np.isfinite(logits).all():
        raise EngineResponseError("Output masks holds values that are not finite.", code=NON_FINITE)
    return encode_logits(logits[0], width_px, height_px)


def encode_logits(logits: NDArray[np.float32], width_px: int, height_px: int) -> list[str | None]:
    """Resize, threshold and encode the masks of one image, without ever drawing a whole image.

    Equal, character by character, to `encode_mask(upsample(...))` of each mask.

    Args:
        logits: float32, shape (n, h, w).
        width_px: Width of the image.
        height_px: Height of the image.
    """
    positive = logits > 0
    rows: NDArray[np.bool_] = np.asarray(positive.any(axis=2))
    columns: NDArray[np.bool_] = np.asarray(positive.any(axis=1))
    runs: list[NDArray[np.int64]] = []
    for one, row, column in zip(logits, rows, columns, strict=True):
        if not row.any():
            runs.append(_NO_RUNS)
            continue
        part, x0, y0 = _part(one, row, column, width_px, height_px)
        runs.append(_run_lengths(part, x0, y0, width_px, height_px))
    return compress(runs)


def compress(runs: list[NDArray[np.int64]]) -> list[str | None]:
    """Write run lengths of several masks in COCO's compressed form (`rleToString` of its maskApi.c).

    Args:
        runs: Per mask its lengths, zeros first, column-major; none at all for an empty mask.
    """
    lengths = np.array([len(one) for one in runs], dtype=np.int64)
    if not lengths.sum():
        return [None] * len(runs)
    counts = np.concatenate(runs)
    rank = np.arange(len(counts)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rest = counts.copy()
    later = rank > _PLAIN_COUNTS
    rest[later] -= counts[np.flatnonzero(later) - 2]
    letters = np.zeros((len(counts), _MAX_LETTERS), dtype=np.uint8)
    open_ = np.ones(len(counts), dtype=bool)
    width = np.zeros(len(counts), dtype=np.int64)
    for place in range(_MAX_LETTERS):
        low = rest & 31
        rest >>= 5
        more = np.where(low & 16, rest != -1, rest != 0)
        letters[:, place] = (low | (more * 32)) + 48
        width += open_
        open_ &= more
        if not open_.any():
            break
    text = letters[np.arange(_MAX_LETTERS) < width[:, None]].tobytes().decode("ascii")
    ends = np.concatenate([[0], np.cumsum(width)])[np.concatenate([[0], np.cumsum(lengths)])].tolist()
    return [text[low:high] or None for low, high in pairwise(ends)]


def upsample(logits: NDArray[np.float32], width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Resize mask logits bilinearly to the image and threshold at 0.

    Only the part that can become positive is resized: a mask covers a few percent of an image with dozens of objects.

    Args:
        logits: float32, shape (h, w).
        width_px: Width of the image.
        height_px: Height of the image.

    Returns:
        uint8 of 0 and 1, shape (height_px, width_px), Fortran order (the order of run lengths).
    """
    mask = np.zeros((height_px, width_px), dtype=np.uint8, order="F")
    positive = logits > 0
    if not positive.any():
        return mask
    rows, columns = np.asarray(positive.any(axis=1)), np.asarray(positive.any(axis=0))
    part, x0, y0 = _part(logits, rows, columns, width_px, height_px)
    mask[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    return mask


def _part(
    logits: NDArray[np.float32], rows: NDArray[np.bool_], columns: NDArray[np.bool_], width_px: int, height_px: int
) -> tuple[NDArray[np.bool_], int, int]:
    """Resize the part that can be positive; gives it with its left and upper edge in the image."""
    x0, x1 = _reach(*_span(columns), logits.shape[1], width_px)
    y0, y1 = _reach(*_span(rows), logits.shape[0], height_px)
    scale_x, scale_y = logits.shape[1] / width_px, logits.shape[0] / height_px
    part = Image.fromarray(np.ascontiguousarray(logits, dtype=np.float32)).resize(
        (x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=(x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y)
    )
    return np.asarray(part) > 0, x0, y0


def _span(hit: NDArray[np.bool_]) -> tuple[int, int]:
    return int(hit.argmax()), len(hit) - 1 - int(hit[::-1].argmax())


def _run_lengths(part: NDArray[np.bool_], x0: int, y0: int, width_px: int, height_px: int) -> NDArray[np.int64]:
    """Give the run lengths of a part in the frame of the whole image; none where it is empty."""
    high, wide = part.shape
    framed = np.zeros((wide, high + 2), dtype=np.bool_)
    framed[:, 1:-1] = part.T
    column, row = np.divmod(np.flatnonzero(framed[:, 1:] != framed[:, :-1]), high + 1)
    if not len(column):
        return _NO_RUNS
    edges = (x0 + column) * height_px + y0 + row
    # a run that goes on at the top of the next column is one run
    meets = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
    if len(meets):
        edges = np.delete(edges, np.concatenate([meets, meets + 1]))
    counts = np.diff(edges, prepend=0, append=width_px * height_px)
    return counts if counts[-1] else counts[:-1]


def _reach(low: int, high: int, cells: int, pixels: int) -> tuple[int, int]:
    """Give the pixel range that cells low..high can touch: bilinear reads one cell further on each side."""
    scale = pixels / cells
    return max(0, int((low - 1) * scale)), min(pixels, int((high + 2) * scale) + 1)


def encode_mask(mask: NDArray[np.uint8]) -> str | None:
    """Write a mask as COCO compressed run lengths; None when it is empty."""
    from pycocotools import mask as coco  # noqa: PLC0415 - most runs have no segmenter

    if not mask.any():
        return None
    return str(coco.encode(np.asfortranarray(mask))["counts"].decode("ascii"))
