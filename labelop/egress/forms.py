"""Forms in which pixels may leave when the whole image may not: found regions painted over, or the image made smaller.

Painting over is not blurring: the default fills with one colour, so that nothing of what was there is left to invert.
The policy says which form; this module only makes it. Knows no level and no policy.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.egress.release_token import FormRecord

MARGIN = 0.1
"""Share of a region's sides that is painted over around it: a detector's box is often a little tight."""
LEAST_MARGIN_PX = 4
"""Least width of that margin, in pixels."""
MOSAIC_CELLS = 4
"""Cells along each side of a mosaic; at most 16 colours are left of a region, whatever its size."""
FORM_STYLE = f"solid-{MARGIN}-{LEAST_MARGIN_PX}"
"""How regions are painted over unless somebody asks otherwise; part of a batch's parameters: it changes pixels."""

Region = tuple[float, float, float, float]
"""A part of an image, xyxy pixels of the upright original."""


class ReleaseForm(Protocol):
    """What a policy asks to be done before an image may leave; re-encoding drops all notes of the file in any case."""

    @property
    def placements(self) -> Collection[str]:
        """Where it may go then."""
        ...

    @property
    def redact(self) -> Sequence[Region]:
        """Regions that are painted over."""
        ...

    @property
    def downscale_px(self) -> int | None:
        """Longest side that may leave, in pixels; None for any."""
        ...


def make_form(
    pixels: NDArray[np.uint8],
    form: ReleaseForm,
    *,
    frame: tuple[int, int] = (0, 0),
    style: Literal["solid", "mosaic"] = "solid",
) -> tuple[NDArray[np.uint8], FormRecord]:
    """Make the form of an image that may leave.

    Args:
        pixels: uint8 RGB, shape (height, width, 3), upright; not changed.
        form: What to do.
        frame: Width and height of the frame of its regions, in pixels; that of the pixels where 0, since an image
            may have been decoded at a smaller scale than it was looked at.
        style: solid fills with black; mosaic leaves 16 averaged cells of each region, smoothed.

    Returns:
        New pixels and what was done.

    Raises:
        ValueError: A region to be painted over is not finite, empty or outside: then nobody can say that what had to
            go is gone.
    """
    side_px, count = form.downscale_px, len(form.redact)
    out = pixels.copy()
    for region in form.redact:
        _cover(out, _bounds(region, out.shape, frame), style)
    if side_px is not None:
        out = _shrink(out, side_px)
    if side_px is None:
        return out, FormRecord("redact" if count else "strip", count)
    return out, FormRecord("redact+downscale" if count else "downscale", count, side_px)


def _bounds(region: Region, shape: tuple[int, ...], frame: tuple[int, int]) -> tuple[int, int, int, int]:
    if not all(math.isfinite(edge) for edge in region):
        raise ValueError("a region to be painted over is not known")
    across, down = shape[1] / (frame[0] or shape[1]), shape[0] / (frame[1] or shape[0])
    x0, y0, x1, y1 = region[0] * across, region[1] * down, region[2] * across, region[3] * down
    wide, high = max(LEAST_MARGIN_PX, MARGIN * (x1 - x0)), max(LEAST_MARGIN_PX, MARGIN * (y1 - y0))
    left, top = max(0, math.floor(x0 - wide)), max(0, math.floor(y0 - high))
    right, bottom = min(shape[1], math.ceil(x1 + wide)), min(shape[0], math.ceil(y1 + high))
    if x0 >= x1 or y0 >= y1 or left >= right or top >= bottom:
        raise ValueError("a region to be painted over is empty or outside the image")
    return left, top, right, bottom


def _cover(pixels: NDArray[np.uint8], bounds: tuple[int, int, int, int], style: str) -> None:
    left, top, right, bottom = bounds
    if style == "solid":
        pixels[top:bottom, left:right] = 0
        return
    part = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    cells = part.resize((min(MOSAIC_CELLS, part.width), min(MOSAIC_CELLS, part.height)), Image.Resampling.BOX)
    pixels[top:bottom, left:right] = np.asarray(cells.resize(part.size, Image.Resampling.BICUBIC))


def _shrink(pixels: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    high, wide = pixels.shape[:2]
    if side_px < 1:
        raise ValueError(f"the longest side may be {side_px} px, expected at least 1")
    if max(high, wide) <= side_px:
        return pixels
    scale = side_px / max(high, wide)
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
