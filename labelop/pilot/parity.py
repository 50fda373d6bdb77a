"""One model at two places must say the same before arms at those places are compared: else the place is what is tested.

Torch or ONNX Runtime, precision, decoder, resize: whatever differs shows in what a reviewer would see. Knows drafts, no
engine and no table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labelop.engines.parity import SAME_IOU, SAME_SCORE, TOLERANCE
from labelop.geometry import boxes_to_array, iou_matrix
from labelop.labels import Prediction


@dataclass(frozen=True, slots=True)
class Parity:
    """How far two places lie apart with one model on the same images."""

    images_count: int
    """Images both places answered."""
    objects_count: int
    """Drafts of both sides together."""
    difference: float | None
    """Share of them that the other side does not have, 0..1; None without images."""
    tolerance: float
    """Largest share that passes."""
    by_class: Mapping[str, float]
    """The same share by class."""
    moved: str
    """Class that lost the most drafts; empty without any."""

    @property
    def agrees(self) -> bool:
        """Whether the places may be compared."""
        return self.difference is not None and self.difference <= self.tolerance

    @property
    def said(self) -> str:
        """The sentence a person reads."""
        if self.difference is None:
            return "No image was drafted by one model at both places, so the places are not known to agree"
        share = f"{self.difference:.1%} of {self.objects_count} drafts on {self.images_count} images differ"
        if self.agrees:
            return f"One model agrees at both places: {share} (at most {self.tolerance:.0%})"
        return (
            f"One model says different things at the two places: {share}, at most {self.tolerance:.0%} may; "
            f"most moved {self.moved} ({self.by_class[self.moved]:.1%})"
        )


def compare_places(
    first: Mapping[str, Sequence[Prediction]],
    second: Mapping[str, Sequence[Prediction]],
    *,
    tolerance: float = TOLERANCE["detection"],
) -> Parity:
    """Compare one model's drafts of the same images from two places.

    An object is the same where class, box (IoU of at least `SAME_IOU`) and score (within `SAME_SCORE`) agree; a label
    of the whole image where class and score do. Only what reviewers are shown counts, but it may lie just below the
    other side's draft score.

    Args:
        first: Predictions by image id at one place.
        second: At the other.
        tolerance: Largest share of drafts that may differ.
    """
    images = sorted(first.keys() & second.keys())
    seen, lost = Counter[str](), Counter[str]()
    for image_id in images:
        for mine, others in ((first[image_id], second[image_id]), (second[image_id], first[image_id])):
            for one in mine:
                if one.draft:
                    seen[one.label] += 1
                    lost[one.label] += not _has(others, one)
    shares = {label: lost[label] / count for label, count in sorted(seen.items())}
    total = sum(seen.values())
    return Parity(
        images_count=len(images),
        objects_count=total,
        difference=(sum(lost.values()) / total if total else 0.0) if images else None,
        tolerance=tolerance,
        by_class=shares,
        moved=max(shares, key=lambda label: (shares[label], label), default=""),
    )


def _has(others: Sequence[Prediction], one: Prediction) -> bool:
    near = [
        other
        for other in others
        if other.label == one.label
        and abs(other.score - one.score) <= SAME_SCORE
        and (other.box is None) == (one.box is None)
    ]
    if one.box is None or not near:
        return bool(near)
    boxes = boxes_to_array([other.box for other in near if other.box is not None])
    return bool(np.max(iou_matrix(boxes_to_array([one.box]), boxes)) >= SAME_IOU)
