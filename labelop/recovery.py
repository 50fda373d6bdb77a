"""What a run was asked to do, what of it is left, and whether somebody called it off; all of it read from the tables.

A run that died leaves nothing but its rows, so a resumed run is a new run over what nobody has done. A second start of
the same run, on this host or another, finds the same and does no harm. Knows no orchestrator.
"""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pyarrow.compute as pc

from labelop.errors import RunCancelledError, RunFailedError
from labelop.jobs import DatasetJob, parse_job
from labelop.landing.filters import equal
from labelop.landing.store import Store, is_landed, landed_keys, read_rows
from labelop.queries import run_query
from labelop.runs import (
    CANCELLED,
    ENDED,
    FINISHED,
    PLANNED,
    STARTED,
    TAKEN_UP,
    RunEvent,
    key_of,
    record,
    record_many,
)
from labelop.schemas import utc_now

_LOOK_SECONDS = 2.0
"""A look at the store is a request; more often than this nobody waits for."""

QUIET_SECONDS = 900.0
"""A run that has landed nothing for so long is taken for dead by the night. Were it alive, the work would be done twice
and land once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is asked to do to one dataset."""

    dataset: str
    """Dataset name."""
    until: str = FINISHED
    """Event with which it is done: ingested | prelabelled | finished."""
    job: DatasetJob | None = None
    """How to take it in; None where the run only prelabels."""
    dataset_version: str | None = None
    """Version, where it has been taken in already."""
    batch_images: int = 256
    """Images in a batch: part of what a batch is, so a resumed run keeps it."""
    shard_batches: int | None = None
    """Batches in a shard; by their predicted time when None."""
    resumes: str | None = None
    """Run whose work this is."""

    def summary(self) -> dict[str, Any]:
        """Give what the table keeps beside the dataset."""
        return {
            "until": self.until,
            "job": None if self.job is None else self.job.model_dump(),
            "batch_images": self.batch_images,
            "shard_batches": self.shard_batches,
            "resumes": self.resumes,
        }


def start(store: Store, run_id: str, asked: Sequence[Asked]) -> None:
    """Say what a run is about to do, before it does any of it; a run whose work it is stops between batches.

    That run may be alive after all, or have left children in a queue: they would do, and pay for, the same batches.
    """
    record_many(
        store, [RunEvent(run_id, one.dataset, one.dataset_version, STARTED, summary=one.summary()) for one in asked]
    )
    # only now: what nobody else has said it will do must not stop
    record_many(store, [_taken_up(earlier) for earlier in sorted({one.resumes for one in asked if one.resumes})])


def end(store: Store, run_id: str, state: str, problems: Sequence[str] = ()) -> None:
    """Say how a run ended: complete | partial | cancelled."""
    record(store, RunEvent(run_id, "", None, ENDED, state, summary={"problems": list(problems)}))


def left_of(store: Store, run_id: str) -> list[Asked]:
    """Find what a run was asked to do and nobody has done since.

    Args:
        store: Where the tables are.
        run_id: The run.

    Returns:
        What is left, by name; nothing when the run did it all, or others since for a version that counts, see view
        `v_run_dataset`. A dataset that the run took in, and that is still the newest version, carries that version and
        is not taken in again.

    Raises:
        RunFailedError: There is no such run.
    """
    asked = {row["dataset"]: row for row in require_run(store, run_id) if row["event"] == STARTED}
    left = run_query(store, "left_of_run", {"run": run_id}).to_pylist()
    return [
        replace(_asked(row["dataset"], asked[row["dataset"]]), dataset_version=row["dataset_version"], resumes=run_id)
        for row in left
    ]


def unended(store: Store, run_id: str) -> bool:
    """Say whether a run died over its report or accounting with nothing else left, and no other has taken it up."""
    [row] = run_query(store, "run_states", {"run": run_id}).to_pylist()
    return row["state"] == "open" and not row["left_count"] and not row["resumed_by"]


def require_run(store: Store, run_id: str) -> list[dict[str, Any]]:
    """Read the events of a run.

    Raises:
        RunFailedError: There is no such run.
    """
    rows = read_rows(store, "runs", filters=equal(run_id=run_id))
    if not any(row["event"] == STARTED for row in rows):
        raise RunFailedError(f"Run {run_id!r} is not in {store.root}.", hint=_near(store, run_id))
    return rows


def plan_to_finish(store: Store, run_id: str, dataset: str, made_of: str) -> tuple[str, str | None] | None:
    """Find the plan of a run that is being finished, if today's configuration would make it of the same things.

    Levels may have changed since: every image is looked at again before it is read, and one that may not be where the
    plan has it is withheld until the next night plans anew.

    Args:
        store: Where the tables are.
        run_id: The run that is being finished.
        dataset: Dataset name.
        made_of: Digest of what a plan is made of beside the images; as in the summary of the event `planned`.

    Returns:
        The plan and the decisions it rests on; None when a plan has to be made.
    """
    rows = read_rows(store, "runs", filters=equal(run_id=run_id, dataset=dataset, event=PLANNED))
    same = (row for row in rows if json.loads(row["summary"]).get("made_of") == made_of)
    return next(((row["plan_id"], row["decision_set"]) for row in same), None)


