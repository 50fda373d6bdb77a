"""Embedded parents whose children fail: what they say, and what is done all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.ingest_dataset import ingest_dataset
from flows.nightly import nightly
from flows.prelabel_dataset import prelabel_dataset
from labelop.cli import app
from labelop.errors import (
    AnnotationError,
    CatalogError,
    ConfigurationError,
    EngineUnavailableError,
    RunFailedError,
)
from labelop.jobs import parse_job
from labelop.landing.store import Store, read_rows
from labelop.recovery import Asked, start
from labelop.runs import FINISHED, INGESTED, RunEvent, record
from tasks.dispatch import embedded
from tests.contract.doubles import http_server
from tests.small_sample import ROOT, make_night


def test_a_failed_ingest_fails_its_dataset_in_its_own_words(tmp_path: Path) -> None:
    """The night names the dataset with what its child said and advised, and the next dataset has its turn."""
    asked: list[str] = []

    def ingest(job: dict[str, Any], **_: object) -> None:
        asked.append(job["dataset"])
        raise AnnotationError(f"{job['dataset']} has no truth.", hint="Draw some.")

    night = [{"dataset": name, "source": str(tmp_path), "source_format": "folder"} for name in ("one", "two")]
    with embedded({"ingest-dataset/onprem": ingest}), pytest.raises(RunFailedError) as caught:
        nightly.fn(night, store=str(tmp_path / "store"), report=str(tmp_path / "report.html"))
    assert asked == ["one", "two"]
    assert "ended with 2 problems: " in caught.value.message
    assert "one: one has no truth." in caught.value.message
    assert "two: two has no truth." in caught.value.message
    assert "Draw some." in caught.value.hint


def test_a_report_that_cannot_be_written_hides_no_failure(tmp_path: Path) -> None:
    """Why a dataset failed is said beside the report's own trouble; alone that is one problem."""

    def ingest(**_: object) -> None:
        raise AnnotationError("It has no truth.")

    (tmp_path / "report.html").mkdir()
    night = [{"dataset": "one", "source": str(tmp_path)}]
    with embedded({"ingest-dataset/onprem": ingest}), pytest.raises(RunFailedError) as caught:
        nightly.fn(night, store=str(tmp_path / "store"), report=str(tmp_path / "report.html"))
    assert "one: It has no truth. | report: The report cannot be written to" in caught.value.message
    with embedded({"ingest-dataset/onprem": ingest}), pytest.raises(RunFailedError, match="ended with 1 problem: one"):
        nightly.fn(night, store=str(tmp_path / "store"), report=str(tmp_path / "page.html"))


def test_a_night_whose_newer_version_is_left_is_not_told_that_all_is_done(tmp_path: Path) -> None:
    """An older run finished an older version meanwhile; the hint said that all datasets are done."""
    store = Store(str(tmp_path / "store"))
    job = {"dataset": "one", "source": str(tmp_path), "source_format": "folder"}
    start(store, "older", [Asked("one", job=parse_job(job))])
    record(store, RunEvent("older", "one", "v-1", INGESTED))

    def ingest(run_id: str, **_: object) -> None:
        record(store, RunEvent(run_id, "one", "v-2", INGESTED))

    def prelabel(**_: object) -> None:
        record(store, RunEvent("older", "one", "v-1", FINISHED))
        raise EngineUnavailableError("Nobody answers.")

    with (
        embedded({"ingest-dataset/onprem": ingest, "prelabel-dataset/onprem": prelabel}),
        pytest.raises(RunFailedError) as caught,
    ):
        nightly.fn([job], store=store.root, report=str(tmp_path / "report.html"), run_id="newer")
    assert "`labelop resume newer` does only the rest" in caught.value.hint


