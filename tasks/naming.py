"""How a run of ours and a flow run of the orchestrator find each other.

A run that the orchestrator starts is named by its flow run, so a flow run that is executed twice is one run to the
tables, and cancelling it there cancels it here. Nothing else is ever read from a flow run.
"""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from labelop.landing.store import open_store
from labelop.recovery import mark_cancelled
from labelop.runs import name_run, new_run_id
from labelop.settings import load_settings

_PREFIX = {"nightly": "night", "prelabel-dataset": "prelabel", "ingest-dataset": "ingest"}
_DIGITS = 8


def run_name(prefix: str) -> str:
    """Name a run after its flow run; by clock and chance where there is none."""
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    return new_run_id(prefix) if run is None else _name(prefix, run)


def cancel_its_run(flow: Any, flow_run: FlowRun, state: Any) -> None:  # noqa: ARG001 - a hook has three
    """Mark the run of a flow run that is being cancelled, so that its children on other hosts stop as well."""
    given = flow_run.parameters
    run = given.get("run_id") or _name(_PREFIX[flow.name], flow_run)
    mark_cancelled(open_store(load_settings(store=given.get("store"))), run)


def _name(prefix: str, run: FlowRun) -> str:
    planned = run.expected_start_time or run.created
    if planned is None:
        raise TypeError(f"flow run {run.id} has no time at all")
    return name_run(prefix, planned, run.id.hex[-_DIGITS:])
