"""The numbers behind modelled effort, in one frozen object with a name, so that every modelled second can be traced.

Knows no table and no matching. Defaults: `measures.md` section 9; each is a literature prior to be taken with 50 % of
doubt until it is calibrated on measured reviews.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf

from labelop.ids import digest_of

MOST_ERROR = 0.25
"""Median relative error, for reviewers left out, above which calibrated seconds are not used."""

_ORIGINS = {"literature": "literature-2026-11", "calibrated": "calibrated"}  # with when it was gathered


@dataclass(frozen=True, slots=True)
class EffortParameters:
    """Thresholds and seconds of the minimum-cost edit script."""

    origin: str = "literature"
    """Where the seconds are from: literature | calibrated; the effort source of what is modelled with them."""
    tau_match: float = 0.50
    """Least IoU at which a draft and an accepted box may be paired, 0..1."""
    tau_same: float = 0.99
    """Least IoU at which a box counts as untouched, 0..1; for labels corrected from the very draft."""
    drag_tolerance_px: float = 0.5
    """An edge that moved by no more than this many pixels did not move."""
    gap_cap_seconds: float = 100.0
    """A pause of this length or longer is not work, seconds."""
    base_box_seconds: float = 7.8
    """Looking over one image for missed objects, seconds."""
    base_class_seconds: float = 1.2
    """Looking at one image that only has labels of the whole image, seconds."""
    accept_box_seconds: float = 1.8
    """Confirming one draft box, seconds."""
    accept_class_seconds: float = 1.6
    """Confirming one label of the whole image, seconds."""
    relabel_seconds: float = 3.8
    """Choosing another class from a short list, seconds."""
    adjust_one_drag_seconds: float = 4.9
    """Moving a box or one of its edges or corners, seconds."""
    adjust_two_drags_seconds: float = 7.3
    """Moving two opposite corners of a box, seconds."""
    delete_seconds: float = 2.8
    """Removing one draft, seconds."""
    add_box_seconds: float = 12.5
    """Drawing one box and choosing its class, seconds."""
    add_class_seconds: float = 5.1
    """Choosing a label of the whole image where none was proposed, seconds."""
    keypoint_sigma: float = 0.09
    """How far people differ on a keypoint, as a share of the object's size; the scale of OKS."""
    accept_mask_seconds: float = 1.8
    """Confirming one draft mask, seconds."""
    adjust_mask_seconds: float = 2.5
    """Taking up one mask to correct it, before the first click or vertex, seconds."""
    mask_click_seconds: float = 2.5
    """One corrective click on a mask, seconds."""
    mask_vertex_seconds: float = 1.3
    """Moving, adding or removing one vertex of an outline, seconds."""
    add_mask_seconds: float = 79.0
    """Outlining one object by hand, seconds."""
    add_assisted_mask_seconds: float = 14.0
    """Outlining one object with a model that turns clicks into masks, seconds."""
    accept_keypoints_seconds: float = 1.8
    """Confirming the keypoints of one object, seconds."""
    move_keypoint_seconds: float = 3.6
    """Moving one keypoint, seconds."""
    add_keypoint_seconds: float = 2.5
    """Setting one keypoint that was not proposed, seconds."""
    toggle_keypoint_seconds: float = 2.8
    """Saying of one keypoint that it is hidden, visible or not there; or swapping one pair of sides, seconds."""

    def __post_init__(self) -> None:
        if not 0.0 < self.tau_match <= self.tau_same <= 1.0:
            raise ValueError(
                f"tau_match {self.tau_match} and tau_same {self.tau_same}: expected 0 < match <= same <= 1"
            )
        if self.origin not in _ORIGINS:
            raise ValueError(f"origin {self.origin!r}, expected one of {', '.join(_ORIGINS)}")
        for name, value in asdict(self).items():
            if name != "origin" and not 0 <= value < inf:
                raise ValueError(f"{name} {value}, expected a number of at least 0")

    @property
    def parameter_set(self) -> str:
        """Name of this set: where it comes from and 12 hex digits of its content."""
        return f"{_ORIGINS[self.origin]}-{digest_of(asdict(self))[:12]}"

    def base_seconds(self, *, boxes: bool) -> float:
        """Seconds one image takes before any operation; `boxes` says whether objects are looked for."""
        return self.base_box_seconds if boxes else self.base_class_seconds

    def adjust_seconds(self, drags_count: int) -> float:
        """Seconds of an adjustment with this many drags; none takes none."""
        if drags_count <= 0:
            return 0.0
        return self.adjust_one_drag_seconds if drags_count == 1 else self.adjust_two_drags_seconds


DEFAULTS = EffortParameters()
"""The parameters of `measures.md` section 9."""