def test_an_unknown_ontology_ends_a_night_before_its_work(tmp_path: Path) -> None:
    """No child is started where a job names an ontology that no arm labels."""
    night = [{"dataset": "one", "source": str(tmp_path), "ontology": "celsl"}]
    with embedded({}), pytest.raises(ConfigurationError, match="'celsl'"):
        nightly.fn(night, store=str(tmp_path / "store"), report=str(tmp_path / "report.html"))
    assert not (tmp_path / "report.html").exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_dead_cloud_leaves_the_premises_at_work(tmp_path: Path) -> None:
    """Every batch on premises lands, none of the cloud does, and the command says what did not answer."""
    night = make_night(tmp_path / "sample")
    # of the first dataset only: each further one would say the same
    night.write_text(yaml.safe_dump(yaml.safe_load(night.read_text())[:1]))
    store = tmp_path / "store"
    command = [sys.executable, "-c", "from labelop.cli import main; main()", "demo", "--store", str(store)]
    done = subprocess.run(
        [*command, "--night", str(night), "--batch-images", "4"],
        cwd=ROOT, env={**os.environ, "LABELOP_CLOUD_URL": "http://127.0.0.1:9"},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr[-2000:]
    assert "at http://127.0.0.1:9 cannot be reached" in done.stderr
    tables = Store(str(store))
    planned = {row["batch_id"]: row["placement"] for row in read_rows(tables, "batches")}
    landed = {row["batch_id"] for row in read_rows(tables, "prelabels")}
    assert set(planned.values()) == {"onprem", "cloud"}
    assert landed == {key for key, placement in planned.items() if placement == "onprem"}
    # no image came near the cloud, so nothing is booked there
    assert {(row["placement"], row["outcome"]) for row in read_rows(tables, "usage")} == {("onprem", "finished")}


def test_a_cloud_that_fails_at_everything_is_asked_again_the_next_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night whose server answers 500 to all ends with exit code 1; the next one, with a good one, lands the rest."""
    night = make_night(tmp_path / "sample", images=4)
    night.write_text(yaml.safe_dump(yaml.safe_load(night.read_text())[:1]))
    tables = Store(str(tmp_path / "store"))
    words = ["demo", "--store", tables.root, "--night", str(night), "--batch-images", "4"]
    with http_server(lambda: (500, {}, b'{"error": "broken"}')) as (url, seen):
        monkeypatch.setenv("LABELOP_CLOUD_URL", url)
        first = CliRunner().invoke(app, words)
    assert (first.exit_code, "Traceback" in first.output) == (1, False)
    assert "The server is at fault, not the images" in first.stderr
    assert seen
    planned = {row["batch_id"] for row in read_rows(tables, "batches")}
    assert {row["placement"] for row in read_rows(tables, "prelabels")} == {"onprem"}
    failed = [row for row in read_rows(tables, "usage") if row["placement"] == "cloud"]
    assert all(row["outcome"] == "failed" and row["sent_bytes"] > 0 for row in failed)
    monkeypatch.delenv("LABELOP_CLOUD_URL")
    second = CliRunner().invoke(app, words)
    assert second.exit_code == 0, second.stderr
    landed = read_rows(tables, "prelabels")
    assert {row["batch_id"] for row in landed} == planned == {row["batch_id"] for row in read_rows(tables, "batches")}
    assert "cloud" in {row["placement"] for row in landed}
    assert "failed" not in {row["outcome"] for row in landed}


def test_a_child_with_a_wrong_configuration_is_not_sent_again(tmp_path: Path) -> None:
    """What an operator wrote wrong is tried once; what a retry may heal is sent once more."""
    night = yaml.safe_load(make_night(tmp_path / "sample", images=4).read_text())[:1]
    sent: list[str] = []

    def fail(placement: str, **_: object) -> None:
        sent.append(placement)
        raise {"onprem": CatalogError("no such card"), "cloud": EngineUnavailableError("no answer")}[placement]

    flows: dict[str, Any] = {f"prelabel-batches/{place}": fail for place in ("onprem", "cloud")}
    flows |= {"ingest-dataset/onprem": ingest_dataset.fn, "prelabel-dataset/onprem": prelabel_dataset.fn}
    with embedded(flows), pytest.raises(RunFailedError, match="no such card"):
        nightly.fn(night, store=str(tmp_path / "store"), report=str(tmp_path / "report.html"))
    assert sorted(sent) == ["cloud", "cloud", "onprem"]
