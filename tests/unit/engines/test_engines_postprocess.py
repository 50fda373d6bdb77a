"""Reading raw tensors: known answers for scores, boxes, suppression and masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from labelop.catalog.cards import ModelCard, Postprocess, load_card
from labelop.engines.masks import encode_mask, read_masks, to_model_frame, upsample
from labelop.engines.postprocess import read_class_scores, read_detections, suppress, to_pixels
from labelop.errors import EngineResponseError
from labelop.geometry import iou_matrix
from tests.unit.engines.models import write_card


def card(folder: Path, **after: Any) -> ModelCard:
    """Load a detector's card with changed thresholds."""
    base = load_card(write_card(folder))
    assert base.postprocess is not None
    return replace(base, postprocess=replace(base.postprocess, **after))


def raw(*rows: tuple[list[float], list[float]]) -> dict[str, NDArray[np.float32]]:
    """Stack (probabilities, cxcywh) rows as one image's raw output."""
    p = np.array([row[0] for row in rows])
    return {
        "logits": np.log(p / (1 - p))[None].astype(np.float32),
        "boxes": np.array([row[1] for row in rows])[None].astype(np.float32),
    }


def test_known_boxes_and_scores(tmp_path: Path) -> None:
    """Sigmoid scores and shares of the image come out as rounded pixels, best first."""
    answer = raw(([0.3, 0.01, 0.01], [0.5, 0.5, 0.5, 0.5]), ([0.01, 0.9, 0.01], [0.1, 0.2, 0.1, 0.2]))
    found = read_detections(card(tmp_path), answer, 0, 200, 100)
    assert found.scores.tolist() == [0.9, 0.3]
    assert found.class_index.tolist() == [1, 0]
    assert found.boxes.tolist() == [[10, 10, 30, 30], [50, 25, 150, 75]]


def test_one_query_may_speak_for_two_classes(tmp_path: Path) -> None:
    """Classes are independent: a query above the threshold in two classes gives two detections."""
    found = read_detections(card(tmp_path), raw(([0.6, 0.7, 0.01], [0.5, 0.5, 0.4, 0.4])), 0, 100, 100)
    assert found.class_index.tolist() == [1, 0]


def test_suppression_is_per_class(tmp_path: Path) -> None:
    """Of two overlapping boxes of one class the better stays; another class is not touched."""
    answer = raw(
        ([0.8, 0.01, 0.01], [0.5, 0.5, 0.4, 0.4]),
        ([0.9, 0.01, 0.01], [0.5, 0.5, 0.42, 0.42]),
        ([0.01, 0.7, 0.01], [0.5, 0.5, 0.4, 0.4]),
    )
    found = read_detections(card(tmp_path), answer, 0, 100, 100)
    assert list(zip(found.scores, found.class_index, strict=True)) == [(0.9, 0), (0.7, 1)]


def test_one_object_is_never_found_twice(tmp_path: Path) -> None:
    """Where a card lets boxes overlap as they like equal ones of a class were two drafts of one object."""
    twin = ([0.8, 0.01, 0.01], [0.5, 0.5, 0.4, 0.4])
    near = ([0.9, 0.01, 0.01], [0.5, 0.5, 0.41, 0.4])
    found = read_detections(card(tmp_path, nms_iou=1.0), raw(twin, twin, near), 0, 100, 100)
    assert found.scores.tolist() == [0.9, 0.8]


def test_boxes_are_cut_and_flat_ones_dropped(tmp_path: Path) -> None:
    """What reaches outside is cut to the image; what has no area after rounding is gone."""
    answer = raw(
        ([0.9, 0.01, 0.01], [0.0, 0.5, 0.5, 0.5]),
        ([0.8, 0.01, 0.01], [1.5, 0.5, 0.2, 0.2]),
        ([0.7, 0.01, 0.01], [0.5, 0.5, 0.00001, 0.5]),
    )
    found = read_detections(card(tmp_path), answer, 0, 100, 80)
    assert found.boxes.tolist() == [[0, 20, 25, 60]]


def test_limits_of_score_and_count(tmp_path: Path) -> None:
    """Scores below the least are dropped, and the image keeps its best few."""
    rows = [([p, 0.001, 0.001], [0.05 + i * 0.1, 0.5, 0.05, 0.1]) for i, p in enumerate((0.04, 0.06, 0.5, 0.9))]
    assert read_detections(card(tmp_path), raw(*rows), 0, 100, 80).scores.tolist() == [0.9, 0.5, 0.06]
    assert len(read_detections(card(tmp_path, max_detections=2), raw(*rows), 0, 100, 80).scores) == 2


def test_order_does_not_depend_on_the_models_order(tmp_path: Path) -> None:
    """Equal scores are ordered by their boxes, so shuffled queries give equal rows."""
    rows = [([0.5, 0.01, 0.01], [0.1 + 0.2 * i, 0.5, 0.1, 0.2]) for i in range(4)]
    one = read_detections(card(tmp_path), raw(*rows), 0, 100, 100)
    two = read_detections(card(tmp_path), raw(*rows[::-1]), 0, 100, 100)
    assert one.boxes.tolist() == two.boxes.tolist()


