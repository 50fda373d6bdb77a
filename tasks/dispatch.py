"""Start child runs: as deployments in their work pools, or, embedded, as plain calls in this process.

A parent names its child by flow and deployment, so no flow imports another. What a child achieved is read from the
tables, never from the state returned here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment

from labelop import progress
from labelop.errors import ConfigurationError, LabelopError, RunFailedError
from labelop.prelabel.ranges import ShardRange
from tasks.told import heard

_POLL_SECONDS = 1.0
_CONFIGURATION: list[type[LabelopError]] = [ConfigurationError, *ConfigurationError.__subclasses__()]

FlowFunction = Callable[..., object]
"""The undecorated function of a flow."""

_embedded: ContextVar[Mapping[str, FlowFunction] | None] = ContextVar("labelop_embedded", default=None)


@dataclass(frozen=True, slots=True)
class Child:
    """One child run."""

    flow: str
    """Flow name, kebab case."""
    deployment: str
    """Deployment name: which pool runs it."""
    parameters: Mapping[str, Any]
    """URIs, ids and small numbers only: they are stored and shown by the orchestrator."""
    key: str
    """Idempotency key: one execution of a parent never starts two runs of the same key."""

    @property
    def address(self) -> str:
        """Flow and deployment as Prefect writes them."""
        return f"{self.flow}/{self.deployment}"


@dataclass(frozen=True, slots=True)
class ChildOutcome:
    """How a child run ended: for messages only, since what it achieved is read from the tables."""

    state: str
    """Name of its final state, for example Completed or Failed."""
    error: str = ""
    """What went wrong, in words; empty when it completed."""
    hint: str = ""
    """What the reader can do next, where that is known apart from the error."""
    can_retry: bool = True
    """Whether the same child may fare better; False where something is wrong that an operator wrote."""


def shard_children(
    shards: Sequence[ShardRange], *, ontology: str, store: str, run_id: str, attempt: int = 1
) -> list[Child]:
    """Make one child run of `prelabel-batches` per shard, each in its placement's pool.

    Args:
        shards: What the children do.
        ontology: Of the dataset.
        store: Root of the tables.
        run_id: The run that asks.
        attempt: Counts the times that this run sends out shards: what came back unfinished is sent as a new child.
    """
    return [
        Child(
            "prelabel-batches",
            shard.placement,
            {**asdict(shard), "ontology": ontology, "store": store, "run_id": run_id},
            f"{run_id}:{shard.plan_id}:{shard.placement}:{shard.first}-{shard.last}:{attempt}",
        )
        for shard in shards
    ]


@contextmanager
def embedded(flows: Mapping[str, FlowFunction]) -> Iterator[None]:
    """Run children as plain calls while the block runs.

    Args:
        flows: Flow function by `flow/deployment`.
    """
    token = _embedded.set(flows)
    try:
        yield
    finally:
        _embedded.reset(token)


def run_children(children: Sequence[Child]) -> list[ChildOutcome]:
    """Start all children and wait for all of them; one that fails does not stop the others.

    Args:
        children: Runs to start; embedded they run in this order.

    Returns:
        The outcome of each, in order.

    Raises:
        RunFailedError: Neither a flow run nor an embedded run is active.
    """
    flows = _embedded.get()
    if flows is not None:
        return [_call(flows[child.address], child.parameters) for child in children]
    if FlowRunContext.get() is None:
        raise RunFailedError("Children can be started inside a flow run or an embedded run only.")
    return _wait([_start(child) for child in children], children)


def may_heal(said: str) -> bool:
    """Tell from the text of a final state, which names the class of its error, whether another try can help.

    >>> may_heal("Flow run encountered an exception: SettingsError: The store is a file.")
    False
    """
    return not any(re.search(rf"\b{kind.__name__}: ", said) for kind in _CONFIGURATION)


def _call(function: FlowFunction, parameters: Mapping[str, Any]) -> ChildOutcome:
    try:
        function(**parameters)
    except (LabelopError, OSError) as raised:
        error = heard(raised)
        # a child in a pool ends alone too; a foreign error is a bug and ends everything
        return ChildOutcome("Failed", error.message, error.hint, not isinstance(error, ConfigurationError))
    return ChildOutcome("Completed")


def _start(child: Child) -> FlowRun:
    context = FlowRunContext.get()
    # a parent that is run again wants new children: those of the time before may have failed with it
    times = 1 if context is None or context.flow_run is None else context.flow_run.run_count
    key = f"{child.key}:{times}"
    run = run_deployment(child.address, parameters=dict(child.parameters), timeout=0, idempotency_key=key)
    if not isinstance(run, FlowRun):  # a coroutine where an event loop runs; our flows have none
        raise TypeError(f"starting {child.address} gave {type(run).__name__}, expected a flow run")
    return run


def _wait(runs: Sequence[FlowRun], children: Sequence[Child]) -> list[ChildOutcome]:
    final: dict[int, ChildOutcome] = {}
    with get_client(sync_client=True) as client:
        while len(final) < len(runs):
            for index, run in enumerate(runs):
                if index in final:
                    continue
                state = client.read_flow_run(run.id).state
                if state is not None and state.is_final():
                    name = state.name or state.type.value
                    error = "" if state.is_completed() else state.message or f"{children[index].address} ended {name}"
                    final[index] = ChildOutcome(name, error, can_retry=may_heal(error))
                    progress.report(f"child runs of {children[index].flow}", len(final), len(runs))
            if len(final) < len(runs):
                time.sleep(_POLL_SECONDS)
    return [final[index] for index in range(len(runs))]
