"""Corrections come back from Label Studio: each annotation lands as one review, or as one quarantine row that says why.

Knows how a file is made of tasks and annotations; what an annotation means is known by `annotation_review`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelop.errors import ReviewRecordError
from labelop.ids import sha256_hex
from labelop.landing.store import Store
from labelop.review import annotation_forms as forms
from labelop.review.annotation_review import MOST_LEAD_SECONDS, review_of
from labelop.review.intake import ImportContext, ImportResult, Reading, encoded_name, load_context
from labelop.review.tasks import ReviewTask


def import_reviews(
    store: Store,
    path: Path,
    dataset: str,
    run_id: str,
    *,
    dataset_version: str | None = None,
    tool: str = "label_studio",
    tool_version: str | None = None,
    simulated: bool = False,
    pseudonyms: Mapping[str, str] | None = None,
    context: ImportContext | None = None,
) -> ImportResult:
    """Land the annotations of a Label Studio JSON export as reviews.

    Args:
        store: Where.
        path: The export.
        dataset: Dataset it is about.
        run_id: Run that lands it.
        dataset_version: Dataset version; the one landed last when None.
        tool: Name for `reviews.tool`.
        tool_version: Version of the tool; lead times of different versions differ.
        simulated: Whether no person made these annotations.
        pseudonyms: Pseudonym by the tool's user id; others are derived from the id.
        context: What `load_context` gave, to import many files with one look at the tables.

    Returns:
        Counts. The same file a second time lands nothing.

    Raises:
        ReviewFormatError: The file is no JSON list.
        ReviewError: The dataset has no images.
    """
    known = context or load_context(store, dataset, dataset_version)
    records, data = forms.read_records(path)
    reading = Reading(known.dataset, known.dataset_version, encoded_name(path), run_id)
    facts = {"tool": tool, "tool_version": tool_version, "simulated": simulated, "source_digest": sha256_hex(data)}
    for number, record in enumerate(records):
        take_record(reading, f"/{number}", record, known, pseudonyms=pseudonyms or {}, facts=facts)
    return reading.land(store)


def take_record(
    reading: Reading,
    pointer: str,
    record: Any,
    known: ImportContext,
    *,
    pseudonyms: Mapping[str, str],
    facts: Mapping[str, Any],
) -> None:
    """Take the annotations of one task in; whatever cannot be used is refused alone.

    Args:
        reading: Collects reviews and refusals.
        pointer: JSON pointer of the record.
        record: The task with its annotations as the tool wrote it, unchecked.
        known: What the tables know about the dataset.
        pseudonyms: Pseudonym by the tool's user id; others are derived from the id.
        facts: Columns of `reviews` that say where the record is from.
    """
    try:
        task, annotations = _task_of(record, known)
    except ReviewRecordError as error:
        reading.refuse(error.below(pointer))
        return
    if not annotations:
        missing = ReviewRecordError("nobody has annotated it", code="NO_ANNOTATION", pointer=f"{pointer}/annotations")
        reading.refuse(missing, task.image_id)
    common = {**facts, "run_id": reading.run_id}
    for index, value in enumerate(annotations):
        place = f"{pointer}/annotations/{index}"
        try:
            row = review_of(task, value, known.ontology, pseudonyms=pseudonyms, common=common)
            reading.take(row, pointer=place)
        except ReviewRecordError as error:
            reading.refuse(error.below(place), task.image_id)
            continue
        if row["lead_seconds"] is None and value.get("lead_time") is not None:
            most = f"more than 0, at most {MOST_LEAD_SECONDS}"
            said = f"{value['lead_time']} s measure nothing, expected {most}: the review has none"
            left_out = ReviewRecordError(said, code="LEAD_TIME", pointer=f"{place}/lead_time")
            reading.refuse(left_out, task.image_id)


def _task_of(record: Any, known: ImportContext) -> tuple[ReviewTask, list[Any]]:
    form = forms.task_record(record)
    task = known.tasks.get(form.data.task_uid)
    if task is None:
        raise ReviewRecordError(
            f"task {form.data.task_uid!r} is none of {known.dataset} {known.dataset_version}",
            code="UNKNOWN_TASK",
            pointer="/data/task_uid",
        )
    for name, code in (("image_id", "WRONG_IMAGE"), ("dataset", "WRONG_DATASET"), ("dataset_version", "WRONG_DATASET")):
        if getattr(form.data, name) not in {None, getattr(task, name)}:
            raise ReviewRecordError(
                f"task {task.task_uid} has another {name} than the one it was made for",
                code=code,
                pointer=f"/data/{name}",
            )
    return task, form.annotations
