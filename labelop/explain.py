"""Everything the tables know about one image, for the person who asks why. Shows ids and evidence, never pixels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pyarrow.compute as pc

from labelop.errors import ManifestError
from labelop.landing.store import Store, read_rows
from labelop.routing.strata import strata_of

_TABLES = ("images", "quarantine", "findings", "levels", "prelabels", "reviews", "edits")
_NESTED = {"predictions": "predictions_count", "labels": "labels_count"}
_LEAST_DIGITS = 4
_HEX = re.compile(r"[0-9A-Fa-f]*")
_WHERE_IDS_ARE = "`labelop query image_effort` and the report show ids; the `images` table has them all."


def explain_image(store: Store, image_id: str, *, reviewers: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Collect the rows of one image, table by table, with the decisions that its levels led to.

    Args:
        store: Where the tables are.
        image_id: 64 hex digits, or at least the first four of them.
        reviewers: Whether it is told whose each review is, beside its seconds; for those who answer for labels.

    Returns:
        Rows by table name; nested lists are given as counts. Tables without rows are left out.

    Raises:
        ManifestError: It is no id, no image has it, or more than one begins so.
    """
    found, images = find_image(store, image_id)
    whole = pc.field("image_id") == found
    sections = {name: [_flat(row) for row in read_rows(store, name, filters=whole)] for name in _TABLES}
    if not reviewers:
        sections["reviews"] = [{k: v for k, v in row.items() if k != "reviewer"} for row in sections["reviews"]]
    versions = sorted({str(row["dataset_version"]) for row in images})
    levels = {str(row["level"]) for row in sections["levels"]}
    decided = read_rows(store, "decisions", filters=pc.field("dataset_version").isin(versions))
    stratum_of = _strata(store, found, decided)
    sections["decisions"] = [
        row for row in decided if row["level"] in levels and row["stratum"] == stratum_of.get(row["decision_set"])
    ]
    return {name: rows for name, rows in sections.items() if rows}


def find_image(store: Store, image_id: str) -> tuple[str, list[dict[str, Any]]]:
    """Find the one image whose id begins so: its whole id, and its rows in `images`.

    Raises:
        ManifestError: It is no id, no image has it, or more than one begins so.
    """
    if not _HEX.fullmatch(image_id):
        raise ManifestError(
            f"Image id {image_id!r} has other signs than the hex digits 0-9 and a-f.", hint=_WHERE_IDS_ARE
        )
    if len(image_id) < _LEAST_DIGITS:
        raise ManifestError(
            f"Image id {image_id!r} is too short, expected at least {_LEAST_DIGITS} hex digits.", hint=_WHERE_IDS_ARE
        )
    begins = pc.starts_with(pc.field("image_id"), pattern=image_id.lower())
    images = read_rows(store, "images", filters=begins)
    found = sorted({str(row["image_id"]) for row in images})
    if len(found) != 1:
        raise ManifestError(
            f"{len(found) or 'No'} images begin with {image_id!r}, expected exactly one.",
            hint=_WHERE_IDS_ARE,
        )
    return found[0], images


def _strata(store: Store, image_id: str, decided: Iterable[dict[str, Any]]) -> dict[str, str | None]:
    """Say in which stratum an image is, by the set of decisions that tells strata apart."""
    wanted: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in decided:
        if row["stratum"]:
            wanted[row["decision_set"], row["dataset"], row["dataset_version"]].add(row["stratum"])
    return {
        made: strata_of(store, dataset, version, strata).get(image_id)
        for (made, dataset, version), strata in wanted.items()
    }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {_NESTED.get(k, k): (len(v or []) if k in _NESTED else v) for k, v in row.items()}
