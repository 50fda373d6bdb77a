"""Corrections are fetched from a Label Studio server by asking for them; nothing relies on the server to tell.

The server is asked for the same form as its JSON export, so a pull and a file of the same project land the same reviews
once. Knows how tasks are fetched; what an annotation means is known by `annotation_review`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labelop import progress
from labelop.errors import ReviewFormatError, ReviewRecordError
from labelop.ids import canonical_json, sha256_hex
from labelop.landing.store import Store
from labelop.review import annotation_forms as forms
from labelop.review.annotation_import import take_record
from labelop.review.intake import ImportContext, ImportResult, Reading, load_context
from labelop.review.label_server import LabelServer
from labelop.review.push import find_projects
from labelop.schemas import utc_now

TOOL = "label_studio"
"""Value of `reviews.tool`."""
EXPORT_TASKS = 100
"""Tasks of one request."""
LAND_TASKS = 1000
"""Tasks whose reviews land together."""


def pull_reviews(
    store: Store,
    server: LabelServer,
    dataset: str,
    run_id: str,
    *,
    dataset_version: str | None = None,
    changed_within_hours: float | None = None,
    pseudonyms: Mapping[str, str] | None = None,
) -> ImportResult:
    """Land what people submitted or skipped; an annotation that was changed since becomes a new review.

    Args:
        store: Where.
        server: Where drafts were pushed to.
        dataset: Dataset name.
        run_id: Run that lands them.
        dataset_version: Dataset version; the one landed last when None.
        changed_within_hours: Look only at tasks that were changed so lately, to ask for less; all when None, which is
            always right.
        pseudonyms: Pseudonym by the server's user id; others are derived from the id.

    Returns:
        Counts. A second pull lands nothing new. Records that cannot be used are in `quarantine`, with the server's
        number of their task in the pointer.

    Raises:
        RunFailedError: The dataset has never been ingested.
        ReviewServerError: The server does not answer; what has landed stays, and a pull later does the rest.
        ReviewServerRefusedError: It refuses, or is no Label Studio.
    """
    known = load_context(store, dataset, dataset_version)
    since = None if changed_within_hours is None else utc_now() - dt.timedelta(hours=changed_within_hours)
    facts = {"tool": TOOL, "tool_version": server.version(), "simulated": False}
    result = ImportResult(0, 0, 0)
    for project in find_projects(server, known.dataset, known.dataset_version):
        ids = server.annotated(project.id, since)
        for first in range(0, len(ids), LAND_TASKS):
            progress.report(f"pull {dataset}", first, len(ids))
            reading = Reading(known.dataset, known.dataset_version, f"label-studio/projects/{project.id}", run_id)
            some = ids[first : first + LAND_TASKS]
            for start in range(0, len(some), EXPORT_TASKS):
                part = some[start : start + EXPORT_TASKS]
                _take(reading, server, project.id, part, known, pseudonyms=pseudonyms or {}, facts=facts)
            result += reading.land(store)
        progress.report(f"pull {dataset}", len(ids), len(ids))
    return result


def _take(
    reading: Reading,
    server: LabelServer,
    project_id: int,
    task_ids: Sequence[int],
    known: ImportContext,
    *,
    pseudonyms: Mapping[str, str],
    facts: Mapping[str, Any],
) -> None:
    for pointer, record in _records(reading, server, project_id, task_ids):
        digest = sha256_hex(canonical_json(record).encode()) if forms.is_shallow(record) else ""
        take_record(reading, pointer, record, known, pseudonyms=pseudonyms, facts={**facts, "source_digest": digest})


def _records(
    reading: Reading, server: LabelServer, project_id: int, task_ids: Sequence[int]
) -> Iterator[tuple[str, Any]]:
    """Export tasks; where the answer cannot be read as a whole, one by one, so that a bad one costs only itself."""
    try:
        found = server.export(project_id, task_ids)
    except ReviewFormatError as error:
        if len(task_ids) == 1:
            reading.refuse(ReviewRecordError(error.message, code="BAD_RECORD", pointer=f"/{task_ids[0]}"))
            return
        for one in task_ids:
            yield from _records(reading, server, project_id, [one])
        return
    asked = set(task_ids)
    for number, record in enumerate(found):
        task_id = record.get("id") if isinstance(record, dict) else None
        # what was not asked for has no number that means anything
        yield f"/{task_id}" if isinstance(task_id, int) and task_id in asked else f"/?/{number}", record
