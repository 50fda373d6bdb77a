"""From a segmenter's mask logits to run lengths of the full image.

The only module that knows pycocotools' mask code, loaded at first use. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.engines.postprocess import BAD_SHAPE, NON_FINITE, tensor
from labelop.errors import EngineResponseError
from labelop.geometry import BoxArray


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
    return [encode_mask(upsample(one, width_px, height_px)) for one in logits[0]]


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
    rows, columns = np.nonzero(logits > 0)
    if not len(rows):
        return mask
    x0, x1 = _reach(int(columns.min()), int(columns.max()), logits.shape[1], width_px)
    y0, y1 = _reach(int(rows.min()), int(rows.max()), logits.shape[0], height_px)
    scale_x, scale_y = logits.shape[1] / width_px, logits.shape[0] / height_px
    part = Image.fromarray(np.ascontiguousarray(logits, dtype=np.float32)).resize(
        (x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=(x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y)
    )
    mask[y0:y1, x0:x1] = np.asarray(part) > 0
    return mask


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
