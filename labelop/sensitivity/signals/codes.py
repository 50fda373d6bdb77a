"""Barcodes and QR codes: they hold ids, links and whole contact cards. Only their kind is told. Knows no policy."""

from __future__ import annotations

from labelop.ingest.decode import ImageArray
from labelop.sensitivity.signals.base import Observation, keyed_token

NAME = "codes"
VERSION = "1"
CATEGORIES = ("qr_code", "barcode")

_SQUARE = ("QRCode", "MicroQRCode", "RMQRCode", "DataMatrix", "Aztec", "MaxiCode")


def observe(pixels: ImageArray, key: str = "") -> list[Observation]:
    """Find codes, also one that cannot be read.

    Args:
        pixels: uint8 RGB, shape (height, width, 3), upright.
        key: The store's key for tokens, hex.

    Raises:
        ImportError: zxing-cpp is not installed.
    """
    import zxingcpp  # noqa: PLC0415 - heavy, and only where it is asked for

    found = []
    for code in zxingcpp.read_barcodes(pixels, return_errors=True):
        kind = str(getattr(code.format, "name", code.format))
        corners = (
            code.position.top_left,
            code.position.top_right,
            code.position.bottom_left,
            code.position.bottom_right,
        )
        xs, ys = [float(corner.x) for corner in corners], [float(corner.y) for corner in corners]
        category = "qr_code" if kind in _SQUARE else "barcode"
        if category == "barcode" and not code.valid:
            continue  # any row of stripes is a barcode with a wrong checksum
        read = "" if code.valid else ", not readable"
        token = keyed_token(key, category, code.text) if code.valid else None
        found.append(Observation(category, f"a {kind}{read}", (min(xs), min(ys), max(xs), max(ys)), None, token))
    return found
