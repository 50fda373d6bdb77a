"""Makes the error by which a file is refused as an image; knows no rule."""

from __future__ import annotations

from labelop.errors import UnreadableImageError


def refused(code: str, detail: str) -> UnreadableImageError:
    """Make the error by which a file is refused as an image."""
    return UnreadableImageError(f"The image is not usable: {code}, {detail}.", code=code, detail=detail)
