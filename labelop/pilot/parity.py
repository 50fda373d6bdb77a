"""One model at two places must say the same before arms at those places are compared: else the place is what is tested.

Torch or ONNX Runtime, precision, decoder, resize: whatever differs shows in what a reviewer would see. Boxes, masks and
classes of the whole image are held against the tolerance each by itself: an image has many objects and one class. Knows
drafts, no engine and no table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelop.effort.outlines import mask_iou_matrix
from labelop.engines.parity import SAME_IOU, SAME_SCORE, TOLERANCE
from labelop.geometry import boxes_to_array, iou_matrix
from labelop.labels import Prediction

BOXES, MASKS, CLASSES = "boxes", "masks", "classes of whole images"
"""What is compared; of those that differ as much the first is told."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far two places lie apart with one model on the same images."""

    images_count: int
    """Images both places answered."""
    kind: str
    """Boxes, masks or classes of whole images: what differs the most. The figures are about these."""
    objects_count: int
    """Of the drafts of both sides together."""
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
        share = f"{self.difference:.1%} of {self.objects_count} {self.kind} on {self.images_count} images differ"
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
    sizes: Mapping[str, tuple[int, int]] | None = None,
    tolerance: float = TOLERANCE["detection"],
) -> Parity:
    """Compare one model's drafts of the same images from two places.

    A box is the same where class, place (IoU of at least `SAME_IOU`) and score (within `SAME_SCORE`) agree; a mask
    where its box is and the masks overlap as much; a class of the whole image where class and score agree. Only what
    reviewers are shown counts, but it may lie just below the other side's draft score.

    Args:
        first: Predictions by image id at one place.
        second: At the other.
        sizes: Width and height of the upright images with masks, pixels, by image id.
        tolerance: Largest share of drafts that may differ.
    """
    images = sorted(first.keys() & second.keys())
    seen, lost = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for image_id in images:
        size = (sizes or {}).get(image_id, (0, 0))
        for mine, others in ((first[image_id], second[image_id]), (second[image_id], first[image_id])):
            for one in mine:
                if one.draft:
                    found = _found(one, others, size)
                    seen.update((kind, one.label) for kind in found)
                    lost.update((kind, one.label) for kind, there in found.items() if not there)
    shares = {kind: _total(lost, kind) / _total(seen, kind) for kind in (BOXES, MASKS, CLASSES) if _total(seen, kind)}
    worst = max(shares, key=lambda kind: shares[kind], default=BOXES)
    by_class = {label: lost[kind, label] / count for (kind, label), count in sorted(seen.items()) if kind == worst}
    return Parity(
        images_count=len(images),
        kind=worst,
        objects_count=_total(seen, worst),
        difference=shares.get(worst, 0.0) if images else None,
        tolerance=tolerance,
        by_class=by_class,
        moved=max(by_class, key=lambda label: (by_class[label], label), default=""),
    )


def _total(counts: Counter[tuple[str, str]], kind: str) -> int:
    return sum(count for (one, _), count in counts.items() if one == kind)


def _found(one: Prediction, others: Sequence[Prediction], size: tuple[int, int]) -> dict[str, bool]:
    """Say of everything a draft shows whether the other side has it."""
    near = [
        other
        for other in others
        if other.label == one.label
        and abs(other.score - one.score) <= SAME_SCORE
        and (other.box is None) == (one.box is None)
    ]
    if one.box is None:
        return {CLASSES: bool(near)}
    overlaps = iou_matrix(boxes_to_array([one.box]), boxes_to_array([other.box for other in near if other.box]))[0]
    same = [other for other, overlap in zip(near, overlaps, strict=True) if overlap >= SAME_IOU]
    if one.mask_rle is None:
        return {BOXES: bool(same)}
    masks = [other.mask_rle for other in same if other.mask_rle is not None]
    alike = mask_iou_matrix([one.mask_rle], masks, *size)
    return {BOXES: bool(same), MASKS: bool((alike >= SAME_IOU).any())}
