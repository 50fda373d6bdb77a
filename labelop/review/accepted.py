"""Labels that people finished in some other tool come in as COCO, VOC, CVAT or YOLO files and land as reviews.

The files are read by the readers of ingest, against the images the store knows: no image is opened. Such a file tells
neither time nor lineage, so the edits of its reviews come from geometry, its seconds from user events or else from a
model, and a review counts as submitted when it is imported: of two files the one that came in later is the later word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from labelop.effort.parameters import DEFAULTS
from labelop.errors import AnnotationError, ReviewError, ReviewFormatError, ReviewRecordError
from labelop.geometry import Box
from labelop.ids import row_id
from labelop.ingest.coco import read_coco
from labelop.ingest.cvat import read_cvat
from labelop.ingest.masks import extent
from labelop.ingest.sources import FoundFile, Source
from labelop.ingest.truth import BAD_FILE, ImageTruth, KnownImage
from labelop.ingest.voc import read_voc, rounded
from labelop.ingest.yolo import read_yolo
from labelop.labels import AcceptedLabel
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.review.events import read_events
from labelop.review.intake import ImportResult, Reading, encoded_name
from labelop.review.label_files import AcceptedFormat, label_files
from labelop.review.rows import label_values, review_row
from labelop.review.tasks import ReviewTask, load_ontology, load_tasks, tasks_in_force, without_pilots
from labelop.review.truth import IMPORT_ARM, truth_labels, truth_review_id
from labelop.runs import current_version
from labelop.schemas import utc_now

BAD_REVIEWS = "BAD_REVIEWS"
"""Code of a file of finished labels that was refused as a whole."""

_READERS = {"coco": read_coco, "voc": read_voc, "cvat": read_cvat, "yolo": read_yolo}
_MASKS_ALONE = frozenset({"cvat"})  # formats that can hold a mask without its box; it is read with the one around it


def import_accepted(
    store: Store,
    path: Path,
    dataset: str,
    run_id: str,
    *,
    source_format: AcceptedFormat,
    dataset_version: str | None = None,
    arm: str = IMPORT_ARM,
    reviewer: str | None = None,
    events: Path | None = None,
    tool_version: str | None = None,
) -> ImportResult:
    """Land the labels of a COCO, VOC, CVAT or YOLO file as approved reviews.

    Args:
        store: Where.
        path: What `label_files` takes.
        dataset: Dataset whose images the labels belong to.
        run_id: Run that lands them.
        source_format: `coco`, `voc`, `cvat` or `yolo`.
        dataset_version: Dataset version; the one landed last when None.
        arm: `import` for truth that owes nothing to a draft; `local` or `cloud` when the drafts of that arm were
            corrected, and then every image needs such a draft: of several the one in force when these labels came.
        reviewer: Pseudonym of who corrected them; without it corrected drafts stay pending.
        events: With a reviewer: CSV of what they did when, see `events`; the reviews it tells about are measured by
            what no earlier one has counted.
        tool_version: Version of the tool that wrote the file.

    Returns:
        Counts. Records that cannot be used are in `quarantine`; an image whose truth is landed already with other
        labels is one of them. An image whose labels are what the reviewer's files said last lands nothing, whatever
        else the file holds; other labels land as a new review, of the draft in force.

    Raises:
        RunFailedError: The dataset has never been ingested.
        ReviewError: The format is unknown, or nothing of the dataset was drafted under the arm.
        ReviewFormatError: There is nothing to read at the path, or the events are none.
        ValueError: There are events and no reviewer.
    """
    if events is not None and reviewer is None:
        raise ValueError("events without a reviewer, expected whose they are")
    if source_format not in _READERS:
        raise ReviewError(
            f"Format {source_format!r} of accepted labels is unknown, expected one of {', '.join(_READERS)}."
        )
    version = dataset_version or current_version(store, dataset)
    drafted = None if arm == IMPORT_ARM else _drafted(store, dataset, version, arm, reviewer)
    known = _known_images(store, dataset, version)
    place = label_files(path, source_format)
    images = tuple(FoundFile(image_path, 0) for image_path in known)
    source = Source(place, source_format, tuple(place.walk()), images)
    try:
        annotations = _READERS[source_format](
            source, known, load_ontology(store, dataset, version) if drafted else None
        )
    except AnnotationError as broken:  # without the class names of YOLO no label says anything
        raise ReviewFormatError(broken.message, hint=broken.hint) from broken
    reading = Reading(dataset, version, encoded_name(path), run_id, encoded_name(events) if events else None)
    worked = read_events(events, reviewer, known, source.resolver().find, reading) if events and reviewer else {}
    now = utc_now()
    for fault in annotations.faults:
        # no loss of the dataset, as its own annotation file would be: the next export may be whole
        code = BAD_REVIEWS if fault.reason == BAD_FILE else fault.reason
        error = ReviewRecordError(fault.detail, code=code, pointer=fault.pointer)
        reading.refuse(error, fault.image_id, encoded_name(place.files[fault.path]))
    for image_path, truth in annotations.truths.items():
        try:
            if drafted:
                task, review_id, labels = _corrected(truth, drafted, arm, reviewer, source_format)
            else:
                task, review_id = None, truth_review_id(version, truth.image_id)
                labels = truth_labels(truth, review_id)
            reading.take(
                review_row(
                    review_id=review_id,
                    dataset=dataset,
                    dataset_version=version,
                    image_id=truth.image_id,
                    arm=arm,
                    batch_id=task.batch_id if task else None,
                    model_id=task.model_id if task else None,
                    reviewer=reviewer,
                    labels=labels,
                    effort_source=DEFAULTS.origin if task else "none",
                    tool=source_format,
                    tool_version=tool_version,
                    source_digest=truth.source_digest,
                    submitted_at=now if task else None,
                    run_id=run_id,
                ),
                worked.get(truth.image_id, ()) if task else (),
            )
        except ReviewRecordError as error:
            reading.refuse(error.below(f"#{image_path}"), truth.image_id)
    return reading.land(store)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a reviewer said of an image last."""

    task: ReviewTask
    """The draft it was taken to correct then."""
    tool: str
    """Format it came in."""
    labels: Any
    """As `reviews` nests them."""


