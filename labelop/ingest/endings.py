"""Finds JPEGs that hold fewer pixels than they claim, although they end like a whole one.

Their decoder fills up with grey and says so by a warning, which its reader does not hand on. A grey image is told apart
from a missing one by one question: does the decoder read what is put behind the data? Knows no limit and no code.
"""

from __future__ import annotations

import io

from PIL import Image

from labelop.jpeg import with_longer_scans

_NO_DATA = {127, 128}
"""What zeros are as pixels; the first where the reader turns colours of print about."""
_MORE = bytes(range(1, 250)) * 16
"""Bytes that are pixels to a decoder which has too few; without a marker."""
_SMALL = 8


def breaks_off(image: Image.Image, data: bytes) -> bool:
    """Say whether pixels of a JPEG are missing at its end; asks only of images whose last pixel is grey.

    What breaks off in the last interval between restart markers or block is not found, nor are later scans that a
    progressive file lacks: its image is whole by then, and coarser.

    Args:
        image: The loaded image.
        data: The whole file.
    """
    if image.format not in ("JPEG", "MPO"):
        return False
    last = image.getpixel((image.width - 1, image.height - 1))
    if not set(last if isinstance(last, tuple) else (last,)) <= _NO_DATA:
        return False
    longer = with_longer_scans(data, _MORE)
    return longer is not None and _small(data) != _small(longer)


def _small(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        image.draft(None, (max(1, image.width // _SMALL), max(1, image.height // _SMALL)))
        return image.tobytes()
