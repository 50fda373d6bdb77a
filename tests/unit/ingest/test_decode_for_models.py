"""Pixels for models: fewer where the policy lets them be fewer, and never of another frame or of less care."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelop.errors import UnreadableImageError
from labelop.ingest.decode import Frame, ImageArray, Limits, decode, decode_for

UPRIGHT = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""How Pillow turns an upright image into what is stored under each EXIF orientation."""


def smooth(width: int, height: int) -> Image.Image:
    """Draw slopes: red rises with x and green with y, so that any shift of the frame shows in the values."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(20, 230, width)[None, :]
    pixels[..., 1] = np.linspace(20, 230, height)[:, None]
    return Image.fromarray(pixels)


def save(image: Image.Image, kind: str = "JPEG", *, orientation: int = 1, **options: Any) -> bytes:
    """Encode an image so that it is upright once its orientation is applied."""
    turn = UPRIGHT[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    stored = image if turn is None else image.transpose(Image.Transpose(turn))
    stored.save(out, kind, **({"exif": exif} if turn is not None else {}), **options)
    return out.getvalue()


def size(pixels: ImageArray) -> tuple[int, int]:
    """Give width and height."""
    return pixels.shape[1], pixels.shape[0]


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_stretching_early_changes_nothing(kind: str, orientation: int) -> None:
    """Without a scale the pixels are, bit by bit, what stretching the decoded image gives, whatever its orientation."""
    data = save(smooth(61, 47), kind, orientation=orientation)
    pixels, facts = decode_for(data, Frame(32, 24, stretched=True))
    later = np.asarray(Image.fromarray(decode(data)).resize((32, 24), Image.Resampling.BILINEAR))
    assert (pixels == later).all()
    assert (facts.width_px, facts.height_px) == (61, 47)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("stretched", [True, False])
@pytest.mark.parametrize(("wide", "high"), [(256, 192), (257, 193), (263, 199)])
def test_a_scale_leaves_the_frame_where_it_was(wide: int, high: int, stretched: bool, orientation: int) -> None:
    """Scaled pixels show the same place of the image, also where the scale does not divide its size."""
    data = save(smooth(wide, high), orientation=orientation, quality=95, subsampling=0)
    pixels, facts = decode_for(data, Frame(32, 24, scaled=True, stretched=stretched))
    whole, _ = decode_for(data, Frame(32, 24, stretched=True))
    if not stretched:
        pixels = np.asarray(Image.fromarray(pixels).resize((32, 24), Image.Resampling.BILINEAR))
    assert (facts.width_px, facts.height_px) == (wide, high)
    np.testing.assert_allclose(pixels.astype(int), whole.astype(int), atol=3)


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (Frame(30, 20, scaled=True), (32, 24)),
        (Frame(32, 24, scaled=True), (32, 24)),
        (Frame(33, 24, scaled=True), (64, 48)),
        (Frame(10, 90, scaled=True), (128, 96)),
        (Frame(200, 20, scaled=True), (256, 192)),
        (Frame(999, 999, scaled=True), (256, 192)),
        (Frame(30, 20), (256, 192)),
    ],
)
def test_the_smallest_scale_that_covers_is_taken(frame: Frame, wanted: tuple[int, int]) -> None:
    """Pixels cover the frame on both sides, and nothing is scaled that the policy does not allow."""
    assert size(decode_for(save(smooth(256, 192)), frame)[0]) == wanted


def test_a_turned_photograph_covers_the_frame_as_it_stands() -> None:
    """Width and height of the frame are those of the upright image, not of the stored one."""
    data = save(smooth(192, 256), orientation=6)
    assert size(decode_for(data, Frame(48, 20, scaled=True))[0]) == (48, 64)


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK")])
def test_only_plain_jpegs_are_scaled(kind: str, mode: str) -> None:
    """Every other format and layout is decoded whole, as without a policy."""
    data = save(smooth(64, 48).convert(mode), kind)
    pixels, _ = decode_for(data, Frame(8, 6, scaled=True))
    assert (pixels == decode(data)).all()


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 2}, {}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_of_every_making_are_scaled(mode: str, options: dict[str, Any]) -> None:
    """Progressive, subsampled and grey files come in three channels at their scale."""
    data = save(smooth(64, 48).convert(mode), **options)
    assert decode_for(data, Frame(8, 6, scaled=True))[0].shape == (6, 8, 3)


def test_limits_are_those_of_the_file() -> None:
    """A scale makes no room for a larger file: its own size is what counts."""
    data = save(smooth(256, 192))
    with pytest.raises(UnreadableImageError, match="TOO_LARGE"):
        decode_for(data, Frame(8, 6, scaled=True), Limits(max_pixels=256 * 192 - 1))


NOISE = np.random.default_rng(7).integers(0, 255, (96, 128, 3), np.uint8)
OPTIONS: list[dict[str, Any]] = [{}, {"progressive": True}, {"subsampling": 0}]
FILES = [save(Image.fromarray(NOISE), **options) for options in OPTIONS]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(FILES),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
)
def test_a_damaged_file_is_refused_at_every_scale_or_at_none(
    data: bytes, cut: float, changes: list[tuple[float, int]]
) -> None:
    """What a scale leaves out of the pixels it does not leave out of the check: cut and changed files end alike."""
    damaged = bytearray(data)
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    given_bytes = bytes(damaged[: round(cut * len(damaged))])

    def code(frame: Frame) -> str:
        try:
            decode_for(given_bytes, frame)
        except UnreadableImageError as error:
            return error.code
        return "fine"

    assert code(Frame(16, 12, scaled=True, stretched=True)) == code(Frame(16, 12))