@dataclass(frozen=True, slots=True)
class _Drafted:
    """What files of a reviewer's finished labels can be about."""

    tasks: Mapping[str, ReviewTask]
    """Draft by image; where plans made several, the one in force."""
    said: Mapping[str, _Said]
    """What this reviewer's files said last, by image."""


def _drafted(store: Store, dataset: str, version: str, arm: str, reviewer: str | None) -> _Drafted:
    """Read the drafts of an arm, and what the reviewer's files made of them so far."""
    # what measures reviewers is no draft that anybody corrects in another tool
    drafts = [t for t in load_tasks(store, dataset, version) if t.model_id and not t.source_batch_id]
    # the last one stands; a pilot's draft only where nothing else drafted the image
    by_word = [*drafts, *without_pilots(store, dataset, drafts), *tasks_in_force(store, dataset, version, drafts)]
    tasks = {t.image_id: t for t in by_word if t.arm == arm}
    if not tasks:
        known = ", ".join(sorted({t.arm for t in drafts})) or "none"
        raise ReviewError(f"Arm {arm!r} drafted nothing of {dataset} {version}, expected one that did: {known}.")
    of_batch = {(t.image_id, t.batch_id): t for t in drafts}
    where = equal(dataset=dataset, dataset_version=version, arm=arm)
    columns = ["image_id", "batch_id", "reviewer", "tool", "labels", "submitted_at"]
    rows = [
        row
        for row in read_rows(store, "reviews", columns=columns, filters=where & ds.field("tool").isin(list(_READERS)))
        if row["reviewer"] == reviewer and row["submitted_at"]
    ]
    said = {
        row["image_id"]: _Said(of_batch[row["image_id"], row["batch_id"]], row["tool"], row["labels"])
        for row in sorted(rows, key=itemgetter("submitted_at"))
        if (row["image_id"], row["batch_id"]) in of_batch
    }
    return _Drafted(tasks, said)


def _known_images(store: Store, dataset: str, version: str) -> dict[str, KnownImage]:
    rows = read_rows(
        store,
        "images",
        columns=["path", "image_id", "width_px", "height_px"],
        filters=equal(dataset=dataset, dataset_version=version, outcome="ok"),
    )
    return {
        row["path"]: KnownImage(row["image_id"], row["width_px"], row["height_px"])
        for row in sorted(rows, key=lambda r: str(r["path"]))
    }


def _corrected(
    truth: ImageTruth, drafted: _Drafted, arm: str, reviewer: str | None, tool: str
) -> tuple[ReviewTask, str, Sequence[AcceptedLabel]]:
    """Say which draft an image's labels correct, name the first review of it, and give its labels.

    Labels that the reviewer's files said last are the review that they were then, whatever else this file holds and
    whichever plan came since; others are of the draft in force.
    """
    said = drafted.said.get(truth.image_id)
    if said is not None:
        review_id = row_id("r", said.task.task_uid, reviewer, said.tool)
        labels = _with_boxes_of_drafts(truth_labels(truth, review_id), said.task, tool)
        if label_values(labels) == said.labels:
            return said.task, review_id, labels
    task = drafted.tasks.get(truth.image_id)
    if task is None:
        raise ReviewRecordError(f"no draft of the arm {arm!r} exists for this image", code="UNKNOWN_TASK")
    review_id = row_id("r", task.task_uid, reviewer, tool)
    return task, review_id, _with_boxes_of_drafts(truth_labels(truth, review_id), task, tool)


def _with_boxes_of_drafts(labels: Sequence[AcceptedLabel], task: ReviewTask, tool: str) -> Sequence[AcceptedLabel]:
    """Give labels the box of the draft they are of where the format cannot hold it.

    Of a mask without a box it stands while its mask does.
    """
    if tool == "voc":
        return _with_fractions_of_drafts(labels, task)
    if tool not in _MASKS_ALONE:
        return labels
    boxes = {draft.mask_rle: draft.box for draft in task.drafts}
    return [
        replace(label, box=boxes[label.mask_rle]) if label.mask_rle in boxes and _is_alone(label, task) else label
        for label in labels
    ]


def _with_fractions_of_drafts(labels: Sequence[AcceptedLabel], task: ReviewTask) -> Sequence[AcceptedLabel]:
    """Give boxes of whole pixels the fractions of the draft that is the same box in whole pixels: nobody moved it."""
    drafts: defaultdict[tuple[float, ...], dict[str, Box]] = defaultdict(dict)
    for draft in task.drafts:
        if draft.box is not None:
            drafts[rounded(draft.box, task.width_px, task.height_px)].setdefault(draft.label, draft.box)
    told = []
    for label in labels:
        boxes = drafts.get(label.box.xyxy, {}) if label.box else {}
        # of drafts that are one box in whole pixels that of its class; without one it was relabelled
        box = boxes.get(label.label) or next(iter(boxes.values()), label.box)
        told.append(replace(label, box=box))
    return told


def _is_alone(label: AcceptedLabel, task: ReviewTask) -> bool:
    """Say whether a label has a mask and no other box than the one around it."""
    return label.mask_rle is not None and label.box == Box(*extent(label.mask_rle, task.height_px))
