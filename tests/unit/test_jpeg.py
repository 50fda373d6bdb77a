"""A JPEG is bare when nothing but pixels is in it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from labelop.egress.gate import encode_payload
from labelop.jpeg import END, is_bare, segments
from tests.canary.canaries import tagged
from tests.unit.engines.models import picture

BARE = encode_payload(picture())


def saved(**options: Any) -> bytes:
    """Write a picture as another JPEG."""
    out = io.BytesIO()
    Image.fromarray(picture()).save(out, **{"format": "JPEG", **options})
    return out.getvalue()


@pytest.mark.parametrize("data", [BARE, saved(progressive=True), saved(quality=30, dpi=(300, 300))])
def test_pixels_alone_are_bare(data: bytes) -> None:
    """What the gate writes is, also with several scans or a size of pixels."""
    assert is_bare(data)
    assert [*segments(data)][-1] == (END, b"")


@pytest.mark.parametrize(
    "data",
    [
        tagged("x").encoded,
        saved(comment="x"),
        saved(exif=Image.Exif()),
        saved(icc_profile=b"x" * 9),
        saved(format="PNG"),
        BARE + b"x",
        BARE + b"\0",
        BARE[:-2],
        BARE[:-2] + b"\xff\xe9\0\x03x\xff\xd9",
        BARE[:2] + b"\xff\xe0\0\x13JFIF\0\1\1\0\0\1\0\1\1\1Mil" + BARE[2:],
        BARE[:2],
        b"",
    ],
)
def test_anything_more_is_not(data: bytes) -> None:
    """Notes of any kind, a thumbnail, another format, a byte behind the end, and a file without one."""
    assert not is_bare(data)