def test_plain_detr_has_a_class_for_nothing(tmp_path: Path) -> None:
    """DETR's last class says no object: scores are a softmax and that class is never reported."""
    logits = np.log(np.array([[[0.2, 0.1, 0.1, 0.6], [0.7, 0.1, 0.1, 0.1]]])).astype(np.float32)
    boxes = np.array([[[0.2, 0.5, 0.2, 0.2], [0.7, 0.5, 0.2, 0.2]]], dtype=np.float32)
    after = Postprocess(0.15, 0.6, 10, {})
    detr = replace(card(tmp_path), family="detr", postprocess=after)
    found = read_detections(detr, {"logits": logits, "boxes": boxes}, 0, 100, 100)
    assert found.scores.tolist() == [0.7, 0.2]
    assert found.class_index.tolist() == [0, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["logits", "boxes"])
def test_values_that_are_not_finite_are_an_error(tmp_path: Path, value: float, name: str) -> None:
    """NaN and infinity never become predictions."""
    answer = raw(([0.9, 0.1, 0.1], [0.5, 0.5, 0.5, 0.5]))
    answer[name][0, 0, 0] = value
    with pytest.raises(EngineResponseError) as caught:
        read_detections(card(tmp_path), answer, 0, 10, 10)
    assert caught.value.context["code"] == "NON_FINITE"


def test_a_wrong_number_of_classes_is_an_error(tmp_path: Path) -> None:
    """A model with another head is not read as if it fitted, and a missing tensor is named."""
    answer = raw(([0.9, 0.1], [0.5, 0.5, 0.5, 0.5]))
    with pytest.raises(EngineResponseError, match="3 classes"):
        read_detections(card(tmp_path), answer, 0, 10, 10)
    with pytest.raises(EngineResponseError, match="boxes"):
        read_detections(card(tmp_path), {"logits": answer["logits"]}, 0, 10, 10)
    with pytest.raises(EngineResponseError, match="3 classes"):
        read_class_scores(card(tmp_path), {"logits": np.zeros((1, 5), np.float32)}, 0)


def test_class_scores_are_a_softmax(tmp_path: Path) -> None:
    """Scores add up to one and survive large logits."""
    logits = np.array([[1000.0, 999.0, -1000.0]], dtype=np.float32)
    assert read_class_scores(card(tmp_path), {"logits": logits}, 0).tolist() == [0.731059, 0.268941, 0.0]


_EDGE = st.floats(0, 1)


@given(st.lists(st.tuples(_EDGE, _EDGE, _EDGE, _EDGE), max_size=12), st.floats(0.1, 0.9))
def test_kept_boxes_of_a_class_never_overlap_more_than_allowed(
    rows: list[tuple[float, float, float, float]], iou: float
) -> None:
    """Suppression keeps the first, keeps order, and leaves no clash among the kept."""
    boxes = to_pixels(np.array(rows, dtype=np.float64).reshape(-1, 4), 100, 50)
    labels = np.arange(len(boxes), dtype=np.int64) % 2
    kept = suppress(boxes, labels, iou)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert not len(boxes) or kept[0] == 0
    overlaps = iou_matrix(boxes[kept], boxes[kept])
    same = labels[kept][:, None] == labels[kept][None, :]
    np.fill_diagonal(same, val=False)
    assert not (overlaps[same] > iou).any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 70))
def test_a_partial_upsample_equals_the_whole(seed: int, width_px: int, height_px: int) -> None:
    """Resizing only the part that can be positive gives the mask of resizing everything."""
    random = np.random.default_rng(seed)
    logits = np.full((12, 16), -3.0, dtype=np.float32)
    y, x = random.integers(0, 10), random.integers(0, 13)
    logits[y : y + 3, x : x + 4] = random.normal(1, 3, logits[y : y + 3, x : x + 4].shape)
    whole = np.asarray(Image.fromarray(logits).resize((width_px, height_px), Image.Resampling.BILINEAR)) > 0
    # a pixel whose value is a rounding away from 0 may fall either way
    edge = np.abs(np.asarray(Image.fromarray(logits).resize((width_px, height_px), Image.Resampling.BILINEAR))) < 1e-5
    assert (((upsample(logits, width_px, height_px) > 0) == whole) | edge).all()


def test_masks_are_read_per_box() -> None:
    """An empty mask is None, a full one covers the image, and wrong answers are errors."""
    logits = np.stack([np.full((4, 4), -1.0), np.full((4, 4), 1.0)])[None].astype(np.float32)
    empty, full = read_masks({"masks": logits}, 2, 8, 6)
    assert empty is None
    assert full == encode_mask(np.ones((6, 8), dtype=np.uint8))
    with pytest.raises(EngineResponseError, match="3 boxes"):
        read_masks({"masks": logits}, 3, 8, 6)
    with pytest.raises(EngineResponseError, match="not finite"):
        read_masks({"masks": logits * np.float32(np.nan)}, 2, 8, 6)


def test_prompts_move_into_the_models_frame() -> None:
    """Pixels of the image become pixels of the stretched input."""
    boxes = np.array([[64.0, 48.0, 640.0, 480.0]])
    assert to_model_frame(boxes, (640, 480), (160, 128)).tolist() == [[16, 12.800000190734863, 160, 128]]