def open_work(store: Store, *, besides: Iterable[str] = (), quiet_seconds: float = QUIET_SECONDS) -> list[Asked]:
    """Find what runs left behind that died or ended without doing all, once per dataset.

    Runs that somebody cancelled are left alone: they go on when somebody says so. So are those that another run
    resumes: it was asked all that was left of them, and may be at it.

    Args:
        store: Where the tables are.
        besides: Datasets that are done anyhow.
        quiet_seconds: A run that has landed something since then may be alive.
    """
    now, quiet = utc_now(), timedelta(seconds=quiet_seconds)
    taken = set(besides)
    found = []
    for row in run_query(store, "run_states").to_pylist():
        left_alone = row["state"] == CANCELLED or row["resumed_by"] or abs(now - row["last_seen_at"]) < quiet
        if left_alone or not row["left_count"]:
            continue
        for one in left_of(store, row["run_id"]):
            if one.dataset not in taken:
                taken.add(one.dataset)
                found.append(one)
    return found


def cancel(store: Store, run_id: str) -> bool:
    """Call a run off: its workers stop after the batch they are at.

    Returns:
        True when this call did it, False when it had been called off before.

    Raises:
        RunFailedError: There is no such run, it has done all it was asked, or another does its rest, maybe among other
            work.
    """
    left = left_of(store, run_id)
    if not left:
        raise RunFailedError(f"Run {run_id} has nothing left to do, so there is nothing to cancel.")
    if heirs := _heirs(store, run_id, {one.dataset for one in left}):
        raise RunFailedError(
            f"Run {run_id} does nothing any more: its rest was taken up by {' and '.join(heirs)}.",
            hint=f"Call that off with {' and '.join(f'`labelop cancel {run}`' for run in heirs)}.",
        )
    return mark_cancelled(store, run_id)


def mark_cancelled(store: Store, run_id: str) -> bool:
    """Land the mark alone, for who knows that the run is there."""
    return record(store, _cancelled(run_id))


def is_cancelled(store: Store, run_id: str) -> bool:
    """Say whether a run was called off or another does its rest; one look at the log of a table, no rows are read."""
    return bool(run_id) and bool(landed_keys(store, "runs", map(key_of, (_cancelled(run_id), _taken_up(run_id)))))


def stop_if_cancelled(store: Store, run_id: str) -> None:
    """Look once.

    Raises:
        RunCancelledError: The run was called off, or another does its rest.
    """
    if not is_cancelled(store, run_id):
        return
    if is_landed(store, "runs", key_of(_taken_up(run_id))):
        raise RunCancelledError(
            f"Run {run_id} stops: another run has taken up its rest.", hint=f"`labelop runs {run_id}` names it."
        )
    raise RunCancelledError(
        f"Run {run_id} was cancelled; what has landed stays landed.", hint=f"`labelop resume {run_id}` does the rest."
    )


@dataclass(slots=True)
class CancelWatch:
    """Looks between batches whether the run is to stop, and rarely enough to cost nothing."""

    store: Store
    """Where the tables are."""
    run_id: str
    """The run; an empty name is never cancelled."""
    every_seconds: float = _LOOK_SECONDS
    """Least time between two looks."""
    _last: float = field(default=float("-inf"), init=False)

    def look(self) -> None:
        """Look, if the last time is long enough ago; see `stop_if_cancelled`."""
        now = time.monotonic()
        if now - self._last >= self.every_seconds:
            self._last = now
            stop_if_cancelled(self.store, self.run_id)


def _cancelled(run_id: str) -> RunEvent:
    return RunEvent(run_id, "", None, CANCELLED, CANCELLED)


def _taken_up(run_id: str) -> RunEvent:
    return RunEvent(run_id, "", None, TAKEN_UP)


def _asked(dataset: str, row: Mapping[str, Any]) -> Asked:
    said = json.loads(row["summary"])
    job = None if said["job"] is None else parse_job(said["job"])
    return Asked(
        dataset, said["until"], job, batch_images=int(said["batch_images"]), shard_batches=said["shard_batches"]
    )


def _heirs(store: Store, run_id: str, datasets: Collection[str]) -> list[str]:
    """Name the runs that have some of these datasets from this run, also by way of others, and were not called off."""
    filters = equal(event=STARTED) & pc.field("dataset").isin(list(datasets))
    rows = read_rows(store, "runs", columns=["run_id", "summary"], filters=filters)
    resumed = [(json.loads(row["summary"]).get("resumes"), row["run_id"]) for row in rows]
    line, heirs = [run_id], []
    for one in line:
        after = sorted({run for earlier, run in resumed if earlier == one})
        line += [run for run in after if run not in line]
        if one != run_id and not after and not is_landed(store, "runs", key_of(_cancelled(one))):
            heirs.append(one)
    return heirs


def _near(store: Store, run_id: str) -> str:
    rows = read_rows(store, "runs", columns=["run_id"], filters=equal(event=STARTED))
    near = difflib.get_close_matches(run_id, sorted({row["run_id"] for row in rows}), n=2)
    return " ".join([f"Did you mean {' or '.join(near)}?" if near else "", "`labelop runs` lists them."]).strip()
