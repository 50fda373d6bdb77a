"""One annotation of a review tool becomes one review, or the reason why it cannot.

Knows one task and its drafts, no file and no store. Lineage is the region's id: the editor keeps the id of the draft a
region started from. Nothing an annotation says is taken over as text except class names and ids we know.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from labelop.effort.measures import lead_time_cap_seconds
from labelop.effort.parameters import DEFAULTS
from labelop.errors import ReviewError, ReviewRecordError
from labelop.geometry import Box, boxes_to_array, from_percent, iou_matrix
from labelop.ids import digest_of, row_id
from labelop.labels import AcceptedLabel, Ontology, Prediction
from labelop.review import annotation_forms as forms
from labelop.review import brush
from labelop.review.rows import review_row
from labelop.review.tasks import ReviewTask
from labelop.schemas import utc_now
from labelop.strict_text import is_line

MOST_LEAD_SECONDS = 86_400.0
"""Lead time above which it measures nothing: a day; an editor was left open, or the number is none."""

_PIXEL_DIGITS = 4
_FRAME_TOLERANCE = 0.02
CLOCK_AHEAD = dt.timedelta(hours=1)
"""How far the clock of a review tool may be ahead of ours."""
EARLIEST = dt.datetime(2015, 1, 1, tzinfo=dt.UTC)
"""No tool that we read is older. When a draft landed is no bound: a store built again has the same drafts later."""


def review_of(
    task: ReviewTask, value: Any, ontology: Ontology, *, pseudonyms: Mapping[str, str], common: Mapping[str, Any]
) -> dict[str, Any]:
    """Turn one annotation into a row of `reviews`; unmeasured where its lead time is 0 or above `MOST_LEAD_SECONDS`.

    Args:
        task: What was reviewed.
        value: The annotation as the file has it, unchecked.
        ontology: Classes that may be used.
        pseudonyms: Pseudonym by the tool's user id.
        common: Columns that all reviews of the file share.

    Raises:
        ReviewRecordError: Something in it cannot be used; a review is taken whole or not at all.
    """
    form = forms.annotation(value)
    if form.submitted_at is not None and form.submitted_at > utc_now() + CLOCK_AHEAD:
        # of several reviews the last one counts: this one would for ever
        raise ReviewRecordError("it was submitted in the future", code="FUTURE_TIME", pointer="/updated_at")
    _check_past(form)
    reviewer = _reviewer(form.completed_by, pseudonyms)
    name = form.unique_id or form.id
    review_id = row_id("r", task.task_uid, reviewer, digest_of(form.result) if name is None else name)
    labels = [] if form.was_cancelled else _labels(task, form.result, ontology, review_id)
    lead = form.lead_time if form.lead_time and form.lead_time <= MOST_LEAD_SECONDS else None
    return review_row(
        review_id=review_id,
        dataset=task.dataset,
        dataset_version=task.dataset_version,
        image_id=task.image_id,
        arm=task.arm,
        batch_id=task.batch_id,
        model_id=task.model_id,
        reviewer=reviewer,
        decision="rejected" if form.was_cancelled else "approved",
        labels=labels,
        lead_seconds=lead,
        active_seconds=None if lead is None else min(lead, _cap_seconds(task, labels)),
        effort_source="literature" if lead is None else "measured",
        submitted_at=form.submitted_at,
        **common,
    )


def _check_past(form: forms.Annotation) -> None:
    for name, text in (("created_at", form.created_at), ("updated_at", form.updated_at)):
        if text is not None and forms.parse_time(text) < EARLIEST:
            raise ReviewRecordError(f"it is from before {EARLIEST:%Y}", code="PAST_TIME", pointer=f"/{name}")


def _cap_seconds(task: ReviewTask, labels: Sequence[AcceptedLabel]) -> float:
    return lead_time_cap_seconds(len({d.prediction_id for d in task.drafts}) + len(labels), DEFAULTS.gap_cap_seconds)


def _reviewer(completed_by: int | str | forms.Person | None, pseudonyms: Mapping[str, str]) -> str | None:
    """Give the reviewer's pseudonym, None where nobody is named; names and addresses of people never reach a table."""
    said = (completed_by.id, completed_by.email) if isinstance(completed_by, forms.Person) else (completed_by,)
    user = next((str(one) for one in said if one is not None and names_somebody(str(one))), None)
    return None if user is None else pseudonyms.get(forms.shown(user)) or pseudonym_of(user)


def names_somebody(user: str) -> bool:
    """Say whether a user id holds anything that can be seen; a blank one would approve for nobody."""
    return any(sign.isprintable() and not sign.isspace() for sign in user)


def pseudonym_of(user: str) -> str:
    """Name a user of a review tool as the tables do: they hold no name and no address of a person."""
    return row_id("reviewer", forms.shown(user))[:17]


def pseudonym_of_typed(user: str) -> str:
    """Name the user whose id a person typed: with a blank beside it, it would be a second person, unknown to the tool.

    Raises:
        ReviewError: It is empty, has blanks around, or holds what cannot be printed.
    """
    if not is_line(user):
        raise ReviewError(
            f"The reviewer is '{forms.shown(user)}'; expected a user id of printable characters without blanks around.",
            hint="Give the user id as the review tool shows it.",
        )
    return pseudonym_of(user)


