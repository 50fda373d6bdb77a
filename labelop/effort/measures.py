"""The few numbers that correction effort is told in, as plain functions of counts and seconds.

The SQL views compute the same numbers from the `edits` table; these are what the tests hold them to. Formulas:
`measures.md` section 7. Undefined is None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.effort.script import Edit


def edits_count(edits: Iterable[Edit]) -> int:
    """Count edits: E = relabel + adjust + delete + add (`measures.md` section 7)."""
    return sum(edit.edits_count for edit in edits)


def human_edit_rate(edits_per_image: Sequence[int], labels_per_image: Sequence[int]) -> float:
    """Relate edits to accepted labels: HER = sum E / max(1, sum n_final) (`measures.md` section 7).

    Args:
        edits_per_image: Edits of each image.
        labels_per_image: Accepted labels of the same images.

    Returns:
        The rate over all images together; may exceed 1.
    """
    if len(edits_per_image) != len(labels_per_image):
        raise ValueError(f"{len(edits_per_image)} images with edits but {len(labels_per_image)} with labels")
    return sum(edits_per_image) / max(1, sum(labels_per_image))


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


def saving(modelled_seconds: Iterable[float], from_scratch_seconds: Iterable[float]) -> float | None:
    """Compare with no drafts at all: 1 - sum T / sum T_scratch; negative when drafts cost more than they give.

    Formula: `measures.md` section 7. None when nothing was labelled.
    """
    scratch = sum(from_scratch_seconds)
    return 1 - sum(modelled_seconds) / scratch if scratch else None


def active_seconds(event_seconds: Iterable[float], gap_cap_seconds: float = DEFAULTS.gap_cap_seconds) -> float:
    """Sum the gaps between events that are strictly below the cap (`measures.md` sections 1.4 and 7).

    Args:
        event_seconds: Times of a reviewer's events on one image, seconds, any order.
        gap_cap_seconds: A gap of this length or longer is a pause, seconds.
    """
    gaps = (after - before for before, after in pairwise(sorted(event_seconds)))
    return sum(gap for gap in gaps if gap < gap_cap_seconds)


def lead_time_cap_seconds(regions_count: int, gap_cap_seconds: float = DEFAULTS.gap_cap_seconds) -> float:
    """Bound the active seconds of a tool that only tells one lead time.

    A tool's lead time is an upper bound that holds every pause (`measures.md` 1.4). Touching `regions_count` objects
    and submitting makes that many events plus one, hence as many gaps, of which none may reach the cap.
    """
    return (regions_count + 1) * gap_cap_seconds
