"""The events of a run in the `runs` table, which is how a parent learns what its child did. Knows no orchestrator."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from labelop import ids
from labelop.errors import RunFailedError
from labelop.landing.filters import equal
from labelop.landing.store import Store, land_many, read_rows, time_in
from labelop.queries import run_query
from labelop.schemas import utc_now

INGESTED, CLASSIFIED, PLANNED, PRELABELLED, FINISHED = "ingested", "classified", "planned", "prelabelled", "finished"
"""Events, in the order in which they happen to a dataset.

Tables are keyed by content, so doing again what was done before lands nothing new. What is in force is therefore read
from the newest event, never from the newest row: an owner who goes back to an earlier word must be heard.
"""

STARTED, TAKEN_UP, CANCELLED, ENDED = "started", "taken_up", "cancelled", "ended"
"""Events around them: what a run was asked, per dataset; that another does its rest; that somebody called it off; how
it ended as a whole."""


_LATELY = timedelta(days=1)
"""A run that planned longer ago is over, whatever became of it."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing that happened to one dataset, or to all of them, in one run."""

    run_id: str
    """The run."""
    dataset: str
    """Dataset name; empty where the event is about the whole run."""
    dataset_version: str | None
    """Dataset version; None where it is not known yet, or the event is about the whole run."""
    event: str
    """started | ingested | classified | planned | prelabelled | finished | taken_up | cancelled | ended."""
    state: str = "complete"
    """complete | partial | cancelled."""
    ontology: str | None = None
    """Class set put in force."""
    source_uri: str | None = None
    """Root the files lay under, where the event is about files."""
    policy_digest: str | None = None
    """Sensitivity policy put in force."""
    price_book: str | None = None
    """Price book put in force."""
    decision_set: str | None = None
    """Routing decisions put in force."""
    plan_id: str | None = None
    """Plan put in force."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Counts by name; JSON values."""


def new_run_id(prefix: str = "run") -> str:
    """Name a run by the time it starts and a random part; provenance only, never part of a key that means done."""
    return name_run(prefix, datetime.now(UTC), secrets.token_hex(3))


def name_run(prefix: str, at: datetime, part: str) -> str:
    """Name a run by when it was to start and what tells it from others of that second."""
    return f"{prefix}-{at.astimezone(UTC):%Y%m%dT%H%M%S}-{part}"


def record(store: Store, event: RunEvent) -> bool:
    """Land an event, once per run, dataset, kind and state; True when it is new."""
    return record_many(store, [event])[0]


def record_many(store: Store, events: Sequence[RunEvent]) -> list[bool]:
    """Land several events in one commit; see `record`."""
    now = time_in(store, "runs")
    rows = [{**asdict(event), "summary": ids.canonical_json(dict(event.summary)), "landed_at": now} for event in events]
    groups = [(key_of(event), [row]) for event, row in zip(events, rows, strict=True)]
    return land_many(store, "runs", groups)


def key_of(event: RunEvent) -> str:
    """Name an event. Its state counts: where a run was started twice, one may see all landed that the other missed."""
    key = f"{event.run_id}:{event.dataset}:{event.event}"
    return key if event.state == "complete" else f"{key}:{event.state}"


def dataset_version_of(store: Store, run_id: str, dataset: str) -> str:
    """Find which version of a dataset a run took in.

    Raises:
        RunFailedError: The run has not taken this dataset in.
    """
    rows = read_rows(store, "runs", filters=equal(run_id=run_id, dataset=dataset, event=INGESTED))
    if not rows:
        raise RunFailedError(
            f"Run {run_id} has not ingested dataset {dataset!r}.",
            hint="The log says above why its ingest ended; what has landed stays landed, so it can simply run again.",
        )
    return str(rows[0]["dataset_version"])


def is_partial(store: Store, run_id: str, dataset: str) -> bool:
    """Say whether a run has kept or held back some batches of a dataset."""
    where = equal(run_id=run_id, dataset=dataset, event=PRELABELLED, state="partial")
    return bool(read_rows(store, "runs", columns=["run_id"], filters=where))


def current_version(store: Store, dataset: str) -> str:
    """Find the version of a dataset that its owner handed over last.

    Raises:
        RunFailedError: The dataset has never been ingested.
    """
    rows = {str(row["dataset"]): row for row in _current(store)}
    if dataset not in rows:
        raise RunFailedError(
            f"Dataset {dataset!r} is not in {store.root}; it holds {sorted(rows) or 'none'}.",
            hint="Take it in with `labelop ingest SOURCE --dataset NAME`.",
        )
    return str(rows[dataset]["dataset_version"])


def current_datasets(store: Store) -> list[str]:
    """Name the datasets that were ever handed over."""
    return sorted(str(row["dataset"]) for row in _current(store))


def source_root(store: Store, dataset: str, dataset_version: str) -> str | None:
    """Find where a version's files lay when it was ingested last; None when no ingest of it came to its end."""
    rows = read_rows(store, "runs", filters=equal(dataset=dataset, dataset_version=dataset_version, event=INGESTED))
    newest = max(rows, key=lambda row: row["landed_at"], default=None)
    return None if newest is None else newest["source_uri"]


def plan_in_force(store: Store, dataset: str, dataset_version: str) -> str | None:
    """Find the plan that counts for a dataset version; None before its first plan."""
    rows = read_rows(store, "runs", filters=equal(dataset=dataset, dataset_version=dataset_version, event=PLANNED))
    newest = max(rows, key=lambda row: row["landed_at"], default=None)
    return None if newest is None else newest["plan_id"]


def under_way(store: Store, dataset: str, dataset_version: str, but: str) -> list[str]:
    """Name the other runs that planned a dataset version lately and have not said how it ended: running, or broken off.

    Nothing is locked by it: what has landed decides what is done, and two runs at once are right, only paid for twice.

    Args:
        store: Where the tables are.
        dataset: Dataset name.
        dataset_version: Dataset version.
        but: The run that asks.
    """
    where = equal(dataset=dataset, dataset_version=dataset_version)
    rows = read_rows(store, "runs", columns=["run_id", "event", "landed_at"], filters=where)
    ended = {row["run_id"] for row in rows if row["event"] in (PRELABELLED, FINISHED)}
    lately = utc_now() - _LATELY
    planned = {row["run_id"] for row in rows if row["event"] == PLANNED and row["landed_at"] > lately}
    return sorted(planned - ended - {but})


def _current(store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run_query(store, "current_versions").to_pylist()
    return rows
