"""The one rim where hostile bytes become pixels, or a reason code.

Pure functions of bytes and limits; `decoders` runs them in child processes, and nothing else decodes an original. Knows
no path and no table.
Every conversion is explicit: orientation applied, 16 bits scaled (not cut), transparency laid over white, the first
frame of an animation.
"""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.errors import UnreadableImageError
from labelop.ingest.colours import to_rgb
from labelop.ingest.endings import breaks_off
from labelop.ingest.signatures import MAX_HEAD_BYTES, is_opened, is_other_raster
from labelop.ingest.unusable import refused

ImageArray: TypeAlias = NDArray[np.uint8]
"""uint8 RGB, shape (height, width, 3), upright."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats that are opened at all; the others have a history of bombs and interpreters."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_PACKED_BOMB = ("Decompressed data too large", "Too much memory used in text chunks")
"""How the PNG reader complains of notes that would fill the memory."""
_SCALES = (8, 4, 2)
"""Scales at which the JPEG decoder gives pixels for less work than all of them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost."""

    max_bytes: int = 512 * 1024 * 1024
    """Largest file, bytes."""
    max_pixels: int = 64_000_000
    """Largest frame, pixels."""
    max_side_px: int = 65_535
    """Longest side of a frame; what a JPEG can have."""
    max_frames: int = 1000
    """Most frames of an animation or pages of a TIFF."""
    max_notes_bytes: int = 8 * 1024 * 1024
    """Most bytes of text, EXIF, XMP and colour profile together, unpacked."""


DEFAULT_LIMITS = Limits()
"""Limits where the caller names none."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the models behind a decoder take: a pixel that none of them sees need not be made."""

    width_px: int
    """Width that the pixels must cover: the largest input of the models."""
    height_px: int
    """Height that the pixels must cover."""
    scaled: bool = False
    """Whether a JPEG may be decoded at 1/2, 1/4 or 1/8; changes pixels a little."""
    stretched: bool = False
    """Whether exactly this size is wanted, stretched as the engines do it."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image after its last pixel was decoded."""

    format: str
    """Name of the file format by its content, for example `JPEG`."""
    mode: str
    """Pixel layout in the file as Pillow names it, for example `CMYK`."""
    width_px: int
    """Width of the upright image."""
    height_px: int
    """Height of the upright image."""
    orientation: int
    """EXIF orientation of the file, 1..8."""
    frame_count: int
    """Frames or pages in the file; the first is used."""


