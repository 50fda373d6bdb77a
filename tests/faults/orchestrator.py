"""A real Prefect server with a worker, and the ways in which they fail in the middle of a run.

`python -m tests.faults.orchestrator` does every fault in full size and keeps what it counted; the tests do some of them
in a small one. After each fault the run is resumed, and its tables must be those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelop.egress.environment import ONPREM
from labelop.landing.store import Store, landed_keys, read_rows
from labelop.queries import run_query
from tests.faults.results import kept
from tests.faults.rig import RUN_SECONDS, Rig, descendants, rig
from tests.same_tables import meaning_differs
from tests.small_sample import ROOT

_DEAD_SECONDS = 3.0
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass
class Course:
    """One run that is disturbed."""

    rig: Rig
    store: Path
    flow_run: str
    away_seconds: float
    counts: dict[str, int | float | str]

    @property
    def tables(self) -> Store:
        """Its store."""
        return Store(str(self.store))

    @property
    def row(self) -> dict[str, Any]:
        """What the tables say of the run that was disturbed; others may have resumed it since."""
        rows = run_query(self.tables, "run_states").to_pylist()
        ours = [row for row in rows if row["run_id"].startswith("prelabel-")]
        return min(ours, key=lambda row: row["started_at"])

    @property
    def run(self) -> str:
        """Its name in the tables."""
        return str(self.row["run_id"])

    def landed(self) -> tuple[int, int]:
        """Count batches landed and planned."""
        planned = [row["batch_id"] for row in read_rows(self.tables, "batches", columns=["batch_id"])]
        return len(landed_keys(self.tables, "prelabels", planned)), len(planned)

    def in_the_middle(self) -> None:
        """Wait until something has landed."""
        assert self.rig.until(lambda: self.landed()[0] > 0), "nothing landed"
        self.counts["landed_before_the_fault"] = self.landed()[0]

    def ended(self, seconds: float = RUN_SECONDS) -> str:
        """Wait for the flow run's end; gives its state, as far as the server knows."""
        self.rig.until(lambda: self.rig.state(self.flow_run) in _FINAL, seconds)
        return self.rig.state(self.flow_run)


def worker_killed(course: Course) -> None:
    """Kill the worker alone; its children go on, and a new worker takes what waits."""
    course.in_the_middle()
    course.rig.kill("worker", with_children=False)
    course.rig.start_worker()
    course.counts["state"] = course.ended()


def worker_and_child_killed(course: Course) -> None:
    """Kill the worker with all that it started; the automation sees it, since nobody else would."""
    course.in_the_middle()
    course.rig.kill("worker")
    killed = time.monotonic()
    assert course.rig.state(course.flow_run) == "RUNNING"
    assert course.ended() == "CRASHED", "the automation did not fire"
    course.counts["seconds_until_crashed"] = round(time.monotonic() - killed, 1)
    course.rig.start_worker()


def slot_leaked(course: Course) -> None:
    """Kill the worker with all that it started; what `labelop doctor --fix` calls frees what it held at once."""
    course.in_the_middle()
    course.rig.kill("worker")
    assert course.rig.state(course.flow_run) == "RUNNING"
    environment = {"PREFECT_API_URL": course.rig.api, "PREFECT_HOME": str(course.rig.folder / "prefect")}
    ask = (
        f"from tasks.reconcile import *; dead = find_dead({_DEAD_SECONDS}); free(dead); print(len(dead), find_leaks())"
    )
    time.sleep(_DEAD_SECONDS)
    command = [sys.executable, "-c", ask]
    said = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True
    )  # fmt: skip
    found, leaks = said.stdout.decode().split(maxsplit=1)
    assert int(found) >= 1
    assert leaks.strip() == "[]"
    course.counts["runs_freed"] = int(found)
    assert course.rig.state(course.flow_run) == "CRASHED"
    course.rig.start_worker()


def server_down(course: Course) -> None:
    """Take the server away in the middle of the run, and bring it back."""
    course.in_the_middle()
    course.rig.kill("server")
    before = course.landed()[0]
    time.sleep(course.away_seconds)
    course.counts["landed_while_it_was_away"] = course.landed()[0] - before
    course.rig.start_server()
    course.counts["state"] = course.ended(60)


def sqlite_locked(course: Course) -> None:
    """Hold the server's database, as another process that writes would."""
    course.in_the_middle()
    before = course.landed()[0]
    with sqlite3.connect(course.rig.folder / "prefect" / "prefect.db", timeout=60, isolation_level=None) as database:
        database.execute("BEGIN EXCLUSIVE")
        time.sleep(course.away_seconds)
        database.execute("ROLLBACK")
    course.counts["landed_while_it_was_locked"] = course.landed()[0] - before
    course.counts["state"] = course.ended(120)


