"""Masks in the brush's own run lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labelop.review import brush

BY_THE_SDK = [
    # height, width, pixels, what label_studio_sdk 2.1.2 `mask2rle` writes for them as 0 and 255
    (1, 1, "1", [0, 0, 0, 4, 57, 27, 252, 127, 224]),
    (1, 1, "0", [0, 0, 0, 4, 57, 27, 252, 96, 0]),
    (
        3, 9, "100000011000000000000001000",
        [0, 0, 0, 108, 57, 27, 252, 127, 248, 92, 2, 127, 252, 110, 1, 31, 253, 176, 0],
    ),
    (
        5, 7, "00000000000000000001000000010100100",
        [0, 0, 0, 140, 57, 27, 254, 75, 0, 143, 255, 13, 128, 71, 255, 24, 4, 127, 243, 128, 71, 255, 56, 0],
    ),
]  # fmt: skip


def _drawn(height: int, width: int, pixels: str) -> brush.Mask:
    return np.array([one == "1" for one in pixels]).reshape(height, width)


@pytest.mark.parametrize(("height", "width", "pixels", "rle"), BY_THE_SDK)
def test_bytes_are_those_of_the_tools_own_sdk(height: int, width: int, pixels: str, rle: list[int]) -> None:
    """What is written is byte for byte what Label Studio's SDK writes, and is read back as drawn."""
    mask = _drawn(height, width, pixels)
    assert brush.encode(mask) == rle
    assert (brush.decode(rle, width, height) == mask).all()


@given(arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_a_mask_comes_back(mask: brush.Mask) -> None:
    """Brush bytes and COCO run lengths both give every mask back, pixel by pixel."""
    height, width = mask.shape
    assert (brush.decode(brush.encode(mask), width, height) == mask).all()
    counts = brush.to_counts(mask)
    assert (counts is None) == (not mask.any())
    if counts is not None:
        assert (brush.from_counts(counts, width, height) == mask).all()


def test_long_runs_are_several() -> None:
    """A run longer than the longest length that can be written is cut, and a full mask has few bytes."""
    mask = np.ones((400, 500), dtype=bool)
    assert len(brush.encode(mask)) < 60
    assert brush.decode(brush.encode(mask), 500, 400).all()


def test_values_one_by_one_are_read() -> None:
    """The form's other kind of run, of values that differ, is read as the editor writes it."""
    bits = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "0" + "00" + f"{7:03b}"
    bits += "".join(f"{value:08b}" for value in (1, 2, 3, 0, 9, 9, 9, 200))
    data = [int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8)]
    assert brush.decode(data, 2, 1).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "breaks off"),
        ([255] * 40, "has 4294967295 values, expected 8"),
        ([0, 0, 0, 8, 57, 27], "breaks off"),
        ([0, 0, 0, 8, 57, 27, 255, 255, 255, 255, 255], "more values than its image"),
        ([0, 0, 0, 8, 1, 27, 255, 255, 255], "words of 1 bits"),
    ],
)
def test_hostile_bytes_are_refused(data: list[int], said: str) -> None:
    """Bytes that break off, or speak of more than the image has, draw nothing."""
    with pytest.raises(ValueError, match=said):
        brush.decode(data, 2, 1)


def test_too_many_bytes_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can keep the import busy with one mask."""
    monkeypatch.setattr(brush, "MAX_BYTES", 5)
    with pytest.raises(ValueError, match="at most 5 are read"):
        brush.decode([0] * 6, 1, 1)


def test_the_box_of_a_mask() -> None:
    """A box has the edges of the outermost pixels; nothing has none."""
    mask = np.zeros((5, 6), dtype=bool)
    assert brush.box_of_mask(mask) is None
    mask[1:3, 2:6] = True
    box = brush.box_of_mask(mask)
    assert box is not None
    assert box.xyxy == (2.0, 1.0, 6.0, 3.0)


def test_counts_of_another_size_are_refused() -> None:
    """Run lengths of another image are no mask of this one."""
    counts = brush.to_counts(np.ones((3, 3), dtype=bool))
    assert counts is not None
    with pytest.raises(ValueError, match="must add up to 16"):
        brush.from_counts(counts, 4, 4)
