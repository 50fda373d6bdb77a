"""What a reviewer had to do to turn a draft into the accepted labels: the cheapest sequence of edits.

Protocol: `measures.md` 1.3; formula: section 7, first block. Knows no table, no tool and no clock. Masks are not
compared here: they are drawn from boxes, so correcting the box is what redraws the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.geometry import Box, boxes_to_array, iou_matrix
from labelop.labels import AcceptedLabel, Prediction

_FORBIDDEN = 1e6
"""Cost of a pair that may not be made, seconds; far above any sum of real operations."""

EDITS_OF_OP = {"accept": 0, "relabel": 1, "adjust": 1, "adjust_relabel": 2, "delete": 1, "add": 1}
"""Edits each operation counts as (`measures.md` section 7: adjusting and relabelling one object is two)."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One operation of a script, on one object."""

    op: str
    """accept | relabel | adjust | adjust_relabel | delete | add."""
    prediction: Prediction | None
    """The draft it starts from; None for add."""
    accepted: AcceptedLabel | None
    """The label it ends in; None for delete."""
    iou: float | None
    """Overlap of the two boxes, 0..1; None without two boxes."""
    drags_count: int
    """Mouse drags the adjustment takes; 0 when nothing was adjusted."""
    model_seconds: float
    """Literature seconds of this operation."""
    lineage: bool
    """Whether the tool told us the pair; False when geometry did."""

    @property
    def edits_count(self) -> int:
        """How many edits this operation counts as; accept counts none."""
        return EDITS_OF_OP[self.op]


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


def edit_script(
    predictions: Sequence[Prediction], accepted: Sequence[AcceptedLabel], *, params: EffortParameters = DEFAULTS
) -> tuple[Edit, ...]:
    """Find the cheapest edits from the drafts of one image to its accepted labels.

    Only predictions with `draft` take part. Where the tool kept lineage (some accepted label names a draft of this
    image), lineage decides: a draft that vanished is a delete, a label without origin an add, even when the two nearly
    coincide. Without it, pairs come from the optimal assignment over IoU at or above `tau_match`; the class is a
    cost and never a filter. A label of the whole image without lineage is paired by its name.

    Args:
        predictions: Predictions of one image, any order, distinct ids.
        accepted: Accepted labels of the same image, any order, distinct ids.
        params: Thresholds and seconds.

    Returns:
        One edit per draft or accepted label, ordered by draft id and then label id; the same for any input order.
    """
    drafts = sorted((p for p in predictions if p.draft), key=lambda p: p.prediction_id)
    labels = sorted(accepted, key=lambda a: a.label_id)
    edits: list[Edit] = []
    known = _lineage_pairs(drafts, labels)
    edits += [_pair_edit(p, a, params, lineage=True) for p, a in known]
    taken_drafts = {p.prediction_id for p, _ in known}
    taken_labels = {a.label_id for _, a in known}
    free_drafts = [p for p in drafts if p.prediction_id not in taken_drafts]
    free_labels = [a for a in labels if a.label_id not in taken_labels]
    for of_image in (False, True):
        edits += _geometry_edits(
            [p for p in free_drafts if (p.box is None) == of_image],
            [a for a in free_labels if (a.box is None) == of_image],
            params,
            lineage=bool(known) and not of_image,
        )
    return tuple(sorted(edits, key=_order))


def _order(edit: Edit) -> tuple[str, str]:
    return (
        edit.prediction.prediction_id if edit.prediction else "~",
        edit.accepted.label_id if edit.accepted else "",
    )


def _lineage_pairs(
    drafts: Sequence[Prediction], labels: Sequence[AcceptedLabel]
) -> list[tuple[Prediction, AcceptedLabel]]:
    """Pair each draft with the first label that names it and is of its kind (a copied object has one origin only)."""
    by_id = {p.prediction_id: p for p in drafts}
    pairs: dict[str, tuple[Prediction, AcceptedLabel]] = {}
    for label in labels:
        draft = by_id.get(label.prediction_id or "")
        if draft is not None and (draft.box is None) == (label.box is None):
            pairs.setdefault(draft.prediction_id, (draft, label))
    return list(pairs.values())


def _geometry_edits(
    drafts: Sequence[Prediction], labels: Sequence[AcceptedLabel], params: EffortParameters, *, lineage: bool
) -> list[Edit]:
    """Solve one kind of object; with lineage known nothing that is left may be paired."""
    n, m = len(drafts), len(labels)
    candidates: dict[tuple[int, int], Edit] = {}
    if not lineage and n and m:
        for i, j in _allowed_pairs(drafts, labels, params.tau_match):
            candidates[i, j] = _pair_edit(drafts[i], labels[j], params, lineage=False)
    deletes = [Edit("delete", p, None, None, 0, params.delete_seconds, lineage) for p in drafts]
    adds = [Edit("add", None, a, None, 0, _add_seconds(a, params), lineage) for a in labels]
    cost = np.zeros((n + m, n + m))
    cost[:n, :m] = _FORBIDDEN
    for (i, j), edit in candidates.items():
        cost[i, j] = edit.model_seconds
    # a draft may take any spare column (delete), a label any spare row (add)
    cost[:n, m:] = params.delete_seconds
    cost[n:, :m] = [[a.model_seconds for a in adds]]
    paired = [
        candidates[pair] for pair in zip(*map(list, linear_sum_assignment(cost)), strict=True) if pair in candidates
    ]
    used_drafts = {e.prediction.prediction_id for e in paired if e.prediction}
    used_labels = {e.accepted.label_id for e in paired if e.accepted}
    paired += [e for e, p in zip(deletes, drafts, strict=True) if p.prediction_id not in used_drafts]
    return paired + [e for e, a in zip(adds, labels, strict=True) if a.label_id not in used_labels]


def _allowed_pairs(
    drafts: Sequence[Prediction], labels: Sequence[AcceptedLabel], tau_match: float
) -> list[tuple[int, int]]:
    if drafts[0].box is None:
        return [(i, j) for i in range(len(drafts)) for j in range(len(labels))]
    before = boxes_to_array([p.box for p in drafts if p.box is not None])
    after = boxes_to_array([a.box for a in labels if a.box is not None])
    return [(int(i), int(j)) for i, j in np.argwhere(iou_matrix(before, after) >= tau_match)]


def _add_seconds(label: AcceptedLabel, params: EffortParameters) -> float:
    return params.add_class_seconds if label.box is None else params.add_box_seconds


def _pair_edit(draft: Prediction, label: AcceptedLabel, params: EffortParameters, *, lineage: bool) -> Edit:
    """Say what it takes to turn one draft into one label."""
    iou: float | None = None
    drags_count = 0
    if draft.box is not None and label.box is not None:
        iou = float(iou_matrix(boxes_to_array([draft.box]), boxes_to_array([label.box]))[0, 0])
        if iou < params.tau_same:
            drags_count = drags(draft.box, label.box, params.drag_tolerance_px)
    relabelled = draft.label != label.label
    op = {(False, False): "accept", (False, True): "relabel", (True, False): "adjust", (True, True): "adjust_relabel"}[
        drags_count > 0, relabelled
    ]
    accept = params.accept_class_seconds if label.box is None else params.accept_box_seconds
    work = params.adjust_seconds(drags_count) + (params.relabel_seconds if relabelled else 0.0)
    return Edit(op, draft, label, iou, drags_count, work or accept, lineage)
