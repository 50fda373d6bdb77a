"""The compiled loop over many images finds what the readable script finds in each, and what SciPy finds."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from labelop.effort import edit_script, edit_scripts
from labelop.effort import kernel as compiled
from labelop.effort.changes import drags
from labelop.effort.columns import OPS, BoxColumns, EditColumns
from labelop.effort.parameters import DEFAULTS
from labelop.effort.ties import OVERLAP_SECONDS, tie_seconds
from labelop.geometry import Box, boxes_to_array, iou_matrix
from labelop.labels import AcceptedLabel, Prediction

SIDES, PLACES = st.integers(1, 5), st.integers(0, 6)
BOXES = st.builds(lambda x, y, w, h: Box(5 * x, 5 * y, 5 * (x + w), 5 * (y + h)), PLACES, PLACES, SIDES, SIDES)
OBJECTS = st.lists(st.tuples(st.integers(0, 1), BOXES), max_size=6)
IMAGES = st.lists(st.tuples(OBJECTS, OBJECTS, st.none() | st.integers(0, 5)), max_size=5)
Image = tuple[list[tuple[int, Box]], list[tuple[int, Box]], int | None]
"""Drafts, labels, and the draft that the first label came from where the tool kept lineage; ties are common."""


def columns_of(images: list[list[tuple[int, Box]]]) -> BoxColumns:
    """Put the objects of many images into columns."""
    flat = [pair for image in images for pair in image]
    starts = np.cumsum([0, *(len(image) for image in images)])
    return BoxColumns(boxes_to_array([box for _, box in flat]), np.array([c for c, _ in flat], dtype=np.int64), starts)


def crowd(images: int, seed: int, spread_px: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw ten boxes an image and what became of them, shape (images, 10, 4); less spread is more of a crowd."""
    draw = np.random.default_rng(seed)
    corner = draw.uniform(0, spread_px, (images, 10, 2))
    before = np.concatenate([corner, corner + draw.uniform(20, 90, corner.shape)], axis=2)
    return before, before + draw.normal(0, 3, before.shape)


def scripts_of(before: NDArray[np.float64], after: NDArray[np.float64]) -> EditColumns:
    """Find the scripts of images of ten boxes of one class."""
    images = len(before)
    starts, classes = np.arange(images + 1) * 10, np.zeros(images * 10, dtype=np.int64)
    sides = [BoxColumns(side.reshape(-1, 4), classes, starts) for side in (before, after)]
    return edit_scripts(*sides)


@settings(deadline=None, max_examples=200)
@given(IMAGES)
def test_columns_hold_the_script_of_each_image(images: list[Image]) -> None:
    """Operation, pair, overlap, drags, seconds and redrawn of each object are those that its image alone has."""
    befores, afters = [image[0] for image in images], [image[1] for image in images]
    known = np.array([image[2] is not None for image in images], dtype=np.bool_)
    starts = np.cumsum([0, *map(len, befores)])
    origins: list[int] = []
    expected = []
    for number, (before, after, origin) in enumerate(images):
        own = [origin if j == 0 and origin is not None and origin < len(before) else -1 for j in range(len(after))]
        origins += [-1 if i < 0 else int(starts[number]) + i for i in own]
        drafts = [Prediction(f"p{i}", str(c), 0.5, draft=True, box=box) for i, (c, box) in enumerate(before)]
        labels = [
            AcceptedLabel(f"a{j}", str(c), box, prediction_id=None if own[j] < 0 else f"p{own[j]}")
            for j, (c, box) in enumerate(after)
        ]
        for e in edit_script(drafts, labels, lineage=origin is not None):
            pair = e.prediction and e.prediction.prediction_id, e.accepted and e.accepted.label_id
            expected.append((number, *pair, e.op, e.drags_count, round(e.model_seconds, 9), e.redrawn, e.iou))
    sides = columns_of(befores), columns_of(afters)
    found = edit_scripts(*sides, origins=np.array(origins, dtype=np.int64), lineage=known)
    columns = (found.image, found.draft, found.label, found.op, found.iou, found.drags_count, found.model_seconds)
    rows = zip(*(column.tolist() for column in (*columns, found.redrawn)), strict=True)
    for (k, i, j, op, iou, drags_count, seconds, again), wanted in zip(rows, expected, strict=True):
        pair = (
            None if i < 0 else f"p{i - sides[0].starts[k]}",
            None if j < 0 else f"a{j - sides[1].starts[k]}",
        )
        assert (k, *pair, OPS[op], drags_count, round(seconds, 9), again) == wanted[:-1]
        assert (None if np.isnan(iou) else iou) == (None if wanted[-1] is None else pytest.approx(wanted[-1]))


