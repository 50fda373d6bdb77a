"""What a night ends with: the tables an operator reads first. Asks the queries, computes nothing itself."""

from __future__ import annotations

import json
from typing import Any

from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.queries import open_session, run_query
from labelop.runs import PRELABELLED

_QUERIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "Accounting: found = landed + quarantined": (
        "run_summary",
        (
            "dataset",
            "discovered_count",
            "landed_count",
            "quarantined_count",
            "empty_count",
            "failed_count",
            "reviewed_count",
        ),
    ),
    "Local and cloud: correction effort and cost": ("arm_summary", ()),
    "Model quality against the truth that came with the source": ("model_quality", ()),
}
"""Query and columns by heading; no columns means all."""


def run_tables(store: Store, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """Collect a run's summary.

    Args:
        store: Where the tables are.
        run_id: The run; says which batches were done and which had landed before.

    Returns:
        Rows by heading, in the order of reading.
    """
    session = open_session(store)
    tables = {"Batches of this run": _batches(store, run_id)}
    for title, (name, columns) in _QUERIES.items():
        rows = run_query(session, name)
        tables[title] = (rows.select(list(columns)) if columns else rows).to_pylist()
    return tables


def _batches(store: Store, run_id: str) -> list[dict[str, Any]]:
    events = read_rows(store, "runs", filters=equal(run_id=run_id, event=PRELABELLED))
    return sorted(
        ({"dataset": row["dataset"], **json.loads(row["summary"])} for row in events),
        key=lambda row: str(row["dataset"]),
    )
