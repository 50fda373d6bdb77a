"""Nights that ended too early, and what resuming them does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.ingest_dataset import ingest_dataset
from flows.nightly import nightly
from flows.prelabel_batches import prelabel_batches
from flows.prelabel_dataset import prelabel_dataset
from labelop.cli import app
from labelop.errors import EngineUnavailableError, RunCancelledError, RunFailedError
from labelop.jobs import read_night
from labelop.landing.store import Store, read_rows
from labelop.pilot.capacity import Team
from tasks.dispatch import embedded
from tests.small_sample import make_night
from tests.unit.core.test_recovery import states


@dataclass
class Night:
    """A night of one restricted dataset, so that everything is done on premises."""

    store: Store
    jobs: list[dict[str, Any]]
    report: str
    ingests: list[str] = field(default_factory=list)

    def run(self, run: str, child: Callable[..., Any] = prelabel_batches.fn, **more: Any) -> None:
        """Do the night, or the rest of another, with a double of the child."""

        def ingest(**given: Any) -> None:
            self.ingests.append(given["run_id"])
            ingest_dataset.fn(**given)

        flows: dict[str, Callable[..., Any]] = {"ingest-dataset/onprem": ingest}
        flows |= {"prelabel-dataset/onprem": prelabel_dataset.fn, "prelabel-batches/onprem": child}
        with embedded(flows):
            nightly.fn(self.jobs, self.store.root, self.report, run, 2, **more)

    def landed(self) -> tuple[int, int]:
        """Count batches landed and planned."""
        kinds = ("prelabels", "batches")
        done, planned = ({row["batch_id"] for row in read_rows(self.store, name)} for name in kinds)
        assert done <= planned
        return len(done), len(planned)


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """Make the night."""
    [job, *_] = read_night(make_night(tmp_path / "sample", images=6))
    jobs = [job.model_copy(update={"sensitivity": "restricted"}).model_dump()]
    return Night(Store(str(tmp_path / "store")), jobs, str(tmp_path / "report.html"))


@pytest.mark.slow
def test_a_night_that_failed_is_finished_by_resume(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resuming does what is left with the same batches, takes nothing in again, and ends as complete."""

    def fail(**_: object) -> None:
        raise EngineUnavailableError("no answer")

    with pytest.raises(RunFailedError, match="labelop resume r1"):
        night.run("r1", fail)
    assert states(night.store) == {"r1": ("partial", 1)}
    monkeypatch.setattr("flows.prelabel_dataset.plan_dataset", None)  # nothing has changed, so nothing is planned anew
    night.run("r2", resumes="r1")
    assert night.ingests == ["r1"]
    done, planned = night.landed()
    assert done == planned > 1
    assert states(night.store) == {"r1": ("partial", 0), "r2": ("complete", 0)}
    again = CliRunner().invoke(app, ["resume", "r1", "--store", night.store.root])
    assert (again.exit_code, again.stdout) == (0, "Nothing is left of r1.\n")


@pytest.mark.slow
def test_a_cancelled_night_stops_between_batches(night: Night) -> None:
    """No batch is begun once the mark is there; the run ends as cancelled, and can be resumed."""

    def call_off(store: str, run_id: str, **given: Any) -> None:
        done = CliRunner().invoke(app, ["cancel", run_id, "--store", store])
        assert done.exit_code == 0, done.stdout
        prelabel_batches.fn(store=store, run_id=run_id, **given)

    with pytest.raises(RunCancelledError, match="labelop resume r1"):
        night.run("r1", call_off)
    assert night.landed()[0] == 0
    assert states(night.store) == {"r1": ("cancelled", 1)}
    assert not Path(night.report).exists()
    night.run("r2", resumes="r1")
    done, planned = night.landed()
    assert done == planned


class Killed(BaseException):
    """The process is gone at this instruction."""


@pytest.mark.slow
@pytest.mark.parametrize("holds", [False, True], ids=["all landed", "held back"])
def test_a_night_that_died_over_its_report_is_open(night: Night, monkeypatch: pytest.MonkeyPatch, holds: bool) -> None:
    """It counted as complete, also where images waited, and nobody wrote its report; resuming does that and no more."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("flows.nightly.write_report", die)
        if holds:
            patch.setattr("flows.prelabel_dataset.load_team", lambda _: Team(0, 6.0))
        with pytest.raises(Killed):
            night.run("r1")
    assert states(night.store) == {"r1": ("open", 0)}
    assert not Path(night.report).exists()
    night.run("unused", resumes="r1")
    assert night.ingests == ["r1"]
    assert states(night.store) == {"r1": ("partial" if holds else "complete", 0)}
    assert Path(night.report).is_file()
