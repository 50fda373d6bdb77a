"""One wrong draft is put among the right ones, as models err, and later it is told whether it is still there.

Pure functions of drafts and labels; knows neither tables nor tools. Everything is drawn from the generator it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from labelop.effort.parameters import DEFAULTS
from labelop.geometry import Box, boxes_to_array, iou_matrix
from labelop.ids import row_id
from labelop.labels import AcceptedLabel, Prediction
from labelop.review.tasks import ReviewTask

Kind: TypeAlias = Literal["wrong_class", "shifted_box", "missing_object", "spurious_object"]
"""How a draft can be wrong."""
KINDS: tuple[Kind, ...] = get_args(Kind)

ErrorMix: TypeAlias = Mapping[tuple[Kind, str, str], float]
"""How often each error was found: its kind, the class of the object, and the class it was shown as."""

KIND_OF_OP: Mapping[str, tuple[Kind, ...]] = {
    "relabel": ("wrong_class",),
    "adjust": ("shifted_box",),
    "adjust_relabel": ("shifted_box", "wrong_class"),
    "add": ("missing_object",),
    "delete": ("spurious_object",),
}
"""Which error each correction says the draft had."""

SHIFTED_IOU = (0.5, 0.7)
"""Overlap of a shifted box with the one it was made from (measures.md 2.2)."""
APART_IOU = 0.3
"""Overlap above which two drafts might be taken for each other: such drafts are not seeded."""
_PLACES = 20


@dataclass(frozen=True, slots=True)
class Seed:
    """One error that was made on purpose."""

    kind: Kind
    """What is wrong."""
    prediction_id: str
    """The draft that was changed, removed or added."""
    right: Prediction | None
    """The draft as the model made it; None where there was none."""
    wrong: Prediction | None
    """The draft as it is shown; None where it is taken away."""


def seed_task(task: ReviewTask, mix: ErrorMix, random: np.random.Generator) -> Seed | None:
    """Make one draft of a task wrong.

    Args:
        task: A task with the drafts of a model.
        mix: How often each error was found.
        random: Of everything that is drawn.

    Returns:
        The error; None where the task has no draft on which one of the mix can be made.
    """
    found = [(seed, mix[key]) for key in sorted(mix) if (seed := _seed(task, *key, random)) is not None]
    total = sum(weight for _, weight in found)
    if not total:
        return None
    return found[int(random.choice(len(found), p=[weight / total for _, weight in found]))][0]


def shown_drafts(drafts: Sequence[Prediction], seed: Seed) -> tuple[Prediction, ...]:
    """Give the drafts a reviewer is shown, by id."""
    kept = [draft for draft in drafts if draft.prediction_id != seed.prediction_id]
    shown = kept if seed.wrong is None else [*kept, seed.wrong]
    return tuple(sorted(shown, key=lambda draft: draft.prediction_id))


def seed_between(kind: Kind, prediction_id: str, drafts: Sequence[Prediction], shown: Sequence[Prediction]) -> Seed:
    """Find an error again from the drafts as the model made them and as they were shown."""
    right = next((draft for draft in drafts if draft.prediction_id == prediction_id), None)
    wrong = next((draft for draft in shown if draft.prediction_id == prediction_id), None)
    return Seed(kind, prediction_id, right, wrong)


def escaped(seed: Seed, labels: Sequence[AcceptedLabel]) -> bool:
    """Say whether labels hold the error; also of labels by somebody who was not shown it.

    Objects are found by place: a box at an overlap of at least 0.5 is the same object. A shifted box counts as caught
    where the label is nearer to the model's box than to the shifted one.
    """
    right, wrong = seed.right, seed.wrong
    if wrong is None:  # nobody put it back
        return right is not None and not any(
            label.prediction_id in {None, seed.prediction_id} and _overlap(label.box, right.box) >= DEFAULTS.tau_match
            for label in labels
        )
    if wrong.box is None:
        return any(label.box is None and label.label == wrong.label for label in labels)
    for label in labels:
        near = _overlap(label.box, wrong.box)
        if near < DEFAULTS.tau_match:
            continue
        if seed.kind == "wrong_class" and label.label != wrong.label:
            continue
        if seed.kind == "shifted_box" and right is not None and near <= _overlap(label.box, right.box):
            continue
        return True
    return False


def _seed(task: ReviewTask, kind: Kind, label: str, shown_as: str, random: np.random.Generator) -> Seed | None:
    """Try to make one kind of error on an object of a class."""
    if kind == "spurious_object":
        box = _empty_place(task, label, random)
        if box is None:
            return None
        name = row_id("p", task.task_uid, "more", label)
        scores = [draft.score for draft in task.drafts if draft.box is not None]
        score = float(random.choice(scores)) if scores else 0.5
        return Seed(kind, name, None, Prediction(name, label, score, draft=True, box=box))
    fit = [draft for draft in task.drafts if draft.label == label and _stands_alone(draft, task.drafts)]
    if kind != "wrong_class":  # a label of the whole image is nowhere
        fit = [draft for draft in fit if draft.box is not None]
    if not fit:
        return None
    right = fit[int(random.integers(len(fit)))]
    if kind == "wrong_class":
        return Seed(kind, right.prediction_id, right, replace(right, label=shown_as))
    moved = None if kind == "missing_object" else _shifted(right, task, random)
    return Seed(kind, right.prediction_id, right, moved)


def _shifted(draft: Prediction, task: ReviewTask, random: np.random.Generator) -> Prediction | None:
    """Give a draft whose box lies wrong; its mask would tell."""
    return None if draft.box is None else replace(draft, box=_moved(draft.box, task, random), mask_rle=None)


def _moved(box: Box, task: ReviewTask, random: np.random.Generator) -> Box:
    """Move a box along one axis to an overlap drawn from `SHIFTED_IOU`; where the image ends, shrink it to that.

    Two equal boxes that are a share f of their edge apart have an IoU of (1 - f) / (1 + f).
    """
    overlap = float(random.uniform(*SHIFTED_IOU))
    share = (1 - overlap) / (1 + overlap)
    width, height = box.x1 - box.x0, box.y1 - box.y0
    for x, y in random.permutation([(share, 0.0), (-share, 0.0), (0.0, share), (0.0, -share)]).tolist():
        moved = Box(box.x0 + x * width, box.y0 + y * height, box.x1 + x * width, box.y1 + y * height)
        if moved.x0 >= 0 and moved.y0 >= 0 and moved.x1 <= task.width_px and moved.y1 <= task.height_px:
            return moved
    return Box(box.x0, box.y0, box.x0 + overlap * width, box.y1)


def _empty_place(task: ReviewTask, label: str, random: np.random.Generator) -> Box | None:
    """Find a place for one more object, of the size of another of its class, where no draft is."""
    boxes = [draft.box for draft in task.drafts if draft.box is not None]
    alike = [draft.box for draft in task.drafts if draft.box is not None and draft.label == label]
    if not alike:
        return None
    size = alike[int(random.integers(len(alike)))]
    width, height = size.x1 - size.x0, size.y1 - size.y0
    for _ in range(_PLACES):
        x0, y0 = float(random.uniform(0, task.width_px - width)), float(random.uniform(0, task.height_px - height))
        place = Box(x0, y0, min(x0 + width, task.width_px), min(y0 + height, task.height_px))
        if iou_matrix(boxes_to_array([place]), boxes_to_array(boxes)).max() == 0:
            return place
    return None


def _stands_alone(draft: Prediction, drafts: Sequence[Prediction]) -> bool:
    return all(
        other.prediction_id == draft.prediction_id or _overlap(draft.box, other.box) < APART_IOU for other in drafts
    )


def _overlap(one: Box | None, other: Box | None) -> float:
    if one is None or other is None:
        return 0.0
    return float(iou_matrix(boxes_to_array([one]), boxes_to_array([other]))[0, 0])
