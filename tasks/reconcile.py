"""Find flow runs that hold slots of the orchestrator and are dead, and free what they hold.

A run that died with its worker stays Running there, with its slot, until the automation `zombie-runs` sees it; where
that is not installed, or a slot was lost in another way, `labelop doctor --fix` does it. Nothing of ours depends on it:
what is done is read from the tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import get_current_settings
from prefect.states import Crashed

from labelop.errors import RunFailedError

_BEATS = 3
"""Heartbeats that may be missed."""
_BEAT_SECONDS = 180
"""Time between two, where nobody says it."""
_START_WINDOWS = 10
"""Windows that a run may take from Pending to its first word: a node may have to be found, an image fetched."""
_HOLDING = [StateType.RUNNING, StateType.CANCELLING, StateType.PENDING]
_PAGE = 200


@dataclass(frozen=True, slots=True)
class DeadRun:
    """A flow run that holds a slot and says nothing more."""

    flow_run_id: UUID
    """Its id."""
    name: str
    """Its name."""
    state: str
    """What the server takes it for."""
    heard_at: datetime
    """When it was heard last."""


@dataclass(frozen=True, slots=True)
class LeakedSlots:
    """A limit that counts more slots than runs are alive."""

    limit: str
    """Name of the limit."""
    counted: int
    """Slots taken, as the server counts."""
    alive: int
    """Runs that hold one."""


def reconcile(*, fix: bool) -> list[dict[str, Any]]:
    """Look for what dead runs hold, free it if asked, and say so in the words of `labelop doctor`.

    Args:
        fix: Whether to free it.

    Returns:
        `subject`, `ok` and `detail` of each thing that was looked at.
    """
    try:
        dead, leaks = find_dead(), find_leaks()
        if fix:
            free(dead)
    except RunFailedError as error:
        return [{"subject": "orchestrator", "ok": False, "detail": str(error)}]
    did = "freed" if fix else "`labelop doctor --fix` frees it"
    wrong = [
        f"flow run {one.name} is {one.state} and was not heard since {one.heard_at.isoformat(timespec='seconds')}"
        for one in dead
    ]
    wrong += [f"limit {one.limit} counts {one.counted} slots for {one.alive} runs" for one in leaks]
    if not wrong:
        return [{"subject": "orchestrator", "ok": True, "detail": f"no dead run holds a slot at {server_address()}"}]
    return [{"subject": "orchestrator", "ok": fix, "detail": f"{what}; {did}"} for what in wrong]


def server_address() -> str | None:
    """Say which server this environment names; None where it names none, and everything runs embedded."""
    return get_current_settings().api.url


def find_dead(window_seconds: float | None = None) -> list[DeadRun]:
    """List runs of deployments that are held for alive and were not heard for the window.

    Args:
        window_seconds: Longest silence; three heartbeats as this environment sets them when None.

    Raises:
        RunFailedError: The server does not answer.
    """
    window = window_seconds or _BEATS * (get_current_settings().flows.heartbeat_frequency or _BEAT_SECONDS)
    with _client() as client:
        return [dead for run in _holding(client) if (dead := _dead(client, run, window)) is not None]


def find_leaks() -> list[LeakedSlots]:
    """List limits of deployments that count more slots than runs hold; dead runs count as holding until freed.

    Raises:
        RunFailedError: The server does not answer.
    """
    with _client() as client:
        held = Counter(run.deployment_id for run in _holding(client))
        limits = [(d.global_concurrency_limit, held[d.id]) for d in client.read_deployments()]
    return [
        LeakedSlots(limit.name, limit.active_slots, alive)
        for limit, alive in limits
        if limit is not None and limit.active_slots > alive
    ]


def free(dead: list[DeadRun]) -> None:
    """Make dead runs Crashed, which gives their slots back, then set right what limits still count too much.

    Raises:
        RunFailedError: The server does not answer.
    """
    with _client() as client:
        for one in dead:
            said = f"Not heard since {one.heard_at.isoformat(timespec='seconds')}; freed by `labelop doctor --fix`."
            client.set_flow_run_state(one.flow_run_id, Crashed(message=said), force=True)
        for leak in find_leaks():
            client.update_global_concurrency_limit(leak.limit, GlobalConcurrencyLimitUpdate(active_slots=leak.alive))


@contextmanager
def _client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        if (error := client.api_healthcheck()) is not None:
            raise RunFailedError(
                f"The Prefect server at {server_address()} does not answer: {type(error).__name__}.",
                hint="Runs can be listed, resumed and cancelled without it: `labelop runs`.",
            )
        yield client


def _holding(client: SyncPrefectClient) -> list[FlowRun]:
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_HOLDING)))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(found)):
        found += page
    # only runs of deployments send heartbeats and hold slots
    return [run for run in found if run.deployment_id is not None]


def _dead(client: SyncPrefectClient, run: FlowRun, window_seconds: float) -> DeadRun | None:
    known = [_last_event(client, run), None if run.state is None else run.state.timestamp]
    heard = max(at for at in known if at is not None)
    patience = window_seconds * (_START_WINDOWS if run.state_type == StateType.PENDING else 1)
    if heard > datetime.now(UTC) - timedelta(seconds=patience):
        return None
    return DeadRun(run.id, run.name, run.state_name or "", heard)


def _last_event(client: SyncPrefectClient, run: FlowRun) -> datetime | None:
    about = {"resource": {"id": [f"prefect.flow-run.{run.id}"]}, "order": "DESC"}
    answer = client.request("POST", "/events/filter", json={"filter": about, "limit": 1})
    answer.raise_for_status()
    events = answer.json()["events"]
    return datetime.fromisoformat(events[0]["occurred"]) if events else None
