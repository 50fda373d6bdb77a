"""Corrections that are known since they were made here come back from the script exactly."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from labelop.effort import edit_script
from labelop.effort.script import Edit
from labelop.geometry import Box
from labelop.labels import AcceptedLabel, Keypoint, Prediction

CELL, SIDE, COLUMNS = 100, 60, 6
SIZE = (CELL * COLUMNS, CELL)
NAMES = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
BOX_EDITS = st.sampled_from(["accept", "relabel", "one drag", "two drags", "drag and relabel", "delete", "add"])
MASK_EDITS = st.sampled_from(["accept", "relabel", "one region", "two regions", "vertices", "delete", "add"])
POINT_EDITS = st.lists(st.sampled_from(["move", "hide", "take away", "add"]), min_size=4, max_size=4, unique=True)


def cell_box(k: int, *, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> Box:
    """Give the box in cell k, with its edges moved; cells are too far apart to overlap."""
    return Box(CELL * k + 20 + left, 20 + top, CELL * k + 20 + SIDE + right, 20 + SIDE + bottom)


def painted(k: int, holes: int = 0) -> NDArray[np.uint8]:
    """Fill the square of cell k but for some 8 x 8 holes inside it."""
    mask = np.zeros((SIZE[1], SIZE[0]), dtype=np.uint8)
    mask[20 : 20 + SIDE, CELL * k + 20 : CELL * k + 20 + SIDE] = 1
    for hole in range(holes):
        mask[40:48, CELL * k + 30 + 25 * hole : CELL * k + 38 + 25 * hole] = 0
    return mask


def rle(mask: NDArray[np.uint8]) -> str:
    """Write run lengths as tables hold them."""
    return str(coco.encode(np.asfortranarray(mask))["counts"].decode("ascii"))


def corners(k: int, moved: int) -> tuple[tuple[float, float], ...]:
    """Give the outline of cell k with some of its corners moved by five pixels."""
    box = cell_box(k)
    ring = [(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)]
    return tuple((x + 5, y) if at < moved else (x, y) for at, (x, y) in enumerate(ring))


def told(edit: Edit) -> tuple[str, int, int, int]:
    """Say what was done to one object: operation, drags, clicks, vertices."""
    return edit.op, edit.change.drags_count, edit.change.clicks_count, edit.change.vertices_count


@settings(deadline=None)
@given(st.lists(BOX_EDITS, max_size=COLUMNS), st.booleans(), st.randoms(use_true_random=False))
def test_known_box_edits_come_back(made: list[str], lineage: bool, random: st.DataObject) -> None:
    """Whatever was done to drawn boxes is found, with and without lineage, in any order, records doubled or not."""
    drafts, labels, expected = [], [], []
    for k, edit in enumerate(made):
        if edit != "add":
            drafts.append(Prediction(f"p{k}", "a", 0.5, draft=True, box=cell_box(k)))
        box, label = cell_box(k), "b" if "relabel" in edit else "a"
        if edit == "one drag":
            box = cell_box(k, right=9)
        elif edit == "two drags":
            box = cell_box(k, left=-9, right=9, bottom=4)
        elif edit == "drag and relabel":
            box = cell_box(k, left=7, top=7, right=7, bottom=7)
        if edit != "delete":
            labels.append(
                AcceptedLabel(f"a{k}", label, box, prediction_id=f"p{k}" if lineage and edit != "add" else None)
            )
        drags = {"one drag": 1, "two drags": 2, "drag and relabel": 1}.get(edit, 0)
        op = {"one drag": "adjust", "two drags": "adjust", "drag and relabel": "adjust_relabel"}.get(edit, edit)
        expected.append((op, drags, 0, 0))
    script = edit_script(drafts, labels, lineage=lineage)
    assert Counter(map(told, script)) == Counter(expected)
    doubled, doubled_labels = drafts * 2, labels * 2
    random.shuffle(doubled)  # type: ignore[attr-defined]
    random.shuffle(doubled_labels)  # type: ignore[attr-defined]
    assert edit_script(doubled, doubled_labels, lineage=lineage) == script


@settings(deadline=None, max_examples=40)
@given(st.lists(MASK_EDITS, max_size=COLUMNS))
def test_known_mask_edits_come_back(made: list[str]) -> None:
    """Regions painted out, vertices moved, masks drawn or deleted are found as clicks, vertices, adds and deletes."""
    drafts, labels, expected = [], [], []
    for k, edit in enumerate(made):
        outline = corners(k, 0) if edit == "vertices" else ()
        if edit != "add":
            drafts.append(
                Prediction(f"p{k}", "a", 0.5, draft=True, box=cell_box(k), mask_rle=rle(painted(k)), polygon=outline)
            )
        mask = painted(k, {"one region": 1, "two regions": 2}.get(edit, 0))
        if edit == "vertices":
            mask[20:80, CELL * k + 20 : CELL * k + 22] = 0
        if edit != "delete":
            label = AcceptedLabel(f"a{k}", "b" if edit == "relabel" else "a", cell_box(k), rle(mask))
            labels.append(replace(label, polygon=corners(k, 2)) if edit == "vertices" else label)
        clicks = {"one region": 1, "two regions": 2}.get(edit, 0)
        op = "adjust" if edit in {"one region", "two regions", "vertices"} else edit
        expected.append((op, 0, clicks, 2 if edit == "vertices" else 0))
    script = edit_script(drafts, labels, outline_size=SIZE)
    assert Counter(map(told, script)) == Counter(expected)
    assert all(edit.change.biou is not None for edit in script if edit.op not in {"add", "delete"})


@settings(deadline=None)
@given(st.integers(1, 3).flatmap(lambda count: st.lists(POINT_EDITS, min_size=count, max_size=count)), st.booleans())
def test_known_keypoint_edits_come_back(made: list[list[str]], swapped: bool) -> None:
    """Points that were moved, hidden, taken away, set or swapped are each found once, in the right instance."""
    drafts, labels, seconds = [], [], []
    for k, edits in enumerate(made):
        points = {name: Keypoint(name, CELL * k + 20 + 12 * at, 20 + 7 * at) for at, name in enumerate(NAMES)}
        after = dict(points)
        kept = edits[:2] if swapped else edits
        # the swapped pair is left alone by the others
        for edit, name in zip(kept, ("nose", "left_ear", "right_ear", "left_eye"), strict=False):
            if edit == "move":
                after[name] = replace(points[name], x=points[name].x + 3)
            elif edit == "hide":
                after[name] = replace(points[name], visible=False)
            elif edit == "take away":
                del after[name]
            else:
                del points[name]
        if swapped:
            left, right = points["left_eye"], points["right_eye"]
            after |= {"left_eye": replace(right, name="left_eye"), "right_eye": replace(left, name="right_eye")}
        drafts.append(Prediction(f"p{k}", "a", 0.5, draft=True, box=cell_box(k), keypoints=tuple(points.values())))
        labels.append(AcceptedLabel(f"a{k}", "a", cell_box(k), keypoints=tuple(after.values()), prediction_id=f"p{k}"))
        cost = {"move": 3.6, "hide": 2.8, "take away": 2.8, "add": 2.5}
        seconds.append((len(kept) + swapped, sum(cost[edit] for edit in kept) + 2.8 * swapped))
    # two swapped points out of five can be too far from their places for geometry
    script = edit_script(drafts, labels, lineage=swapped)
    assert [edit.accepted and edit.accepted.label_id for edit in script] == [f"a{k}" for k in range(len(made))]
    assert [edit.change.points_count for edit in script] == [count for count, _ in seconds]
    assert [edit.model_seconds for edit in script] == pytest.approx([spent for _, spent in seconds])
