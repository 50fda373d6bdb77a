"""One door for review files of every tool, for the command line and the nightly run. Knows tool names, no format."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from labelop.errors import ReviewError
from labelop.landing.store import Store
from labelop.review.accepted import import_accepted
from labelop.review.annotation_import import import_reviews
from labelop.review.annotation_review import pseudonym_of_typed
from labelop.review.intake import ImportResult
from labelop.review.label_files import AcceptedFormat
from labelop.review.truth import IMPORT_ARM

LABEL_STUDIO = "label-studio"
"""Name of the tool whose JSON export carries lineage and time."""

ACCEPTED_FORMATS: tuple[AcceptedFormat, ...] = get_args(AcceptedFormat)
"""Formats of finished labels, which carry neither."""


def import_file(
    store: Store,
    path: Path,
    *,
    dataset: str,
    tool: str,
    run_id: str,
    dataset_version: str | None = None,
    arm: str = IMPORT_ARM,
    reviewer: str | None = None,
    events: Path | None = None,
) -> ImportResult:
    """Land the reviews of one file.

    Args:
        store: Where.
        path: What the tool exported.
        dataset: Dataset it is about.
        tool: `label-studio`, `coco`, `voc`, `cvat` or `yolo`.
        run_id: Run that lands it.
        dataset_version: Dataset version; the one landed last when None.
        arm: For all but Label Studio: the arm whose drafts were corrected, or `import` for truth that owes nothing to a
            draft.
        reviewer: With such an arm: who corrected them, by the user id of the tool; a pseudonym of it lands.
        events: With a reviewer: CSV of what they did when, see `events`.

    Raises:
        ReviewError: The tool is unknown or the dataset has no images, or no drafts of the arm; or the reviewer is no
            user id.
        ReviewFormatError: The file as a whole cannot be read.
    """
    named = None if reviewer is None else pseudonym_of_typed(reviewer)
    if tool.replace("_", "-") == LABEL_STUDIO:
        return import_reviews(store, path, dataset, run_id, dataset_version=dataset_version)
    for known in ACCEPTED_FORMATS:
        if tool == known:
            return import_accepted(
                store, path, dataset, run_id,
                source_format=known, dataset_version=dataset_version, arm=arm,
                reviewer=named, events=events,
            )  # fmt: skip
    raise ReviewError(
        f"Tool {tool!r} is unknown, expected one of {', '.join((LABEL_STUDIO, *ACCEPTED_FORMATS))}.",
        hint="Export Label Studio JSON, COCO JSON, VOC or CVAT XML, or YOLO labels.",
    )
