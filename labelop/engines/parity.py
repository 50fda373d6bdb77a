"""How far two engines' answers lie apart, in what a reviewer would see and not in raw tensors.

A detector's raw tensors are ordered by its own ranking, which the smallest rounding turns round; its objects are not.
Knows no engine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labelop.catalog.cards import ModelCard
from labelop.engines.base import RawOutputs
from labelop.engines.postprocess import Detections, read_class_scores, read_detections, require_finite
from labelop.geometry import iou_matrix

TOLERANCE = {"detection": 0.02, "classification": 0.02, "segmentation": 0.02}
"""Largest difference by task with which an engine may be chosen without being asked for."""
EXACT = 0.001
"""Largest difference between two engines that both compute in f32."""
SAME_IOU = 0.75
"""Overlap from which two engines' boxes of one class are the same object."""
SAME_SCORE = 0.05
"""Largest difference of score between the same object's predictions."""


def difference(
    card: ModelCard, first: RawOutputs, second: RawOutputs, index: int, *, width_px: int, height_px: int
) -> tuple[float, int]:
    """Compare two answers for one image.

    - detection: the share of draft objects, of both sides, that the other side does not have (one of the same class,
      with an IoU of at least `SAME_IOU` and a score within `SAME_SCORE`);
    - classification: the largest difference of a class' probability;
    - segmentation: the mean of 1 - IoU of the masks.

    Args:
        card: The model both ran.
        first: One engine's raw outputs.
        second: The other's.
        index: Which image of the batch.
        width_px: Width of that image.
        height_px: Height of that image.

    Returns:
        The difference, 0..1, and by how many objects (detection, segmentation) or images it was found.

    Raises:
        EngineResponseError: A value is not finite, or a tensor has a wrong shape.
    """
    if card.task == "classification":
        scores = [read_class_scores(card, raw, index) for raw in (first, second)]
        return float(np.abs(scores[0] - scores[1]).max()), 1
    if card.task == "segmentation":
        # NaN is not above 0, and would agree with a mask of nothing
        require_finite(card, first["masks"][index], second["masks"][index])
        inside = [raw["masks"][index] > 0 for raw in (first, second)]
        axes = (1, 2)
        shared, either = (inside[0] & inside[1]).sum(axis=axes), (inside[0] | inside[1]).sum(axis=axes)
        overlap = np.where(either > 0, shared / np.maximum(either, 1), 1.0)
        return float(1 - overlap.mean()), len(overlap)
    found = [read_detections(card, raw, index, width_px, height_px) for raw in (first, second)]
    lost = count = 0
    for mine, other in ((found[0], found[1]), (found[1], found[0])):
        shown = drafts(card, mine)
        count += len(shown)
        lost += len(shown) - int(_has(mine, other)[shown].sum())
    return (lost / count if count else 0.0), count


def combined(card: ModelCard, parts: Sequence[tuple[float, int]]) -> tuple[float, int]:
    """Combine the differences of several images: the largest of a classifier, else the mean over all objects."""
    count = sum(part[1] for part in parts)
    if card.task == "classification":
        return max((part[0] for part in parts), default=0.0), count
    return sum(value * objects for value, objects in parts) / max(count, 1), count


def drafts(card: ModelCard, found: Detections) -> list[int]:
    """Say which objects of a detector a reviewer is shown: those that reach the draft score of their class."""
    assert card.postprocess is not None
    least = np.array([card.postprocess.draft_score[name] for name in card.classes])
    return [int(i) for i in np.flatnonzero(found.scores >= least[found.class_index])]


def _has(mine: Detections, other: Detections) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Say for each object of mine whether the other side has it too, as a draft or below."""
    same = (
        (iou_matrix(mine.boxes, other.boxes) >= SAME_IOU)
        & (mine.class_index[:, None] == other.class_index[None, :])
        & (np.abs(mine.scores[:, None] - other.scores[None, :]) <= SAME_SCORE)
    )
    return np.asarray(same.any(axis=1))
