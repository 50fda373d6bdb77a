"""Laws of boxes: conversions invert, overlap is a symmetric share, cutting stays inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelop import geometry
from labelop.engines.postprocess import suppress
from labelop.geometry import Box

SIDES = st.integers(min_value=1, max_value=20_000)
EDGES = st.floats(min_value=-1000, max_value=1000, allow_nan=False)
LENGTHS = st.floats(min_value=0.01, max_value=1000)
BOXES = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), EDGES, EDGES, LENGTHS, LENGTHS)
NEAR = 1e-6


@given(BOXES)
def test_coco_form_inverts(box: Box) -> None:
    """There and back gives the same box."""
    assert geometry.from_xywh(*geometry.to_xywh(box)).xyxy == pytest.approx(box.xyxy, abs=NEAR)


@given(BOXES, SIDES, SIDES)
def test_percent_form_inverts(box: Box, width_px: int, height_px: int) -> None:
    """There and back gives the same box, whatever the image's size."""
    percent = geometry.to_percent(box, width_px, height_px)
    assert geometry.from_percent(*percent, width_px, height_px).xyxy == pytest.approx(box.xyxy, abs=NEAR)


@given(st.lists(BOXES, max_size=6), st.lists(BOXES, max_size=6))
def test_overlap_is_a_symmetric_share(a: list[Box], b: list[Box]) -> None:
    """Every overlap lies in 0..1, does not depend on the order, and a box overlaps itself wholly."""
    left, right = geometry.boxes_to_array(a), geometry.boxes_to_array(b)
    overlap = geometry.iou_matrix(left, right)
    assert overlap.shape == (len(a), len(b))
    assert ((overlap >= 0) & (overlap <= 1 + NEAR)).all()
    assert pytest.approx(overlap) == geometry.iou_matrix(right, left).T
    assert np.diag(geometry.iou_matrix(left, left)) == pytest.approx(np.ones(len(a)))


@given(BOXES, SIDES, SIDES)
def test_a_cut_box_lies_inside_both(box: Box, width_px: int, height_px: int) -> None:
    """What is left lies in the image and in the box, and cutting again changes nothing."""
    cut = box.clipped(width_px, height_px)
    if cut is not None:
        assert max(0, box.x0) <= cut.x0 < cut.x1 <= min(width_px, box.x1)
        assert max(0, box.y0) <= cut.y0 < cut.y1 <= min(height_px, box.y1)
        assert cut.clipped(width_px, height_px) == cut


@given(st.lists(BOXES, max_size=8), st.lists(BOXES, max_size=8))
def test_overlap_is_that_of_the_plain_formula(a: list[Box], b: list[Box]) -> None:
    """Every pair is, to the last digit, what two boxes give by themselves."""

    def plain(one: Box, other: Box) -> float:
        wide = max(0.0, min(one.x1, other.x1) - max(one.x0, other.x0))
        high = max(0.0, min(one.y1, other.y1) - max(one.y0, other.y0))
        return wide * high / (one.area + other.area - wide * high)

    overlap = geometry.iou_matrix(geometry.boxes_to_array(a), geometry.boxes_to_array(b))
    assert overlap.tolist() == [[plain(one, other) for other in b] for one in a]


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 4), st.integers(0, 1)), max_size=14),
    st.sampled_from([0.2, 0.5, 0.6, 1.0]),
)
def test_suppression_is_the_greedy_rule(crowd: list[tuple[int, int, int, int]], iou: float) -> None:
    """Going down the list, a box stays unless one that stayed has its class and overlaps it too much, or is equal."""
    boxes = np.array([(x, y, x + side, y + side) for x, y, side, _ in crowd], dtype=np.float64).reshape(-1, 4)
    classes = np.array([label for *_, label in crowd], dtype=np.int64)
    overlap = geometry.iou_matrix(boxes, boxes)
    kept: list[int] = []
    for i in range(len(crowd)):
        if not any(classes[i] == classes[k] and (overlap[k, i] > iou or crowd[i] == crowd[k]) for k in kept):
            kept.append(i)
    assert suppress(boxes, classes, iou).tolist() == kept
