"""Corrections come back: each annotation of a file lands as one review, or as one quarantine row that says why not.

Knows the tables; what an annotation means is known by `annotation_review`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from labelop.ids import digest_of, sha256_hex
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.review import annotation_forms as forms
from labelop.review.annotation_forms import RecordError
from labelop.review.annotation_review import review_of
from labelop.review.rows import landed_values
from labelop.review.tasks import Ontology, ReviewTask, current_version, load_ontology, load_tasks


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of the records of one file; `landed + quarantined + skipped` is all of them."""

    landed: int
    """Reviews landed by this call."""
    quarantined: int
    """Records that could not be used; each has a row in `quarantine`."""
    skipped: int
    """Reviews that were landed before."""

    def __add__(self, other: ImportResult) -> ImportResult:
        return ImportResult(
            self.landed + other.landed, self.quarantined + other.quarantined, self.skipped + other.skipped
        )


@dataclass(frozen=True, slots=True)
class ImportContext:
    """What the tables know about the dataset a file is about; read once for many files."""

    dataset: str
    """Dataset name."""
    dataset_version: str
    """Dataset version."""
    tasks: Mapping[str, ReviewTask]
    """Tasks by name."""
    ontology: Ontology
    """Classes that may be used."""


def load_context(store: Store, dataset: str, dataset_version: str | None = None) -> ImportContext:
    """Read what an import needs to know about a dataset.

    Raises:
        ReviewError: The dataset has no images.
    """
    version = dataset_version or current_version(store, dataset)
    tasks = {task.task_uid: task for task in load_tasks(store, dataset, version)}
    return ImportContext(dataset, version, tasks, load_ontology(store, dataset, version))


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
    reading = _Reading(known, quote(path.name, errors="surrogateescape"), run_id)
    common = {
        "tool": tool,
        "tool_version": tool_version,
        "simulated": simulated,
        "source_digest": sha256_hex(data),
        "run_id": run_id,
    }
    for number, record in enumerate(records):
        try:
            task, annotations = _task_of(record, known)
        except RecordError as error:
            reading.refuse(error.below(f"/{number}"))
            continue
        for index, value in enumerate(annotations):
            try:
                row = review_of(task, value, known.ontology, pseudonyms=pseudonyms or {}, common=common)
                reading.take(row)
            except RecordError as error:
                reading.refuse(error.below(f"/{number}/annotations/{index}"), task.image_id)
    return _land(store, reading)


@dataclass(slots=True)
class _Reading:
    """What one file has given so far."""

    known: ImportContext
    path: str
    run_id: str
    reviews: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)

    def take(self, row: dict[str, Any]) -> None:
        if row["review_id"] in self.reviews:
            raise RecordError(f"review {row['review_id']} is in this file already", code="DUPLICATE")
        self.reviews[row["review_id"]] = row

    def refuse(self, error: RecordError, image_id: str | None = None) -> None:
        self.problems.append(
            {
                "dataset": self.known.dataset,
                "dataset_version": self.known.dataset_version,
                "path": self.path,
                "pointer": error.pointer,
                "image_id": image_id,
                "reason": error.code,
                "detail": error.detail,
                **landed_values(self.run_id),
            }
        )


def _task_of(record: Any, known: ImportContext) -> tuple[ReviewTask, list[Any]]:
    form = forms.task_record(record)
    task = known.tasks.get(form.data.task_uid)
    if task is None:
        raise RecordError(
            f"task {form.data.task_uid!r} is none of {known.dataset} {known.dataset_version}",
            code="UNKNOWN_TASK",
            pointer="/data/task_uid",
        )
    return task, form.annotations


def _land(store: Store, reading: _Reading) -> ImportResult:
    """Land what is new; an annotation that was changed after its import is not taken silently."""
    known = reading.known
    before = {
        row["review_id"]: row
        for row in read_rows(
            store,
            "reviews",
            columns=["review_id", "labels", "decision"],
            filters=equal(dataset=known.dataset, dataset_version=known.dataset_version),
        )
    }
    fresh, skipped = [], 0
    for review_id, row in reading.reviews.items():
        earlier = before.get(review_id)
        if earlier is None:
            fresh.append(row)
        elif (earlier["labels"], earlier["decision"]) == (row["labels"], row["decision"]):
            skipped += 1
        else:
            error = RecordError(f"review {review_id} is landed with other labels", code="CHANGED_AFTER_IMPORT")
            reading.refuse(error.below(f"/review/{review_id}"), row["image_id"])
    _set_positions(fresh)
    quarantined = len(reading.problems)
    if quarantined:
        content = [(p["path"], p["pointer"], p["reason"], p["detail"]) for p in reading.problems]
        land(store, "quarantine", reading.problems, key=f"reviews:{known.dataset_version}:{digest_of(content)}")
    if fresh and not land(store, "reviews", fresh, key=f"reviews:{digest_of(sorted(r['review_id'] for r in fresh))}"):
        # another process landed the same file meanwhile
        return ImportResult(0, quarantined, skipped + len(fresh))
    return ImportResult(len(fresh), quarantined, skipped)


def _set_positions(rows: Sequence[dict[str, Any]]) -> None:
    """Number the reviews of each reviewer in order of submission; unknown times leave it null."""
    of_reviewer: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["submitted_at"] is not None and row["reviewer"] is not None:
            of_reviewer[row["reviewer"]].append(row)
    for own in of_reviewer.values():
        own.sort(key=lambda row: (row["submitted_at"], row["review_id"]))
        for position, row in enumerate(own):
            row["position_in_batch"] = position