@pytest.mark.parametrize("spread_px", [500.0, 100.0, 40.0])
def test_pairs_are_those_of_scipy_image_by_image(spread_px: float) -> None:
    """In loose and in dense images alike, the pairs are those of SciPy's assignment over the same costs."""
    before, after = crowd(150, 7, spread_px)
    found = scripts_of(before, after)
    for k in range(len(before)):
        iou = iou_matrix(before[k], after[k])
        cost = np.zeros((20, 20))
        cost[:10, 10:], cost[10:, :10] = DEFAULTS.delete_seconds, DEFAULTS.add_box_seconds
        for i, j in np.ndindex(10, 10):
            moved = drags(Box(*before[k, i]), Box(*after[k, j]), DEFAULTS.drag_tolerance_px)
            spent = DEFAULTS.adjust_seconds(moved) if iou[i, j] < DEFAULTS.tau_same else DEFAULTS.accept_box_seconds
            allowed = iou[i, j] >= DEFAULTS.tau_match
            cost[i, j] = spent + tie_seconds(i, j) - OVERLAP_SECONDS * iou[i, j] if allowed else 1e6
        rows, columns = linear_sum_assignment(cost)
        theirs = {(i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if i < 10 and j < 10}
        own = (found.image == k) & (found.draft >= 0) & (found.label >= 0)
        assert set(zip((found.draft[own] % 10).tolist(), (found.label[own] % 10).tolist(), strict=True)) == theirs


def test_greedy_matching_is_worse_in_a_crowd() -> None:
    """Pairing by best overlap first costs more seconds than the script, and never less in any image."""
    before, after = crowd(60, 3, 40.0)
    found = scripts_of(before, after)
    ours = np.bincount(found.image, found.model_seconds, minlength=len(before))
    greedy = []
    for k in range(len(before)):
        iou = iou_matrix(before[k], after[k])
        free, seconds = (set(range(10)), set(range(10))), 0.0
        for i, j in sorted(np.argwhere(iou >= DEFAULTS.tau_match).tolist(), key=lambda pair: -iou[tuple(pair)]):
            if i in free[0] and j in free[1]:
                free[0].remove(i)
                free[1].remove(j)
                moved = drags(Box(*before[k, i]), Box(*after[k, j]), DEFAULTS.drag_tolerance_px)
                same = iou[i, j] >= DEFAULTS.tau_same
                seconds += DEFAULTS.accept_box_seconds if same else DEFAULTS.adjust_seconds(moved)
        greedy.append(seconds + len(free[0]) * DEFAULTS.delete_seconds + len(free[1]) * DEFAULTS.add_box_seconds)
    assert (ours <= np.array(greedy) + 1e-3).all()
    assert sum(greedy) > ours.sum() + DEFAULTS.delete_seconds


def test_the_loop_is_the_same_without_its_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Numba is not installed the same loop runs in plain Python and gives the same numbers, bit by bit."""
    before, after = crowd(20, 11, 60.0)
    with_it = scripts_of(before, after)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert compiled.__file__ is not None
    spec = importlib.util.spec_from_file_location("labelop.effort.kernel", compiled.__file__)
    assert spec is not None
    assert spec.loader is not None
    plain: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    assert plain._numba is None
    monkeypatch.setitem(sys.modules, "labelop.effort.kernel", plain)
    without = scripts_of(before, after)
    for field in EditColumns.__slots__:
        np.testing.assert_array_equal(getattr(with_it, field), getattr(without, field))


@pytest.mark.parametrize(
    ("boxes", "classes", "starts", "said"),
    [
        ([[0, 0, 1, 1]], [0], [0, 2], "rise from 0 to the 1"),
        ([[0, 0, 1, 1]], [0, 1], [0, 1], "expected shapes"),
        ([[0, 0, 0, 1]], [0], [0, 1], "an area"),
        ([[0, 0, np.nan, 1]], [0], [0, 1], "finite"),
    ],
)
def test_broken_columns_are_refused(boxes: list[list[float]], classes: list[int], starts: list[int], said: str) -> None:
    """Columns whose shapes or boxes make no sense never reach the loop, which checks nothing."""
    with pytest.raises(ValueError, match=said):
        BoxColumns(np.array(boxes, dtype=np.float64), np.array(classes), np.array(starts))
