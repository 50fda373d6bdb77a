"""What a reviewer had to do to turn a draft into the accepted labels: the cheapest sequence of edits.

Protocol: `measures.md` 1.3; formula: section 7, first block. Knows no table, no tool and no clock. `columns.py` does
the same for the boxes of many images at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy.optimize import linear_sum_assignment

from labelop.effort.changes import Change, Size, change_of, kind_of, overlaps
from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.effort.ties import OVERLAP_SECONDS, tie_seconds
from labelop.labels import AcceptedLabel, Prediction

EDITS_OF_OP = {"accept": 0, "relabel": 1, "adjust": 1, "adjust_relabel": 2, "delete": 1, "add": 1}
"""Edits each operation counts as (`measures.md` section 7: adjusting and relabelling one object is two)."""

_FORBIDDEN = 1e6  # seconds; far above any sum of real operations
_KINDS = ("shape", "keypoints", "image")
_OPS = {(False, False): "accept", (False, True): "relabel", (True, False): "adjust", (True, True): "adjust_relabel"}
_Shape = TypeVar("_Shape", Prediction, AcceptedLabel)


@dataclass(frozen=True, slots=True)
class Edit:
    """One operation of a script, on one object."""

    op: str
    """accept | relabel | adjust | adjust_relabel | delete | add."""
    prediction: Prediction | None
    """The draft it starts from; None for add."""
    accepted: AcceptedLabel | None
    """The label it ends in; None for delete."""
    change: Change
    """What was adjusted; empty for delete and add."""
    model_seconds: float
    """Modelled seconds of this operation."""
    lineage: bool
    """Whether the tool told us the pair; False when geometry did."""
    redrawn: bool = False
    """Deleted, or added, where nearly the same was added, or deleted: a pair for geometry and not for the tool."""

    @property
    def edits_count(self) -> int:
        """How many edits this operation counts as; accept counts none."""
        return EDITS_OF_OP[self.op]

    @property
    def iou(self) -> float | None:
        """Overlap of the two boxes or masks, 0..1; None without two of them."""
        return self.change.iou

    @property
    def drags_count(self) -> int:
        """Mouse drags the adjustment takes; 0 when no box was adjusted."""
        return self.change.drags_count


def edit_script(
    predictions: Sequence[Prediction],
    accepted: Sequence[AcceptedLabel],
    *,
    lineage: bool | None = None,
    outline_size: Size | None = None,
    params: EffortParameters = DEFAULTS,
) -> tuple[Edit, ...]:
    """Find the cheapest edits from the drafts of one image to its accepted labels.

    Only predictions with `draft` take part, and only objects of one kind are paired: boxes and masks, keypoints, labels
    of the whole image. Where the tool kept lineage, lineage decides: a draft that vanished is a delete, a label without
    origin an add, even when the two nearly coincide; such a pair is marked as drawn again. Labels of the whole image
    without an origin are still paired, since choosing another class leaves no trace. Elsewhere geometry decides: pairs
    that overlap by at least `tau_match`, by the assignment of least total seconds.

    Args:
        predictions: Predictions of one image, any order; the same one twice is one.
        accepted: Accepted labels of the same image, any order; the same one twice is one.
        lineage: Whether the tool keeps lineage; None when unknown: it does if a label names a draft of this image.
        outline_size: Width and height of the upright image in pixels where reviewers correct outlines; None where masks
            are drawn from their boxes, so that correcting the box is what redraws the mask.
        params: Thresholds and seconds.

    Returns:
        One edit per draft or accepted label, ordered by draft id and then label id; the same for any input order.

    Raises:
        ValueError: Two different objects have one id.
    """
    drafts = _distinct((p for p in predictions if p.draft), "prediction_id")
    labels = _distinct(accepted, "label_id")
    known = [] if lineage is False else _lineage_pairs(drafts, labels)
    follows = bool(known) if lineage is None else lineage
    edits = [_pair_edit(p, a, params, outline_size, lineage=True) for p, a in known]
    taken_drafts = {p.prediction_id for p, _ in known}
    taken_labels = {a.label_id for _, a in known}
    for kind in _KINDS:
        edits += _geometry_edits(
            [p for p in drafts if p.prediction_id not in taken_drafts and kind_of(p) == kind],
            [a for a in labels if a.label_id not in taken_labels and kind_of(a) == kind],
            params,
            outline_size,
            lineage=follows and kind != "image",
        )
    return tuple(sorted(edits, key=_order))


def _order(edit: Edit) -> tuple[bool, str, str]:
    return (
        edit.prediction is None,
        edit.prediction.prediction_id if edit.prediction else "",
        edit.accepted.label_id if edit.accepted else "",
    )


def _distinct(shapes: Iterable[_Shape], key: str) -> list[_Shape]:
    """Sort by id and keep each object once."""
    found: dict[str, _Shape] = {}
    for shape in shapes:
        name = str(getattr(shape, key))
        if found.setdefault(name, shape) != shape:
            raise ValueError(f"two different objects have the id {name}")
    return [found[name] for name in sorted(found)]


def _lineage_pairs(
    drafts: Sequence[Prediction], labels: Sequence[AcceptedLabel]
) -> list[tuple[Prediction, AcceptedLabel]]:
    """Pair each draft with the first label that names it and is of its kind (a copied object has one origin only)."""
    by_id = {p.prediction_id: p for p in drafts}
    pairs: dict[str, tuple[Prediction, AcceptedLabel]] = {}
    for label in labels:
        draft = by_id.get(label.prediction_id or "")
        if draft is not None and kind_of(draft) == kind_of(label):
            pairs.setdefault(draft.prediction_id, (draft, label))
    return list(pairs.values())


def _geometry_edits(
    drafts: Sequence[Prediction],
    labels: Sequence[AcceptedLabel],
    params: EffortParameters,
    outline_size: Size | None,
    *,
    lineage: bool,
) -> list[Edit]:
    """Solve one kind of object; with lineage known nothing that is left may be paired, only be seen as drawn again."""
    pairs = _cheapest_pairs(drafts, labels, params, outline_size) if drafts and labels else []
    used_drafts, used_labels = {i for i, _, _ in pairs}, {j for _, j, _ in pairs}
    deletes = [Edit("delete", p, None, Change(), params.delete_seconds, lineage) for p in drafts]
    adds = [
        Edit("add", None, a, Change(clicks_count=a.clicks_count or 0), add_seconds(a, params, outline_size), lineage)
        for a in labels
    ]
    if lineage:
        deletes = [replace(edit, redrawn=i in used_drafts) for i, edit in enumerate(deletes)]
        return deletes + [replace(edit, redrawn=j in used_labels) for j, edit in enumerate(adds)]
    alone = [e for i, e in enumerate(deletes) if i not in used_drafts]
    return [edit for *_, edit in pairs] + alone + [e for j, e in enumerate(adds) if j not in used_labels]


def _cheapest_pairs(
    drafts: Sequence[Prediction],
    labels: Sequence[AcceptedLabel],
    params: EffortParameters,
    outline_size: Size | None,
) -> list[tuple[int, int, Edit]]:
    """Choose the pairs of the script that costs least, with what each pair takes."""
    n, m = len(drafts), len(labels)
    found = overlaps(drafts, labels, params, outline_size)
    candidates: dict[tuple[int, int], Edit] = {}
    cost = np.zeros((n + m, n + m))
    cost[:n, :m] = _FORBIDDEN
    for i, j in np.argwhere(found >= params.tau_match).tolist():
        edit = candidates[i, j] = _pair_edit(drafts[i], labels[j], params, outline_size, lineage=False)
        cost[i, j] = edit.model_seconds + tie_seconds(i, j) - OVERLAP_SECONDS * found[i, j]
    # a draft may take any spare column (delete), a label any spare row (add)
    cost[:n, m:] = params.delete_seconds
    cost[n:, :m] = [[add_seconds(a, params, outline_size) for a in labels]]
    chosen = zip(*(side.tolist() for side in linear_sum_assignment(cost)), strict=True)
    return [(i, j, candidates[i, j]) for i, j in chosen if (i, j) in candidates]


def add_seconds(label: AcceptedLabel, params: EffortParameters, outline_size: Size | None = None) -> float:
    """Model the seconds of making one label where nothing was proposed; see `edit_script` for the arguments."""
    if label.keypoints:
        return len(label.keypoints) * params.add_keypoint_seconds
    if outline_size and label.mask_rle:
        return params.add_assisted_mask_seconds if label.clicks_count else params.add_mask_seconds
    return params.add_class_seconds if label.box is None else params.add_box_seconds


def _pair_edit(
    draft: Prediction, label: AcceptedLabel, params: EffortParameters, outline_size: Size | None, *, lineage: bool
) -> Edit:
    """Say what it takes to turn one draft into one label."""
    change = change_of(draft, label, params, outline_size)
    relabelled = draft.label != label.label
    work = change.seconds + (params.relabel_seconds if relabelled else 0.0)
    touched = change.adjusted or relabelled
    seconds = work if touched else _accept_seconds(label, params, outline_size)
    return Edit(_OPS[change.adjusted, relabelled], draft, label, change, seconds, lineage)


def _accept_seconds(label: AcceptedLabel, params: EffortParameters, outline_size: Size | None) -> float:
    if label.keypoints:
        return params.accept_keypoints_seconds
    if outline_size and label.mask_rle:
        return params.accept_mask_seconds
    return params.accept_class_seconds if label.box is None else params.accept_box_seconds
