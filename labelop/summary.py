"""What a night ends with: the tables an operator reads first. Asks the queries, computes nothing itself."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from labelop.ingest.truth import BAD_FILE
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.queries import open_session, run_checks, run_query
from labelop.recovery import require_run
from labelop.runs import CANCELLED, ENDED, PRELABELLED, STARTED

_QUERIES = {
    "Accounting: found = landed + quarantined + deferred": "run_summary",
    "Local and cloud: correction effort and cost": "arm_summary",
    "Engines that ran": "engines_used",
    "Model quality against the truth that came with the source": "model_quality",
}
"""Query by heading, in the order of reading."""

_WORDS = {
    "dataset": "dataset",
    "batches_count": "batches",
    "landed_before_count": "skipped, landed before",
    "missing_count": "missing",
    "discovered_count": "found",
    "landed_count": "landed",
    "quarantined_count": "quarantined",
    "deferred_count": "deferred",
    "empty_count": "nothing found",
    "failed_count": "failed",
    "unreadable_count": "unreadable",
    "withheld_count": "withheld",
    "reviewed_count": "reviewed",
    "arm": "arm",
    "split": "split",
    "model_id": "model",
    "engine": "engine",
    "device": "device",
    "reason": "reason",
    "images_count": "images",
    "accepted_count": "labels",
    "her": "edits per label",
    "saving": "saving",
    "active_seconds_mean": "review s per image",
    "machine_cost": "machine and setup",
    "review_cost": "review",
    "total_cost": "total",
    "cost_per_label": "cost per label",
    "ap50": "AP50",
    "image_accuracy": "image class accuracy",
    "images_per_second": "images per s",
    "currency": "in",
    "price_version": "prices",
    "simulated": "simulated",
}
"""What a person reads for a column; the others are left to the queries themselves."""


_LOSSES = ("failed", "unreadable", "deferred")
"""Outcomes that make a run partial."""


def run_tables(store: Store, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """Collect a run's summary.

    Args:
        store: Where the tables are.
        run_id: The run; says which batches were done and which had landed before.

    Returns:
        Rows by heading, in the order of reading.
    """
    session = open_session(store)
    tables: dict[str, list[dict[str, Any]]] = {"Batches of this run": _batches(store, run_id)}
    for title, name in _QUERIES.items():
        tables[title] = run_query(session, name).to_pylist()
    return tables


def warnings_of(store: Store) -> list[str]:
    """Say in one line each which `warn` checks of `sql/checks` found rows, for a person to look at."""
    return [
        f"check {check.name} found {len(check.rows)} rows; expected: {check.purpose}"
        for check in run_checks(store)
        if check.severity == "warn" and not check.passed
    ]


def losses_of(store: Store, datasets: Collection[str]) -> list[str]:
    """Say in one line each which files of these datasets are accounted for and have no answer of a model.

    Quarantined images are no loss of a run, nor are withheld ones: no run could have done more for them. An annotation
    file that was refused as a whole is one: nobody sees by the images that all of its labels are missing.
    """
    return refused_annotations(store, datasets) + [
        f"{row['dataset']}: {row[f'{what}_count']} of {row['discovered_count']} files {what}"
        for row in run_query(store, "run_summary").to_pylist()
        if row["dataset"] in datasets
        for what in _LOSSES
        if row[f"{what}_count"]
    ]


def unaccounted(store: Store, run_id: str) -> set[str]:
    """Name what a run was asked to do and, where it did another's rest, that one: what died told nobody its losses."""
    found, at = set(), run_id
    while at:
        rows = require_run(store, at)
        if any(row["event"] == ENDED and row["state"] != CANCELLED for row in rows):
            break
        started = [row for row in rows if row["event"] == STARTED]
        found |= {row["dataset"] for row in started}
        at = next((earlier for row in started if (earlier := json.loads(row["summary"]).get("resumes"))), "")
    return found


def refused_annotations(store: Store, datasets: Collection[str]) -> list[str]:
    """Say in one line for each dataset how many annotation files were refused as a whole, and why the first was."""
    refused = defaultdict(list)
    for row in run_query(store, "quarantine_list").to_pylist():
        if row["dataset"] in datasets and row["reason"] == BAD_FILE:
            refused[row["dataset"]].append(row)
    return [
        f"{dataset}: {len(rows)} annotation files were refused as a whole, so their labels are missing; "
        f"the first is {rows[0]['path']}: {rows[0]['detail']}"
        for dataset, rows in refused.items()
    ]


def told_by(store: Store, run_id: str) -> list[str]:
    """Give what a run said when it ended: what failed in it, and what it lost."""
    rows = read_rows(store, "runs", filters=equal(run_id=run_id, event=ENDED))
    return [problem for row in rows for problem in json.loads(row["summary"])["problems"]]


def for_people(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Keep the columns a person looks for first, under short words, so that a table fits a terminal."""
    return {
        title: [{_WORDS[name]: value for name, value in row.items() if name in _WORDS} for row in rows]
        for title, rows in tables.items()
    }


def _batches(store: Store, run_id: str) -> list[dict[str, Any]]:
    events = read_rows(store, "runs", filters=equal(run_id=run_id, event=PRELABELLED))
    return sorted(
        ({"dataset": row["dataset"], **json.loads(row["summary"])} for row in events),
        key=lambda row: str(row["dataset"]),
    )