def _labels(task: ReviewTask, result: Sequence[Any], ontology: Ontology, review_id: str) -> list[AcceptedLabel]:
    drafts = {draft.prediction_id: draft for draft in task.drafts}
    labels: list[AcceptedLabel] = []
    seen: set[str] = set()
    drawn: set[tuple[str, Box | str | None]] = set()
    for index, value in enumerate(result):
        try:
            form = forms.region(value)
            if form is None:
                continue
            _note_once(form.id, seen)
            draft = drafts.get(form.draft_id or "")
            label_id = row_id("l", review_id, index)
            if isinstance(form, forms.ChoiceRegion):
                new = _image_labels(form, ontology, label_id, draft)
            elif isinstance(form, forms.BoxRegion):
                new = [_box_label(task, form, ontology, label_id, draft)]
            else:
                new = [_mask_label(task, form, ontology, label_id, draft)]
            for label in new:
                # a box may have the mask of its draft, and its double none
                _draw_once(label.label, label.mask_rle if isinstance(form, forms.BrushRegion) else label.box, drawn)
        except ReviewRecordError as error:
            raise error.below(f"/result/{index}") from error
        for label in new:
            if label.prediction_id is not None:
                drafts.pop(label.prediction_id, None)  # a copy of an object has no origin
            labels.append(label)
    return labels


def _note_once(region_id: str, seen: set[str]) -> None:
    """Refuse a region that stands in its annotation already: it would be two objects."""
    if region_id and region_id in seen:
        raise ReviewRecordError(f"region {region_id!r} stands twice", code="DUPLICATE", pointer="/id")
    seen.add(region_id)


def _draw_once(label: str, place: Box | str | None, drawn: set[tuple[str, Box | str | None]]) -> None:
    """Refuse what equals another object of its annotation to the last digit: it is one that was drawn twice."""
    if (label, place) in drawn:
        raise ReviewRecordError(f"{label!r} stands twice at one place", code="DUPLICATE", pointer="/value")
    drawn.add((label, place))


def _box_label(
    task: ReviewTask, form: forms.BoxRegion, ontology: Ontology, label_id: str, draft: Prediction | None
) -> AcceptedLabel:
    value = form.value
    if value.rotation:
        raise ReviewRecordError(
            f"rotation is {value.rotation} degrees, expected 0", code="ROTATED_BOX", pointer="/value/rotation"
        )
    _check_frame(task, form)
    label = _known(value.rectanglelabels[0], ontology.box_classes, "/value/rectanglelabels/0")
    box = _pixels(task, value)
    if draft is None or draft.box is None:
        return AcceptedLabel(label_id, label, box)
    same = iou_matrix(boxes_to_array([draft.box]), boxes_to_array([box]))[0, 0] >= DEFAULTS.tau_same
    # a mask was drawn from its box: it stands while the box does
    return AcceptedLabel(label_id, label, box, draft.mask_rle if same else None, draft.prediction_id)


def _mask_label(
    task: ReviewTask, form: forms.BrushRegion, ontology: Ontology, label_id: str, draft: Prediction | None
) -> AcceptedLabel:
    _check_frame(task, form)
    label = _known(form.value.brushlabels[0], ontology.box_classes, "/value/brushlabels/0")
    try:
        mask = brush.decode(form.value.rle, task.width_px, task.height_px)
    except ValueError as error:
        raise ReviewRecordError(str(error), code="BAD_MASK", pointer="/value/rle") from error
    box, counts = brush.box_of_mask(mask), brush.to_counts(mask)
    if box is None:
        raise ReviewRecordError("a mask has no pixel", code="BAD_MASK", pointer="/value/rle")
    if draft is None or draft.box is None:
        return AcceptedLabel(label_id, label, box, counts, clicks_count=form.clicks_count)
    # the draft's box is finer than pixels: it stands while its mask does
    return AcceptedLabel(label_id, label, draft.box if counts == draft.mask_rle else box, counts, draft.prediction_id)


def _check_frame(task: ReviewTask, form: forms.BoxRegion | forms.BrushRegion) -> None:
    """Refuse what was drawn on an image that was not upright."""
    if form.image_rotation % 360:
        raise ReviewRecordError(
            f"drawn on an image turned by {form.image_rotation} degrees, expected 0",
            code="WRONG_FRAME",
            pointer="/image_rotation",
        )
    if not form.original_width or not form.original_height:
        return
    wanted, got = task.width_px / task.height_px, form.original_width / form.original_height
    if abs(got / wanted - 1) > _FRAME_TOLERANCE:
        raise ReviewRecordError(
            f"drawn on {form.original_width} x {form.original_height}, "
            f"the upright image has {task.width_px} x {task.height_px} pixels",
            code="WRONG_FRAME",
            pointer="/original_width",
        )


def _pixels(task: ReviewTask, value: forms.BoxValue) -> Box:
    try:
        box = from_percent(value.x, value.y, value.width, value.height, task.width_px, task.height_px)
        cut = box.clipped(task.width_px, task.height_px)
        # percent and back leaves dust in the last digits
        return Box(*(round(edge, _PIXEL_DIGITS) for edge in cut.xyxy)) if cut else _no_area()
    except ValueError as error:
        raise ReviewRecordError(str(error), code="BAD_BOX", pointer="/value") from error


def _no_area() -> Box:
    raise ValueError("nothing of the box lies in the image")


def _image_labels(
    form: forms.ChoiceRegion, ontology: Ontology, label_id: str, draft: Prediction | None
) -> list[AcceptedLabel]:
    labels = [
        AcceptedLabel(row_id("l", label_id, n), _known(text, ontology.image_classes, f"/value/choices/{n}"))
        for n, text in enumerate(form.value.choices)
    ]
    if draft is not None and draft.box is None:
        labels[0] = replace(labels[0], prediction_id=draft.prediction_id)
    return labels


def _known(label: str, classes: Sequence[str], pointer: str) -> str:
    if label not in classes:
        raise ReviewRecordError(
            f"label {label!r}, expected one of {', '.join(classes)}", code="UNKNOWN_LABEL", pointer=pointer
        )
    return label
