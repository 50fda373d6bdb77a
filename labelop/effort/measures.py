"""The few numbers that correction effort is told in, as plain functions of counts and seconds.

The SQL views compute the same numbers from the `edits` table; these are what the tests hold them to. Formulas:
`measures.md` section 7. Undefined is None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite

from labelop.effort.changes import Size, kind_of
from labelop.effort.estimates import Estimate, ratio
from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.effort.script import Edit, add_seconds
from labelop.labels import AcceptedLabel

MEASURED = "measured"
"""Effort source of seconds that a tool measured; the others are the origins of parameters."""


@dataclass(frozen=True, slots=True)
class ImageEffort:
    """What one image took, by one review of it."""

    predictions_count: int
    """Drafts that were shown."""
    labels_count: int
    """Labels that were accepted."""
    accepts_count: int
    """Drafts accepted as they were."""
    edits_count: int
    """Edits; adjusting and relabelling one object is two."""
    model_seconds: float
    """Modelled seconds of the review."""
    scratch_seconds: float
    """Modelled seconds of the same labels without any draft."""
    active_seconds: float | None
    """Measured seconds; None when nobody measured."""
    effort_source: str
    """measured | calibrated | literature: what `seconds` is; the three are never put together in one mean."""

    @property
    def seconds(self) -> float:
        """Seconds of the effort source."""
        return self.model_seconds if self.active_seconds is None else self.active_seconds


def effort_of(
    edits: Sequence[Edit],
    *,
    active_seconds: float | None = None,
    outline_size: Size | None = None,
    params: EffortParameters = DEFAULTS,
) -> ImageEffort:
    """Sum up the script of one image.

    Args:
        edits: The script, as `edit_script` gives it.
        active_seconds: Measured seconds of the review; None when nobody measured.
        outline_size: Size of the image where outlines are corrected, the same as for the script.
        params: Seconds per operation, the same as those of the script.

    Returns:
        Counts and seconds. Only an image whose labels are all labels of the whole image is looked over for those.

    Raises:
        ValueError: The measured seconds are below 0, NaN or infinite.
    """
    if active_seconds is not None and not 0 <= active_seconds < inf:
        raise ValueError(f"{active_seconds} active seconds, expected a number of at least 0")
    labels = [edit.accepted for edit in edits if edit.accepted is not None]
    boxes = looks_for_objects(labels)
    added = [add_seconds(label, params, outline_size) for label in labels]
    return ImageEffort(
        predictions_count=sum(edit.prediction is not None for edit in edits),
        labels_count=len(labels),
        accepts_count=sum(edit.op == "accept" for edit in edits),
        edits_count=edits_count(edits),
        model_seconds=model_seconds(edits, boxes=boxes, params=params),
        scratch_seconds=params.base_seconds(boxes=boxes) + sum(added),
        active_seconds=active_seconds,
        effort_source=params.origin if active_seconds is None else MEASURED,
    )


def looks_for_objects(labels: Sequence[AcceptedLabel]) -> bool:
    """Say whether an image was looked over for objects: all but one that only got labels of the whole image."""
    return not labels or any(kind_of(label) != "image" for label in labels)


def edits_count(edits: Iterable[Edit]) -> int:
    """Count edits: E = relabel + adjust + delete + add (`measures.md` section 7)."""
    return sum(edit.edits_count for edit in edits)


def human_edit_rate(edits_per_image: Sequence[int], labels_per_image: Sequence[int], *, seed: int = 0) -> Estimate:
    """Relate edits to accepted labels: HER = sum E / max(1, sum n_final) (`measures.md` section 7).

    Args:
        edits_per_image: Edits of each image.
        labels_per_image: Accepted labels of the same images.
        seed: Of the draws of the interval.

    Returns:
        The rate over all images together, which may exceed 1, with its 95 % interval over images; undefined without.

    Raises:
        ValueError: The two are not about the same images, or hold NaN, infinity or what is below 0.
    """
    _check_no_negative(edits_per_image)
    return ratio(edits_per_image, labels_per_image, least_below=1.0, seed=seed)


def accept_rate(edits: Iterable[Edit]) -> float | None:
    """Share of drafts accepted as they were; None without drafts (`measures.md` section 7)."""
    of_drafts = [edit for edit in edits if edit.prediction is not None]
    return sum(edit.op == "accept" for edit in of_drafts) / len(of_drafts) if of_drafts else None


def model_seconds(edits: Iterable[Edit], *, boxes: bool, params: EffortParameters = DEFAULTS) -> float:
    """Model the seconds one image took: T_model = t_base + sum of operation seconds (`measures.md` section 7).

    Args:
        edits: The script of one image.
        boxes: Whether objects are looked for in the image.
        params: Seconds per operation.
    """
    return params.base_seconds(boxes=boxes) + sum(edit.model_seconds for edit in edits)


def scratch_seconds(
    boxes_count: int, image_labels_count: int, *, boxes: bool, params: EffortParameters = DEFAULTS
) -> float:
    """Model the seconds without any draft: T_scratch = t_base + n_final * t_add (`measures.md` section 7).

    Args:
        boxes_count: Accepted boxes of one image.
        image_labels_count: Accepted labels of the whole image.
        boxes: Whether objects are looked for in the image.
        params: Seconds per operation.
    """
    added = boxes_count * params.add_box_seconds + image_labels_count * params.add_class_seconds
    return params.base_seconds(boxes=boxes) + added


def saving(spent_seconds: Sequence[float], scratch_seconds: Sequence[float], *, seed: int = 0) -> Estimate:
    """Compare with no drafts at all: 1 - sum T / sum T_scratch; negative when drafts cost more than they give.

    Formula: `measures.md` section 7. For the measured version give the seconds of the same images in the arm and in the
    blind arm: 1 - mean T_arm / mean T_blind. Both must be from one effort source.

    Args:
        spent_seconds: Seconds of each image with drafts.
        scratch_seconds: Seconds of the same images without.
        seed: Of the draws of the interval.

    Returns:
        The saving with its 95 % interval over images; undefined when nothing was labelled.

    Raises:
        ValueError: The two are not about the same images, or hold NaN, infinity or what is below 0.
    """
    _check_no_negative(spent_seconds)
    share = ratio(spent_seconds, scratch_seconds, seed=seed)
    # what is subtracted turns the interval around
    return Estimate(_rest(share.value), _rest(share.high), _rest(share.low), share.count)


def _check_no_negative(values: Sequence[float]) -> None:
    if any(value < 0 for value in values):
        raise ValueError(f"one image has {min(values)}, expected at least 0")


def _rest(share: float | None) -> float | None:
    return None if share is None else 1 - share


def active_seconds(event_seconds: Iterable[float], gap_cap_seconds: float = DEFAULTS.gap_cap_seconds) -> float:
    """Sum the gaps between events that are strictly below the cap (`measures.md` sections 1.4 and 7).

    Args:
        event_seconds: Times of a reviewer's events on one image, seconds, any order.
        gap_cap_seconds: A gap of this length or longer is a pause, seconds.

    Raises:
        ValueError: A time is NaN or infinite, or the cap is not above 0.
    """
    times = sorted(event_seconds)
    if not all(map(isfinite, times)):
        raise ValueError("an event has no finite time in seconds")
    if not gap_cap_seconds > 0:
        raise ValueError(f"gap_cap_seconds {gap_cap_seconds}, expected more than 0")
    gaps = (after - before for before, after in pairwise(times))
    return sum(gap for gap in gaps if gap < gap_cap_seconds)


def lead_time_cap_seconds(regions_count: int, gap_cap_seconds: float = DEFAULTS.gap_cap_seconds) -> float:
    """Bound the active seconds of a tool that only tells one lead time.

    A tool's lead time is an upper bound that holds every pause (`measures.md` 1.4). Touching `regions_count` objects
    and submitting makes that many events plus one, hence as many gaps, of which none may reach the cap.
    """
    return (regions_count + 1) * gap_cap_seconds
