"""Boxes and labels refuse what cannot be one, and convert as the formats say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from labelop import geometry
from labelop.geometry import Box
from labelop.labels import AcceptedLabel, Prediction


@pytest.mark.parametrize("edges", [(0, 0, 0, 1), (0, 0, 1, 0), (2, 0, 1, 1), (math.nan, 0, 1, 1), (0, 0, math.inf, 1)])
def test_a_box_has_area(edges: tuple[float, float, float, float]) -> None:
    """No area, turned edges or values that are not finite make no box."""
    with pytest.raises(ValueError, match="box"):
        Box(*edges)


def test_a_box_is_cut_to_its_image() -> None:
    """What lies outside goes; a box that lies outside altogether is none."""
    assert Box(-5, 5, 20, 30).clipped(10, 20) == Box(0, 5, 10, 20)
    assert Box(1, 2, 3, 4).clipped(10, 20) == Box(1, 2, 3, 4)
    assert Box(10, 0, 12, 5).clipped(10, 20) is None


def test_formats_are_what_they_say() -> None:
    """COCO gives left, top, width, height; Label Studio percent."""
    box = Box(10, 20, 30, 60)
    assert geometry.to_xywh(box) == (10, 20, 20, 40)
    assert geometry.to_percent(box, 100, 200) == (10, 10, 20, 20)


def test_overlap_by_hand() -> None:
    """Two squares of 4 that share 1 overlap by one seventh; apart, by nothing; empty lists give empty shapes."""
    a = geometry.boxes_to_array([Box(0, 0, 2, 2)])
    b = geometry.boxes_to_array([Box(1, 1, 3, 3), Box(5, 5, 6, 6), Box(0, 0, 2, 2)])
    assert geometry.iou_matrix(a, b) == pytest.approx(np.array([[1 / 7, 0, 1]]))
    assert geometry.iou_matrix(geometry.boxes_to_array([]), b).shape == (0, 3)


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan])
def test_a_score_is_a_share(score: float) -> None:
    """A confidence outside 0..1 is a fault of an engine, not a prediction."""
    with pytest.raises(ValueError, match="score"):
        Prediction("p", "RBC", score, draft=True)


def test_labels_may_be_of_the_whole_image() -> None:
    """Neither a prediction nor an accepted label needs a box."""
    assert Prediction("p", "farm", 1.0, draft=True).box is None
    assert AcceptedLabel("l", "farm").box is None
