"""Text that a viewer does not show: it is not in the bytes that leave, or the signals see it as those bytes show it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from labelop.egress.gate import encode_payload
from labelop.ingest.decode import decode
from labelop.sensitivity.signals import text

WIDE, HIGH = 640, 160
GREY, DEEP_GREY, DEEP_KEY = 200, 60_000, 1000


def canary() -> NDArray[np.bool_]:
    """Draw a patient's number, large and sharp."""
    image = Image.new("L", (WIDE, HIGH))
    ImageDraw.Draw(image).text((30, 50), "MRN: 4711007 PATIENT", fill=255, font=ImageFont.load_default(44))
    return np.asarray(image) > 127


def encoded(pixels: NDArray[Any], mode: str, kind: str, **options: Any) -> bytes:
    """Write pixels as a file."""
    out = io.BytesIO()
    Image.fromarray(pixels, mode).save(out, kind, **options)
    return out.getvalue()


def deep_png(colour_type: int, values: NDArray[Any], key: bytes = b"") -> bytes:
    """Write a PNG of 16 bits, which Pillow does not, with a colour that counts as transparent."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDE, HIGH, 16, colour_type, 0, 0, 0))
    rows = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))
    middle = chunk(b"tRNS", key) if key else b""
    return b"\x89PNG\r\n\x1a\n" + head + middle + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def clear(hidden: NDArray[np.bool_], channels: int, grey: int = GREY) -> NDArray[np.int64]:
    """Make pixels that are all transparent, black where something is hidden."""
    values = np.full((HIGH, WIDE, channels), grey)
    values[..., -1] = 0
    values[hidden, :-1] = 0
    return values


def palette(hidden: NDArray[np.bool_]) -> bytes:
    """Make a PNG whose two colours are both transparent."""
    image = Image.fromarray(hidden.astype(np.uint8), "P")
    image.putpalette([GREY] * 3 + [0] * 3 + [9] * 3)
    out = io.BytesIO()
    image.save(out, "PNG", transparency=bytes([0, 0, 255]))
    return out.getvalue()


def later_frame(hidden: NDArray[np.bool_], kind: str) -> bytes:
    """Make an animation, or pages, that show something in the second frame only."""
    plain = Image.new("RGB", (WIDE, HIGH), (GREY,) * 3)
    second = Image.fromarray(np.where(hidden[..., None], 0, np.full(3, GREY)).astype(np.uint8))
    out = io.BytesIO()
    plain.save(out, kind, save_all=True, append_images=[second])
    return out.getvalue()


def white_on_clear(hidden: NDArray[np.bool_]) -> bytes:
    """Make a PNG that shows its text on a dark page only."""
    values = np.full((HIGH, WIDE, 4), 255)
    values[..., 3] = np.where(hidden, 255, 0)
    return encoded(values.astype(np.uint8), "RGBA", "PNG")


def under_alpha(hidden: NDArray[np.bool_], kind: str, **options: Any) -> bytes:
    """Make an image whose every pixel is transparent."""
    return encoded(clear(hidden, 4).astype(np.uint8), "RGBA", kind, **options)


GONE: dict[str, Callable[[NDArray[np.bool_]], bytes]] = {
    "RGBA in PNG": lambda hidden: under_alpha(hidden, "PNG"),
    "RGBA in WebP": lambda hidden: under_alpha(hidden, "WEBP", lossless=True, exact=True),
    "RGBA in TIFF": lambda hidden: under_alpha(hidden, "TIFF"),
    "grey and alpha": lambda hidden: encoded(clear(hidden, 2).astype(np.uint8), "LA", "PNG"),
    "palette": palette,
    "16 bits, colours and alpha": lambda hidden: deep_png(6, clear(hidden, 4, DEEP_GREY)),
    "16 bits, grey and alpha": lambda hidden: deep_png(4, clear(hidden, 2, DEEP_GREY)),
    "white on nothing": white_on_clear,
    **{f"second frame of {kind}": lambda hidden, kind=kind: later_frame(hidden, kind) for kind in ("GIF", "WEBP")},  # type: ignore[misc]
    **{f"second frame of {kind}": lambda hidden, kind=kind: later_frame(hidden, kind) for kind in ("PNG", "TIFF")},  # type: ignore[misc]
}
"""What is laid over white, or left out: the released bytes cannot tell whether it was there."""

SEEN: dict[str, Callable[[NDArray[np.bool_]], bytes]] = {
    "RGBA in BMP": lambda hidden: under_alpha(hidden, "BMP"),
    "16 bits of grey and a transparent one": lambda hidden: deep_png(
        0, np.where(hidden, DEEP_KEY, DEEP_GREY)[..., None], struct.pack(">H", DEEP_KEY)
    ),
    "16 bits of colour and a transparent one": lambda hidden: deep_png(
        2, np.where(hidden[..., None], DEEP_KEY, np.full(3, DEEP_GREY)), struct.pack(">HHH", *[DEEP_KEY] * 3)
    ),
}
"""What the decoder shows although some viewers do not: it leaves as the signals saw it."""


@pytest.mark.parametrize("way", GONE)
def test_hidden_text_is_not_in_the_bytes_that_leave(way: str) -> None:
    """With and without the text under alpha 0, or in a later frame, the very same bytes are released."""
    with_text, without = GONE[way](canary()), GONE[way](np.zeros_like(canary()))
    assert with_text != without
    assert encode_payload(decode(with_text)) == encode_payload(decode(without))


@pytest.mark.parametrize("way", SEEN)
def test_text_that_is_not_laid_over_white_is_seen(way: str) -> None:
    """Signals look at the very pixels that would leave, so text which only a viewer hides is found."""
    found = {one.category for one in text.observe(decode(SEEN[way](canary())))}
    assert "patient_id" in found