def inspect(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ImageFacts:
    """Decode fully and say what the image is.

    Raises:
        UnreadableImageError: `code` is EMPTY, TOO_LARGE, NOT_RASTER, UNSUPPORTED_FORMAT or CORRUPT.
    """
    facts, _ = load_image(data, limits)
    return facts


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ImageArray:
    """Decode the first frame to upright RGB.

    Returns:
        uint8, shape (height, width, 3).

    Raises:
        UnreadableImageError: `code` is EMPTY, TOO_LARGE, NOT_RASTER, UNSUPPORTED_FORMAT or CORRUPT.
    """
    _, image = load_image(data, limits)
    return np.array(image, dtype=np.uint8)


def decode_for(data: bytes, frame: Frame | None, limits: Limits = DEFAULT_LIMITS) -> tuple[ImageArray, ImageFacts]:
    """Decode the first frame to upright RGB, to no more pixels than the models take; to all without a frame.

    Returns:
        Pixels, uint8, shape (height, width, 3): all of them, or of a smaller scale that still covers the frame, or
        exactly the frame; and the facts, whose size is that of the whole image.

    Raises:
        UnreadableImageError: As `decode`.
    """
    facts, image = load_image(data, limits, frame)
    return np.asarray(image), facts


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_stack = contextlib.ExitStack()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings out of logs while at least one thread decodes.

    `warnings.catch_warnings` alone is not safe among threads: the one that ends first would restore the filters for
    all. So the first to enter sets the filter and the last to leave takes it away.
    """
    global _quiet_depth  # noqa: PLW0603 - filters are state of the whole process, and so is their count
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
            warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                _quiet_stack.close()


def load_image(data: bytes, limits: Limits, frame: Frame | None = None) -> tuple[ImageFacts, Image.Image]:
    """Decode the first frame to the library's own upright RGB image; as `decode_for`, all pixels without a frame."""
    if not data:
        raise refused("EMPTY", "no bytes")
    if len(data) > limits.max_bytes:
        raise refused("TOO_LARGE", f"{len(data)} bytes, allowed are {limits.max_bytes}")
    head = data[:MAX_HEAD_BYTES]
    if not is_opened(head):
        code = "UNSUPPORTED_FORMAT" if is_other_raster(head) else "NOT_RASTER"
        raise refused(code, "the content is none of " + ", ".join(FORMATS))
    with quiet():
        try:
            # some faults (a wrong checksum inside a PNG) show in verify only, and verify spoils the image
            with Image.open(io.BytesIO(data), formats=FORMATS) as probe:
                _check_head(probe, limits)
                probe.verify()
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return _loaded(image, data, limits, frame)
        except UnreadableImageError:
            raise
        except (Image.DecompressionBombError, MemoryError) as error:
            raise refused("TOO_LARGE", str(error) or type(error).__name__) from error
        except Exception as error:
            if isinstance(error, ValueError) and str(error).startswith(_PACKED_BOMB):
                raise refused("TOO_LARGE", "notes that unpack to more than the decoder allows") from error
            # hostile files make Pillow raise nine unrelated classes; this is the one place that may catch them all
            raise refused("CORRUPT", f"the decoder gave up before the last pixel ({type(error).__name__})") from error


def _loaded(image: Image.Image, data: bytes, limits: Limits, frame: Frame | None) -> tuple[ImageFacts, Image.Image]:
    _check_head(image, limits)
    frames = int(getattr(image, "n_frames", 1))
    if frames > limits.max_frames:
        raise refused("TOO_LARGE", f"{frames} frames, allowed are {limits.max_frames}")
    image.seek(0)
    kind, mode, orientation, (width, height) = str(image.format), image.mode, _orientation(image), image.size
    scale = 1 if frame is None else _scale(image, orientation, frame)
    if scale > 1:
        image.draft(None, (width // scale, height // scale))
    image.load()
    if breaks_off(image, data):
        raise refused("CORRUPT", "the pixels break off before the last one")
    # Pillow turns a TIFF by itself while loading; what is still written after that is ours to apply
    turn = _UPRIGHT.get(_orientation(image))
    rgb = to_rgb(image)
    upright = rgb.transpose(turn) if turn is not None else rgb
    # a scale is taken of JPEGs only, which nobody has turned yet
    size = upright.size if scale == 1 else (height, width) if orientation in _SIDEWAYS else (width, height)
    if frame is not None and frame.stretched:
        # a scale that does not divide the size leaves half a pixel at the edge, which is not part of the image
        inside = (0.0, 0.0, width / scale, height / scale) if scale > 1 and orientation == 1 else None
        upright = upright.resize((frame.width_px, frame.height_px), Image.Resampling.BILINEAR, box=inside)
    return ImageFacts(kind, mode, *size, orientation, frames), upright


def _scale(image: Image.Image, orientation: int, frame: Frame) -> int:
    """Say by how much fewer pixels a side the decoder may make; 1 for everything but a plain JPEG."""
    if not frame.scaled or image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return 1
    width, height = (frame.height_px, frame.width_px) if orientation in _SIDEWAYS else (frame.width_px, frame.height_px)
    # boxes are shares of the pixels: unless the stretch can leave the odd edge out, the scale has to divide the size
    is_any = frame.stretched and orientation == 1
    for scale in _SCALES:
        divides = is_any or not (image.width % scale or image.height % scale)
        if divides and image.width >= scale * width and image.height >= scale * height:
            return scale
    return 1


def _check_head(image: Image.Image, limits: Limits) -> None:
    """Check what is known before a pixel is made."""
    notes = sum(len(note) for note in image.info.values() if isinstance(note, str | bytes))
    if notes > limits.max_notes_bytes:
        raise refused("TOO_LARGE", f"{notes} bytes of notes, allowed are {limits.max_notes_bytes}")
    if max(image.size) > limits.max_side_px or image.width * image.height > limits.max_pixels:
        raise refused("TOO_LARGE", f"{image.width} x {image.height} pixels, allowed are {limits.max_pixels}")
    if image.width < 1 or image.height < 1:
        raise refused("CORRUPT", f"{image.width} x {image.height} pixels")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - a broken note about pixels does not make the pixels unusable
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1