def executed_twice(course: Course) -> None:
    """Let a second process execute the flow run that a worker is at."""
    course.in_the_middle()
    environment = course.rig.environment(ONPREM, {})
    command = [sys.executable, "-m", "prefect", "flow-run", "execute", course.flow_run]
    second = course.rig.begun(command, environment)
    course.counts["state"] = course.ended()
    second.wait(RUN_SECONDS)
    course.counts["exit_code_of_the_second"] = second.returncode


def crashed_comes_back(course: Course) -> None:
    """Call the run Crashed while it is alive, and resume it beside itself."""
    course.in_the_middle()
    path = f"/flow_runs/{course.flow_run}/set_state"
    course.rig.post(path, {"state": {"type": "CRASHED", "name": "Crashed"}, "force": True})
    course.rig.labelop("resume", course.run, store=course.store)
    course.rig.until(lambda: not _running(course))
    course.counts["state"] = course.rig.state(course.flow_run)


def cancelled(course: Course) -> None:
    """Call the run off by `labelop cancel`: the workers stop between batches."""
    course.in_the_middle()
    course.rig.labelop("cancel", course.run, store=course.store)
    course.counts["state"] = course.ended()
    _is_cancelled(course)


def cancelled_in_prefect(course: Course) -> None:
    """Cancel the flow run in Prefect: its process group ends, and its children learn it from the tables."""
    course.in_the_middle()
    course.rig.post(f"/flow_runs/{course.flow_run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
    course.counts["state"] = course.ended()
    assert course.counts["state"] == "CANCELLED"
    assert course.rig.until(lambda: not _running(course), 60), "a child goes on"
    _is_cancelled(course)


FAULTS: dict[str, Callable[[Course], None]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(worker_killed, worker_and_child_killed, slot_leaked, server_down, sqlite_locked),
        *(executed_twice, crashed_comes_back, cancelled, cancelled_in_prefect),
    )
}
"""Every fault by name."""


def disturb(rig: Rig, fault: str, away_seconds: float) -> dict[str, int | float | str]:
    """Do one fault to a new run, resume it, and hold its tables against the undisturbed ones.

    Returns:
        What was counted.
    """
    store = rig.folder / fault
    course = Course(rig, store, rig.begin(store), away_seconds, {})
    FAULTS[fault](course)
    course.counts["landed_after_the_fault"], course.counts["batches"] = course.landed()
    before = {row["attempt_id"] for row in read_rows(course.tables, "usage")}
    done = {row["batch_id"] for row in read_rows(course.tables, "prelabels")}
    started = time.monotonic()
    rig.labelop("resume", course.run, store=store)
    course.counts["seconds_of_resume"] = round(time.monotonic() - started, 1)
    assert course.landed()[0] == course.landed()[1]
    again = [row for row in read_rows(course.tables, "usage") if row["attempt_id"] not in before]
    assert not {row["batch_id"] for row in again} & done, "a landed batch was done again"
    course.counts["attempts_by_resume"] = len(again)
    differences = meaning_differs(Store(str(rig.folder / "quiet")), course.tables)
    assert differences == [], differences
    course.counts["tables_that_differ"] = len(differences)
    return course.counts


def _is_cancelled(course: Course) -> None:
    assert (course.row["state"], course.row["left_count"]) == ("cancelled", 1)
    landed = {row["batch_id"] for row in read_rows(course.tables, "prelabels")}
    assert landed <= {row["batch_id"] for row in read_rows(course.tables, "usage")}, "an attempt was not booked"


def _running(course: Course) -> bool:
    """Say whether a flow of the worker is still at work: a process below it that has our store open."""
    return any(_is_flow(pid) for pid in descendants(course.rig.processes["worker"].pid))


def _is_flow(pid: int) -> bool:
    try:
        return b"prefect" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main() -> None:
    """Do the faults that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("fault", nargs="*", help=f"all when left out: {', '.join(FAULTS)}")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--away-seconds", type=float, default=140.0, help="server down, database locked")
    parser.add_argument("--zombie-seconds", type=int, default=90, help="window of the automation")
    given = parser.parse_args()
    with rig(given.images, given.zombie_seconds) as made:
        for fault in given.fault or FAULTS:
            done = (FAULTS[fault].__doc__ or "").strip()
            with kept(fault, done) as counts:
                counts.update(disturb(made, fault, given.away_seconds))
            sys.stdout.write(f"{fault}: {json.dumps(counts)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
