"""How corrected keypoints differ from their draft: OKS, and the points that were touched.

Formulas: `measures.md` 1.2; OKS as COCO defines it, with one sigma for all points. Knows no table and no tool.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelop.effort.parameters import EffortParameters
from labelop.geometry import Box
from labelop.labels import Keypoint

_SIDES = {"left": "right", "right": "left"}


@dataclass(frozen=True, slots=True)
class PointChanges:
    """What was done to the keypoints of one object."""

    moved_count: int = 0
    """Points that were moved."""
    added_count: int = 0
    """Points that were set where none was proposed."""
    toggled_count: int = 0
    """Points that were hidden, shown or taken away."""
    swapped_count: int = 0
    """Pairs of a left and a right point that changed places, each one operation."""

    @property
    def touched_count(self) -> int:
        """Operations on points together."""
        return self.moved_count + self.added_count + self.toggled_count + self.swapped_count

    def seconds(self, params: EffortParameters) -> float:
        """Model the seconds of these operations."""
        return (
            self.moved_count * params.move_keypoint_seconds
            + self.added_count * params.add_keypoint_seconds
            + (self.toggled_count + self.swapped_count) * params.toggle_keypoint_seconds
        )


def object_keypoint_similarity(
    before: Sequence[Keypoint], after: Sequence[Keypoint], area_px: float, sigma: float
) -> float:
    """Compute OKS: the mean over the label's points of exp(-d^2 / (2 * area * (2 * sigma)^2)).

    Args:
        before: Points of the draft; one that is missing counts as infinitely far.
        after: Points of the label.
        area_px: Area of the object, square pixels.
        sigma: How far people differ, as a share of the object's size.

    Returns:
        0..1; 0 when the label has no point.
    """
    known = {point.name: point for point in before}
    scale = 2 * max(area_px, 1.0) * (2 * sigma) ** 2
    near = [
        math.exp(-(math.dist((known[p.name].x, known[p.name].y), (p.x, p.y)) ** 2) / scale)
        for p in after
        if p.name in known
    ]
    return sum(near) / len(after) if after else 0.0


def object_area(box: Box | None, points: Sequence[Keypoint]) -> float:
    """Give the area of the box, or of the smallest one around the points, square pixels."""
    if box is not None:
        return box.area
    xs, ys = [p.x for p in points], [p.y for p in points]
    return (max(xs) - min(xs)) * (max(ys) - min(ys)) if points else 0.0


def point_changes(before: Sequence[Keypoint], after: Sequence[Keypoint], tolerance_px: float) -> PointChanges:
    """Count the operations that take the points of a draft to those of a label.

    A left and a right point of one name (`left_eye`, `right_eye`) that stand in each other's place were swapped.

    Args:
        before: Points of the draft, names distinct.
        after: Points of the label, names distinct.
        tolerance_px: A point that is no farther than this from before did not move, pixels.
    """
    old, new = {p.name: p for p in before}, {p.name: p for p in after}
    swapped = {
        name
        for name in new
        if (twin := _twin(name)) in new
        and _same(old, name, new, twin, tolerance_px)
        and _same(old, twin, new, name, tolerance_px)
        and not _same(old, name, new, name, tolerance_px)
    }
    placed = {name: _twin(name) if name in swapped else name for name in new}
    both = [(old[source], new[name]) for name, source in placed.items() if source in old]
    return PointChanges(
        moved_count=sum(not _near(a, b, tolerance_px) for a, b in both),
        added_count=len(new.keys() - old.keys()),
        toggled_count=sum(a.visible != b.visible for a, b in both) + len(old.keys() - new.keys()),
        swapped_count=len(swapped) // 2,
    )


def _twin(name: str) -> str:
    side, mark, rest = name.partition("_")
    return f"{_SIDES[side]}{mark}{rest}" if side in _SIDES else ""


def _same(old: Mapping[str, Keypoint], name: str, new: Mapping[str, Keypoint], other: str, tolerance_px: float) -> bool:
    return name in old and other in new and _near(old[name], new[other], tolerance_px)


def _near(one: Keypoint, other: Keypoint, tolerance_px: float) -> bool:
    return math.dist((one.x, one.y), (other.x, other.y)) <= tolerance_px
