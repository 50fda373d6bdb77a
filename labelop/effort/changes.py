"""What it takes to turn one draft into one label: overlaps, drags, clicks, vertices, points, and their seconds.

One function for each kind of object; `script.py` decides which pairs are asked about. Knows no table and no tool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labelop.effort.outlines import (
    boundary_iou,
    changed_regions,
    changed_vertices,
    mask_iou_matrix,
    rim_px,
)
from labelop.effort.parameters import EffortParameters
from labelop.effort.points import object_area, object_keypoint_similarity, point_changes
from labelop.geometry import Box, boxes_to_array, iou_matrix
from labelop.ingest.masks import decode_mask
from labelop.labels import AcceptedLabel, Prediction

Size = tuple[int, int]
"""Width and height of the upright image, pixels."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a label differs from its draft, but for its class."""

    adjusted: bool = False
    """Whether anything was adjusted."""
    seconds: float = 0.0
    """Modelled seconds of the adjustment."""
    iou: float | None = None
    """Overlap of the boxes or masks, 0..1."""
    biou: float | None = None
    """Overlap of the rims of two masks, 0..1."""
    oks: float | None = None
    """Object keypoint similarity, 0..1."""
    drags_count: int = 0
    """Mouse drags of a box."""
    clicks_count: int = 0
    """Corrective clicks on a mask."""
    vertices_count: int = 0
    """Vertices of an outline that were moved, added or removed."""
    points_count: int = 0
    """Keypoints that were moved, set, toggled or swapped."""


def drags(before: Box, after: Box, tolerance_px: float) -> int:
    """Count the mouse drags that take one box to another.

    Args:
        before: The draft box, pixels.
        after: The accepted box, pixels.
        tolerance_px: Largest movement of an edge that is still none, pixels.

    Returns:
        1 for a translation, one edge or one corner; 2 for anything else (two opposite corners).
    """
    dx0, dy0, dx1, dy1 = (b - a for a, b in zip(before.xyxy, after.xyxy, strict=True))
    if abs(dx0 - dx1) <= tolerance_px and abs(dy0 - dy1) <= tolerance_px:
        return 1
    both_sides = min(abs(dx0), abs(dx1)) > tolerance_px or min(abs(dy0), abs(dy1)) > tolerance_px
    return 2 if both_sides else 1


def kind_of(shape: Prediction | AcceptedLabel) -> str:
    """Say what an object is labelled by: `keypoints`, `shape` (box or mask) or `image`; only equals are paired."""
    if shape.keypoints:
        return "keypoints"
    return "image" if shape.box is None and shape.mask_rle is None else "shape"


def change_of(draft: Prediction, label: AcceptedLabel, params: EffortParameters, outline_size: Size | None) -> Change:
    """Compare a draft with a label of its kind.

    Args:
        draft: What was proposed.
        label: What was accepted.
        params: Thresholds and seconds.
        outline_size: Size of the image where outlines are corrected; None where masks are drawn from their boxes.
    """
    if label.keypoints:
        return _keypoint_change(draft, label, params)
    if outline_size and draft.mask_rle and label.mask_rle:
        return _mask_change(draft, label, params, outline_size)
    if draft.box is not None and label.box is not None:
        return _box_change(draft.box, label.box, params)
    return Change()


def overlaps(
    drafts: Sequence[Prediction], labels: Sequence[AcceptedLabel], params: EffortParameters, outline_size: Size | None
) -> NDArray[np.float64]:
    """Compute the overlap that decides whether objects of one kind may be paired.

    Returns:
        float64, shape (n, m), 0..1: OKS of keypoints; IoU of masks where outlines are corrected and both have one, else
        of boxes; 1 for labels of the whole image, which are all in one place.
    """
    if kind_of(drafts[0]) == "keypoints":
        return np.array([[_oks(draft, label, params) for label in labels] for draft in drafts])
    if kind_of(drafts[0]) == "image":
        return np.ones((len(drafts), len(labels)))
    found = np.zeros((len(drafts), len(labels)))
    _fill(found, [d.box for d in drafts], [a.box for a in labels])
    if outline_size:
        rows = [i for i, draft in enumerate(drafts) if draft.mask_rle]
        columns = [j for j, label in enumerate(labels) if label.mask_rle]
        before, after = [drafts[i].mask_rle or "" for i in rows], [labels[j].mask_rle or "" for j in columns]
        found[np.ix_(rows, columns)] = mask_iou_matrix(before, after, *outline_size)
    return found


def _fill(found: NDArray[np.float64], before: Sequence[Box | None], after: Sequence[Box | None]) -> None:
    """Write the overlaps of those that have boxes."""
    rows, columns = ([i for i, box in enumerate(side) if box is not None] for side in (before, after))
    sides = [boxes_to_array([box for box in side if box is not None]) for side in (before, after)]
    found[np.ix_(rows, columns)] = iou_matrix(*sides)


def _box_change(before: Box, after: Box, params: EffortParameters) -> Change:
    iou = float(iou_matrix(boxes_to_array([before]), boxes_to_array([after]))[0, 0])
    count = drags(before, after, params.drag_tolerance_px) if iou < params.tau_same else 0
    return Change(count > 0, params.adjust_seconds(count), iou, drags_count=count)


def _mask_change(draft: Prediction, label: AcceptedLabel, params: EffortParameters, size: Size) -> Change:
    before, after = draft.mask_rle or "", label.mask_rle or ""
    if before == after and draft.polygon == label.polygon:
        return Change(iou=1.0, biou=1.0)
    iou = float(mask_iou_matrix([before], [after], *size)[0, 0])
    old, new = decode_mask(before, *size), decode_mask(after, *size)
    biou = boundary_iou(old, new, rim_px(*size))
    if min(iou, biou) >= params.tau_same:
        return Change(iou=iou, biou=biou)
    by_vertices = bool(draft.polygon and label.polygon)
    vertices = changed_vertices(draft.polygon, label.polygon, params.drag_tolerance_px) if by_vertices else 0
    clicks = label.clicks_count
    if clicks is None:  # nobody counted: one for each region that was wrong
        clicks = 0 if by_vertices else max(1, changed_regions(old, new))
    seconds = params.adjust_mask_seconds + params.mask_click_seconds * clicks + params.mask_vertex_seconds * vertices
    return Change(True, seconds, iou, biou, clicks_count=clicks, vertices_count=vertices)


def _keypoint_change(draft: Prediction, label: AcceptedLabel, params: EffortParameters) -> Change:
    changes = point_changes(draft.keypoints, label.keypoints, params.drag_tolerance_px)
    oks, count = _oks(draft, label, params), changes.touched_count
    return Change(count > 0, changes.seconds(params), oks=oks, points_count=count)


def _oks(draft: Prediction, label: AcceptedLabel, params: EffortParameters) -> float:
    area = object_area(label.box, label.keypoints)
    return object_keypoint_similarity(draft.keypoints, label.keypoints, area, params.keypoint_sigma)
