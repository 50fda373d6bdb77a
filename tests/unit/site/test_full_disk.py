"""A disk without room is told by the file that found none, ends one dataset alone, and leaves nothing half done."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer

from flows.nightly import nightly
from labelop.cli_output import failing_in_one_line
from labelop.egress.audit import AuditLog
from labelop.errors import LandingError, MachineError, RunFailedError, SiteError, of_machine
from labelop.landing.store import Store, read_rows
from labelop.recovery import left_of
from labelop.runs import FINISHED, INGESTED, RunEvent, record
from labelop.site.answers import QUESTIONS
from tasks.dispatch import embedded
from tasks.told import safe
from tests.unit.site.parts import settings_of, site_of


@contextmanager
def no_room() -> Iterator[None]:
    """Let no file be written to its end, as on a full disk."""

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


def test_an_outbox_without_room_says_so(tmp_path: Path) -> None:
    """The error is the site's and names file and remedy, nothing half written stays, and a later try takes the item."""
    outbox = site_of(tmp_path).outbox
    outbox.put("rows-00", {})
    with no_room(), pytest.raises(SiteError, match=r"No space left on device: .*-rows-01\.item") as caught:
        outbox.put("rows-01", {})
    assert "Make room" in caught.value.hint
    assert [item.key for item in outbox.items()] == ["rows-00"]
    assert [file.name for file in outbox.folder.iterdir() if file.name.endswith(".tmp")] == []
    outbox.put("rows-01", {})
    assert [item.key for item in outbox.items()] == ["rows-00", "rows-01"]


def test_an_item_that_waits_already_is_on_disk(tmp_path: Path) -> None:
    """Who put it there may have died before its name was durable: taking it again syncs the folder, or fails."""
    outbox = site_of(tmp_path).outbox
    outbox.put("rows-00", {})
    with no_room(), pytest.raises(SiteError):
        outbox.put("rows-00", {})


class Nights:
    """Nights of a site over datasets without an image, whose children do next to nothing."""

    def __init__(self, folder: Path) -> None:
        self.site = site_of(folder)
        self.store = Store(str(folder / "store"))
        self._report = str(folder / "report.html")
        self.ingested: list[str] = []

    def run(self, run_id: str, *datasets: str, **more: Any) -> None:
        """Do a night."""
        night = [{"dataset": name, "source": "/nowhere", "source_format": "folder"} for name in datasets]
        with embedded({"ingest-dataset/onprem": self._ingest, "prelabel-dataset/onprem": lambda **_: None}):
            nightly.fn(night, self.store.root, self._report, run_id, **more)

    def _ingest(self, job: dict[str, Any], run_id: str, **_: object) -> None:
        self.ingested.append(job["dataset"])
        if job["dataset"] == "full":
            raise OSError(errno.ENOSPC, "No space left on device", "/disk/somewhere")
        record(self.store, RunEvent(run_id, job["dataset"], "v1", INGESTED))

    def finished(self) -> set[tuple[str, str]]:
        """Give run and dataset of what is done."""
        return {(row["run_id"], row["dataset"]) for row in read_rows(self.store, "runs") if row["event"] == FINISHED}


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    """Make the site, by its settings in the environment; what a night does around its datasets is left out."""
    for name in ("require_safe", "run_checks", "gather_tables"):
        monkeypatch.setattr(f"flows.nightly.{name}", lambda *_: [])
    monkeypatch.setattr("flows.nightly.write_report", lambda *_, **__: tmp_path)
    settings = settings_of(tmp_path)
    for name in ("store", "site", "head_store", "config", "catalog"):
        monkeypatch.setenv(f"LABELOP_{name.upper()}", str(getattr(settings, name)))
    return Nights(tmp_path)


def test_a_night_goes_on_behind_a_dataset_without_room(nights: Nights) -> None:
    """The next dataset has its turn, and the end names file and remedy; an error of the system ended the night."""
    with pytest.raises(RunFailedError) as caught:
        nights.run("r1", "full", "good")
    assert nights.ingested == ["full", "good"]
    assert nights.finished() == {("r1", "good")}
    assert "full: No space left on device: /disk/somewhere." in caught.value.message
    assert "Make room there" in caught.value.hint


def test_an_end_that_finds_no_room_hides_no_failure(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed before is said beside it, and the run can be resumed; the last error was all that was told."""

    def refuse(*_: object) -> None:
        raise LandingError("Table 'runs' did not take it.")

    monkeypatch.setattr("flows.nightly.end", refuse)
    with pytest.raises(RunFailedError, match=r"full: No space left .* \| end: Table 'runs'"):
        nights.run("r1", "full")
    with pytest.raises(RunFailedError) as caught:
        nights.run("r2", "good")
    assert "`labelop resume r2` does only the rest" in caught.value.hint


def test_a_dataset_is_finished_when_head_office_is_sure_to_hear_of_it(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its answers find no room it is left to a resumed run, which queues them; it was finished and never told."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("labelop.site.outbox.write_durably", refuse)
        with pytest.raises(RunFailedError, match=r"one: The outbox .* cannot be written"):
            nights.run("r1", "one")
    assert nights.finished() == set()
    assert [one.dataset for one in left_of(nights.store, "r1")] == ["one"]
    nights.run("r2", resumes="r1")
    assert nights.ingested == ["one"]
    assert nights.finished() == {("r2", "one")}
    assert len(nights.site.outbox.items()) == len(QUESTIONS)


def test_the_command_line_names_the_file_without_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line has the file and what to do; `No space left on device.` was all of it."""
    log = AuditLog(tmp_path / "egress.jsonl")
    with no_room(), pytest.raises(typer.Exit), failing_in_one_line():
        log.append({"event": "drawn"})
    said = capsys.readouterr().err
    assert f"error: No space left on device: {tmp_path / 'egress.jsonl'}. Hint: Make room there and run again" in said
    assert said.count("\n") == 1


def test_the_orchestrator_hears_no_name_of_a_file() -> None:
    """An error of the system keeps its words on premises, and is one that a night goes on behind."""
    told = safe(OSError(errno.ENOSPC, "No space left on device", "/disk/patient-7.png"))
    assert isinstance(told, MachineError)
    assert str(of_machine(TimeoutError())).startswith("TimeoutError.")
    assert "patient-7" not in f"{told} {told.context} {told.__cause__} {told.__context__}"
