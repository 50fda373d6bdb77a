"""The events of a run in the `runs` table, which is how a parent learns what its child did. Knows no orchestrator."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labelop import ids
from labelop.errors import RunFailedError
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.schemas import utc_now

INGESTED, PRELABELLED, FINISHED = "ingested", "prelabelled", "finished"
"""Events, in the order in which they happen to a dataset."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing that happened to one dataset in one run."""

    run_id: str
    """The run."""
    dataset: str
    """Dataset name."""
    dataset_version: str
    """Dataset version."""
    event: str
    """ingested | prelabelled | finished."""
    state: str
    """complete | partial."""
    summary: Mapping[str, Any]
    """Counts by name; JSON values."""


def new_run_id(prefix: str = "run") -> str:
    """Name a run by the time it starts and a random part; provenance only, never part of a key that means done."""
    return f"{prefix}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def record(store: Store, event: RunEvent) -> None:
    """Land an event, once per run, dataset and kind."""
    row = {
        "run_id": event.run_id,
        "dataset": event.dataset,
        "dataset_version": event.dataset_version,
        "event": event.event,
        "state": event.state,
        "summary": ids.canonical_json(dict(event.summary)),
        "landed_at": utc_now(),
    }
    land(store, "runs", [row], f"{event.run_id}:{event.dataset}:{event.event}")


def dataset_version_of(store: Store, run_id: str, dataset: str) -> str:
    """Find which version of a dataset a run took in.

    Raises:
        RunFailedError: The run has not taken this dataset in.
    """
    rows = read_rows(store, "runs", filters=equal(run_id=run_id, dataset=dataset, event=INGESTED))
    if not rows:
        raise RunFailedError(
            f"Run {run_id} has not ingested dataset {dataset!r}.",
            hint="See the log of its ingest-dataset run; what has landed stays landed, so it can simply run again.",
        )
    return str(rows[0]["dataset_version"])


def latest_version(store: Store, dataset: str) -> str:
    """Find the newest version of a dataset.

    Raises:
        RunFailedError: The dataset has never been ingested.
    """
    rows = read_rows(store, "datasets", filters=equal(dataset=dataset))
    if not rows:
        known = sorted({str(r["dataset"]) for r in read_rows(store, "datasets", columns=["dataset"])})
        raise RunFailedError(
            f"Dataset {dataset!r} is not in {store.root}; it holds {known or 'none'}.",
            hint="Take it in with `labelop ingest SOURCE --dataset NAME`.",
        )
    return str(max(rows, key=lambda r: r["landed_at"])["dataset_version"])
