"""Boxes in the one canonical frame: xyxy pixels of the upright image, origin top left.

Every labelling tool disagrees on this; formats convert here and nowhere else. Knows no format by name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BoxArray = NDArray[np.float64]
"""float64, shape (n, 4), xyxy pixels."""


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle of positive area."""

    x0: float
    """Left edge, pixels."""
    y0: float
    """Top edge, pixels."""
    x1: float
    """Right edge, pixels; greater than x0."""
    y1: float
    """Bottom edge, pixels; greater than y0."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.x0, self.y0, self.x1, self.y1)):
            raise ValueError(f"box {self.xyxy} has a value that is not finite")
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise ValueError(f"box {self.xyxy} has no area")

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Edges in the order x0, y0, x1, y1, pixels."""
        return (self.x0, self.y0, self.x1, self.y1)

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def clipped(self, width_px: float, height_px: float) -> Box | None:
        """Cut to the image; None when nothing of it lies inside."""
        x0, x1 = max(0.0, self.x0), min(float(width_px), self.x1)
        y0, y1 = max(0.0, self.y0), min(float(height_px), self.y1)
        return Box(x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def from_xywh(x: float, y: float, w: float, h: float) -> Box:
    """Convert left, top, width, height in pixels (COCO)."""
    return Box(x, y, x + w, y + h)


def to_xywh(box: Box) -> tuple[float, float, float, float]:
    """Convert to left, top, width, height in pixels (COCO)."""
    return (box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)


def from_percent(x: float, y: float, w: float, h: float, width_px: int, height_px: int) -> Box:  # noqa: PLR0917 - the order is the format's own
    """Convert left, top, width, height in percent of the image (Label Studio)."""
    return from_xywh(x * width_px / 100, y * height_px / 100, w * width_px / 100, h * height_px / 100)


def to_percent(box: Box, width_px: int, height_px: int) -> tuple[float, float, float, float]:
    """Convert to left, top, width, height in percent of the image (Label Studio)."""
    x, y, w, h = to_xywh(box)
    return (100 * x / width_px, 100 * y / height_px, 100 * w / width_px, 100 * h / height_px)


def boxes_to_array(boxes: list[Box]) -> BoxArray:
    """Stack boxes; shape (n, 4), also for n = 0."""
    return np.array([b.xyxy for b in boxes], dtype=np.float64).reshape(-1, 4)


def iou_matrix(a: BoxArray, b: BoxArray) -> NDArray[np.float64]:
    """Intersection over union of every pair.

    Args:
        a: Boxes, shape (n, 4), xyxy pixels.
        b: Boxes, shape (m, 4), xyxy pixels.

    Returns:
        float64, shape (n, m), each 0..1.
    """
    # an axis of two is slow to reduce: sides one by one take a fifth of the time
    wide = np.minimum.outer(a[:, 2], b[:, 2]) - np.maximum.outer(a[:, 0], b[:, 0])
    high = np.minimum.outer(a[:, 3], b[:, 3]) - np.maximum.outer(a[:, 1], b[:, 1])
    inner = np.maximum(wide, 0) * np.maximum(high, 0)
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    union = np.add.outer(area_a, area_b) - inner
    return np.asarray(np.divide(inner, union, out=np.zeros_like(inner), where=union > 0))
