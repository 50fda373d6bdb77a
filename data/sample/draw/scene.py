"""What every drawn picture is made of: pixels, objects with exact masks, and the tools all painters share.

Exists so that smears and parcels agree on frames and rounding. It knows no class names and writes no file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

SAMPLE_SEEDS = 0  # the pictures that ship use seeds 0, 1, 2, ...
TRAINING_SEEDS = 1_000_000  # the learners draw theirs from here on, so no shipped picture is ever trained on


@dataclass(frozen=True, slots=True)
class Patch:
    """A rectangular part of the picture with a value per pixel."""

    left: int  # px, first column
    top: int  # px, first row
    rho: Floats  # [h, w], 0 at the centre of the shape, 1 on its outline

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that the patch covers."""
        rows, columns = self.rho.shape
        return slice(self.top, self.top + rows), slice(self.left, self.left + columns)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One drawn object with its exact mask inside the picture."""

    label: str  # class name
    left: int  # px, first column of the mask's own window
    top: int  # px, first row of the mask's own window
    mask: Bools  # [h, w], the mask within that window, touching all four sides

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Xyxy pixels; the far sides are exclusive, so width = x2 - x1."""
        rows, columns = self.mask.shape
        return self.left, self.top, self.left + columns, self.top + rows

    def full_mask(self, height: int, width: int) -> Bools:
        """The mask in the whole picture, [height, width]."""
        whole = np.zeros((height, width), dtype=np.bool_)
        x1, y1, x2, y2 = self.box
        whole[y1:y2, x1:x2] = self.mask
        return whole


@dataclass(frozen=True, slots=True)
class Scene:
    """One drawn picture with its truth."""

    pixels: Pixels  # [h, w, 3] RGB
    objects: tuple[Drawn, ...]  # in painting order
    extra: dict[str, str] = field(default_factory=dict)  # image-level facts, for example land_use


def drawn(label: str, patch: Patch, inside: Bools, least_px: int = 12) -> Drawn | None:
    """Trim a mask to its own rectangle; None when fewer than `least_px` pixels are inside the picture."""
    if int(inside.sum()) < least_px:
        return None
    rows = np.flatnonzero(inside.any(axis=1))
    columns = np.flatnonzero(inside.any(axis=0))
    cut = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return Drawn(label, patch.left + int(columns[0]), patch.top + int(rows[0]), cut)


def _window(cx: float, cy: float, reach: float, height: int, width: int) -> tuple[int, int, Floats, Floats] | None:
    left, right = max(0, int(np.floor(cx - reach))), min(width, int(np.ceil(cx + reach)) + 1)
    top, bottom = max(0, int(np.floor(cy - reach))), min(height, int(np.ceil(cy + reach)) + 1)
    if right - left < 2 or bottom - top < 2:
        return None
    dx = np.arange(left, right, dtype=np.float64)[None, :] + 0.5 - cx
    dy = np.arange(top, bottom, dtype=np.float64)[:, None] + 0.5 - cy
    return left, top, dx, dy


def blob(
    rng: np.random.Generator,
    centre: tuple[float, float],
    radius: float,
    size: tuple[int, int],
    stretch: float = 1.0,
    wobble: float = 0.05,
) -> Patch | None:
    """A rounded, slightly irregular outline: an ellipse whose radius is modulated by three harmonics.

    `size` is (height, width) of the picture. None when the outline lies outside the picture.
    """
    angle = rng.uniform(0.0, np.pi)
    amplitudes = rng.normal(0.0, wobble, 3) / np.array([1.0, 1.5, 2.0])
    phases = rng.uniform(0.0, 2 * np.pi, 3)
    found = _window(centre[0], centre[1], radius * stretch * (1 + 3 * wobble) + 3, *size)
    if found is None:
        return None
    left, top, dx, dy = found
    along = (dx * np.cos(angle) + dy * np.sin(angle)) / stretch
    across = (-dx * np.sin(angle) + dy * np.cos(angle)) * stretch**0.5
    theta = np.arctan2(across, along)
    outline = np.ones_like(theta)
    for order, amplitude, phase in zip((2, 3, 5), amplitudes, phases, strict=True):
        outline += amplitude * np.cos(order * theta + phase)
    return Patch(left, top, np.hypot(along, across) / (radius * outline))


def slab(centre: tuple[float, float], half: tuple[float, float], angle: float, size: tuple[int, int]) -> Patch | None:
    """A turned rectangle: rho is the larger of the two normalised distances to its axes."""
    found = _window(centre[0], centre[1], float(np.hypot(*half)) + 2, *size)
    if found is None:
        return None
    left, top, dx, dy = found
    along = (dx * np.cos(angle) + dy * np.sin(angle)) / half[0]
    across = (-dx * np.sin(angle) + dy * np.cos(angle)) / half[1]
    return Patch(left, top, np.maximum(np.abs(along), np.abs(across)))


def soft(rho: Floats, radius: float, blur_px: float = 1.2) -> Floats:
    """Coverage 1 inside, 0 outside, with a linear edge about `blur_px` pixels wide."""
    return np.clip((1.0 - rho) * radius / blur_px + 0.5, 0.0, 1.0)


def cloud(rng: np.random.Generator, height: int, width: int, cell_px: float) -> Floats:
    """Smooth random values in [-1, 1] with features about `cell_px` wide, [height, width]."""
    rows, columns = int(height / cell_px) + 3, int(width / cell_px) + 3
    coarse = Image.fromarray(rng.uniform(-1.0, 1.0, (rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)


def paint(canvas: Floats, patch: Patch, cover: Floats, colour: Floats) -> None:
    """Blend `colour` ([3] or [h, w, 3]) over the canvas with the given coverage, in place."""
    part = canvas[patch.window]
    part += (colour - part) * cover[..., None]


def to_pixels(canvas: Floats) -> Pixels:
    """Round a float picture to bytes."""
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
