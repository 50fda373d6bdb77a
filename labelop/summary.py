"""What a night ends with: the tables an operator reads first. Asks the queries, computes nothing itself."""

from __future__ import annotations

import json
from typing import Any

from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.queries import open_session, run_query
from labelop.runs import PRELABELLED

_QUERIES = {
    "Accounting": "run_summary",
    "Correction effort per arm": "arm_effort",
    "Cost per arm": "arm_cost",
    "Local against cloud": "local_vs_cloud",
    "Model quality": "model_quality",
}


def run_tables(store: Store, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """Collect a run's summary.

    Args:
        store: Where the tables are.
        run_id: The run; says which batches were done and which had landed before.

    Returns:
        Rows by heading, in the order of reading.
    """
    session = open_session(store)
    tables = {title: run_query(session, name).to_pylist() for title, name in _QUERIES.items()}
    batches = [
        {"dataset": row["dataset"], **json.loads(row["summary"])}
        for row in read_rows(store, "runs", filters=equal(run_id=run_id, event=PRELABELLED))
    ]
    return {"Batches of this run": sorted(batches, key=lambda row: str(row["dataset"])), **tables}
