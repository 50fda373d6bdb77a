"""Brings what a decoded image has, deep grey, palettes, transparency, to 8 bits of red, green and blue.

Every conversion is explicit: 16 bits scaled (not cut), transparency laid over white. Knows no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.ingest.unusable import refused

_BAND_PIXELS = 1 << 20
_FULL_16_BITS = 65535.0


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image; band by band where that takes copies several times as large as its pixels.

    Raises:
        UnreadableImageError: `code` is UNSUPPORTED_FORMAT for LAB colours, CORRUPT where no pixel is a number.
    """
    if image.mode.startswith("I") or image.mode == "F":
        low, high = _range(image)
        scale = 255.0 / (high - low) if high > low else 0.0
        return _in_bands(image, lambda band: Image.fromarray(np.rint((_deep(band) - low) * scale).astype(np.uint8)))
    if image.mode == "LAB":
        raise refused("UNSUPPORTED_FORMAT", "LAB colours")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return _in_bands(image, _over_white)
    # a conversion to what it is already would copy every pixel
    return image if image.mode == "RGB" else image.convert("RGB")


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _in_bands(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    rgb = Image.new("RGB", image.size)
    for top, band in _bands(image):
        rgb.paste(convert(band).convert("RGB"), (0, top))
    return rgb


def _over_white(image: Image.Image) -> Image.Image:
    front = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", front.size, "white"), front)


def _deep(image: Image.Image) -> NDArray[np.float64]:
    """Give deep grey values; 0 for what is no number."""
    return np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _range(image: Image.Image) -> tuple[float, float]:
    """Give what becomes 0 and 255: the full range of 16 bits, the smallest and largest of wider values."""
    if not any(np.isfinite(np.asarray(band)).any() for _, band in _bands(image)):
        raise refused("CORRUPT", "no pixel is a number")
    found = [(float(deep.min()), float(deep.max())) for deep in (_deep(band) for _, band in _bands(image))]
    low, high = min(low for low, _ in found), max(high for _, high in found)
    return (0.0, _FULL_16_BITS) if image.mode != "F" and low >= 0 and high <= _FULL_16_BITS else (low, high)
