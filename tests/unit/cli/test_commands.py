"""Commands: 0 done, 1 failed with one line on standard error, 2 wrong usage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from labelop.cli import app
from labelop.landing.store import Store, land
from labelop.queries import CheckResult
from labelop.review.intake import ImportResult
from labelop.schemas import table, utc_now

RUNNER = CliRunner()
SAMPLE = Path(__file__).resolve().parents[3] / "data/sample"

COMMANDS = [
    ["ingest"],
    ["classify"],
    ["route"],
    ["prelabel"],
    ["nightly"],
    ["demo"],
    ["review"],
    ["review", "export"],
    ["review", "import"],
    ["query"],
    ["explain"],
    ["report"],
    ["models"],
    ["models", "list"],
    ["models", "verify"],
    ["doctor"],
]

WRONG_USAGE = [
    ["fly"],
    ["ingest"],
    ["ingest", "somewhere"],
    ["classify"],
    ["nightly"],
    ["nightly", "--dataset", "toys"],
    ["nightly", "--night", "n.yaml", "--dataset", "toys", "--source", "somewhere"],
    ["nightly", "--night", "n.yaml", "--dataset", "toys"],
    ["nightly", "--night", "n.yaml", "--source-format", "folder"],
    ["nightly", "--night", "n.yaml", "--reviews", "."],
    ["nightly", "--dataset", "toys", "--source", ".", "--reviews", "no/such/folder"],
    ["nightly", "--dataset", "toys", "--source", ".", "--ontology", "clouds"],
    ["nightly", "--dataset", "toys", "--source", ".", "--format", "csv"],
    ["demo", "--format", "parquet"],
    ["explain", "abcd", "--format", "csv"],
    ["ingest", ".", "--dataset", "../toys"],
    ["ingest", ".", "--dataset", "toys", "--sensitivity", "publik"],
    ["ingest", ".", "--dataset", "toys", "--source-format", "tfrecord"],
    ["ingest", ".", "--dataset", "toys", "--ontology", "clouds"],
    ["review", "import", "file.json", "--dataset", "toys", "--tool", "paper"],
    ["review", "import", "file.json", "--dataset", "toys", "--arm", "local"],
    ["review", "import", "file.json", "--dataset", "toys", "--tool", "coco", "--reviewer", "7"],
    ["query", "no_such_query"],
    ["query", "accounting", "--param", "colour=red"],
    ["query", "accounting", "--dataset", "toys"],
    ["prelabel", "--dataset", "toys", "--batch-images", "0"],
    ["query", "accounting", "--param", "dataset"],
    ["query", "accounting", "--format", "xml"],
    ["explain"],
    ["review", "import", "file.json"],
]

FAILURES = [
    (["classify", "--dataset", "toys"], "Dataset 'toys' is not in"),
    (["route", "--dataset", "toys"], "Dataset 'toys' is not in"),
    (["explain", "abcd"], "No images begin with 'abcd'"),
    (["explain", "zzzz"], "hex digits"),
    (["ingest", "no/such/folder", "--dataset", "toys"], "no/such/folder"),
    (["nightly", "--night", "absent.yaml"], "absent.yaml"),
    (["report", "--output", "/proc/report.html"], "--output"),
    (["report", "--dataset", "toys"], "Dataset 'toys' is not in"),
    (["doctor", "--store", "ftp://host/x"], "LABELOP_STORE"),
    (["doctor", "--store", "/proc/self/status"], "is a file"),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command on an empty store, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABELOP_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("LABELOP_CONFIG", str(SAMPLE / "config"))
    monkeypatch.setenv("LABELOP_CATALOG", str(SAMPLE / "models"))

    def invoke(*arguments: str) -> Result:
        return RUNNER.invoke(app, list(arguments))

    return invoke


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str]) -> None:
    """Help answers with 0 and says what the command does."""
    result = RUNNER.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_ends_with_2(arguments: list[str], run: Callable[..., Result]) -> None:
    """A missing, unknown or impossible argument is usage, not failure; nothing is written."""
    assert run(*arguments).exit_code == 2
    assert not Path("store").exists()


@pytest.mark.parametrize(("arguments", "said"), FAILURES, ids=[" ".join(arguments) for arguments, _ in FAILURES])
def test_a_failure_is_one_line_and_1(arguments: list[str], said: str, run: Callable[..., Result]) -> None:
    """What failed is said in one line on standard error, without a traceback, and nothing on standard output."""
    result = run(*arguments)
    if arguments[0] == "doctor":
        assert result.exit_code == 1
        assert said in result.output
        return
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_an_unknown_query_is_one_line_and_2(run: Callable[..., Result]) -> None:
    """A wrong name is usage; the line names the queries there are, and the command that lists them."""
    result = run("query", "zzzzzzzz")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "accounting" in result.stderr
    assert "`labelop query` lists them" in result.stderr


def test_several_tables_say_which_form_they_have(run: Callable[..., Result]) -> None:
    """Who asks for CSV of several tables is told how to get one of them."""
    said = " ".join(run("explain", "abcd", "--format", "csv").stderr.replace("│", " ").split())
    assert "labelop query NAME --format csv" in said


@pytest.mark.parametrize("store", ["/proc/labelop", "/etc/hostname"])
def test_a_store_that_cannot_be_written_is_one_line(store: str, run: Callable[..., Result], tmp_path: Path) -> None:
    """No traceback where the machine refuses a folder, and the place is named."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes((SAMPLE / "smears/images/smear_0000.jpg").read_bytes())
    result = run("ingest", "images", "--dataset", "toys", "--ontology", "cells", "--store", store)
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert store in line
    assert "Traceback" not in result.output


def test_the_last_resort_names_the_file(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """What no module expected from the machine is still one line."""

    def refuse(_store: Store, _id: str, **_more: bool) -> dict[str, Any]:
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr("labelop.explain.explain_image", refuse)
    result = run("explain", "abcd")
    assert result.stderr.startswith("error: Permission denied: /some/file. Hint: Mend that and run again")


def test_a_store_without_tables_is_warned_about(run: Callable[..., Result], tmp_path: Path) -> None:
    """A misspelt store answers with no rows and says so, in a form that keeps standard output whole."""
    result = run("query", "accounting", "--store", str(tmp_path / "strore"), "--format", "csv")
    assert result.exit_code == 0
    assert result.stderr == f"warning: no table in {tmp_path / 'strore'}\n"
    assert result.stdout.startswith("dataset,")
    row: dict[str, Any] = dict.fromkeys(table("images").schema.names)
    land(Store(str(tmp_path / "store")), "images", [{**row, "path": "a", "landed_at": utc_now()}], "k")
    assert run("query", "accounting").stderr == ""


def test_a_wrong_configuration_is_said_once_and_before_any_work(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night of two datasets with a broken price file is one error with one hint, and nothing lands."""
    shutil.copytree(SAMPLE / "config", tmp_path / "config")
    (tmp_path / "config/prices.yaml").write_text("schema: 1\n")
    (tmp_path / "night.yaml").write_text("- {dataset: a, source: x}\n- {dataset: b, source: x}\n")
    monkeypatch.setenv("LABELOP_CONFIG", str(tmp_path / "config"))
    result = run("nightly", "--night", "night.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert [result.stderr.count(word) for word in ("error:", "prices.yaml:", "Hint:")] == [1, 1, 1]
    assert not (tmp_path / "store").exists()


def test_a_failed_night_has_one_hint(run: Callable[..., Result], tmp_path: Path) -> None:
    """Trouble of two datasets is one line that names both and says once what to do."""
    (tmp_path / "night.yaml").write_text("- {dataset: a, source: no/a}\n- {dataset: b, source: no/b}\n")
    result = run("nightly", "--night", "night.yaml")
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert all(place in line for place in ("no/a", "no/b"))
    assert line.count("Hint:") == 1


def test_checks_that_warn_are_lines_of_standard_error(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a night each such check is told with its name and its number of rows."""
    (tmp_path / "night.yaml").write_text("- {dataset: a, source: no/a}\n")
    found = [
        CheckResult("failed_images", "warn", "No image failed.", ({"image_id": "a"}, {"image_id": "b"})),
        CheckResult("review_without_edits", "warn", "Complete.", ()),
    ]
    monkeypatch.setattr("labelop.summary.run_checks", lambda _store: found)
    said = run("nightly", "--night", "night.yaml").stderr
    warnings = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert warnings == ["warning: check failed_images found 2 rows; expected: No image failed."]


def test_an_engine_that_cannot_run_a_model_is_said(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the reference was measured, and nothing said that torch was not."""
    monkeypatch.setattr("labelop.engines.measure.measure", lambda *_, **__: [])
    monkeypatch.setattr("labelop.catalog.profile.land_profile", lambda *_: [])
    said = run("models", "profile", "--engine", "torch", "--model", "cells-small").stderr
    assert "warning: cells-small is of format onnx, which torch cannot run" in said


def test_a_recommendation_says_why_in_every_form(run: Callable[..., Result]) -> None:
    """JSON was bare rows: neither where images may go nor what was chosen was in it."""
    asked = ("models", "recommend", "--task", "detection", "--density", "high", "--level", "restricted")
    said = json.loads(run(*asked, "--format", "json").stdout)
    sentences = [row["sentence"] for row in said["explanation"]]
    assert any("may be prelabelled onprem" in sentence for sentence in sentences)
    assert any(sentence.startswith("For detection of cells take cells-large") for sentence in sentences)
    assert {row["ontology"] for row in said["candidates"]} == {"cells", "parcels"}
    table = run(*asked, "--format", "csv")
    assert table.stdout.startswith("model_id,")
    assert sentences[0] in table.stderr
    assert "it has any, cells, parcels" in run(*asked, "--ontology", "cels").stderr


def test_no_arguments_show_help(run: Callable[..., Result]) -> None:
    """Somebody who types the bare name is shown the commands."""
    result = run()
    assert "nightly" in result.output
    assert "doctor" in result.output


def test_queries_are_listed(run: Callable[..., Result]) -> None:
    """Without a name all queries are listed with their purpose."""
    listed = json.loads(run("query", "--format", "json").stdout)
    assert {"accounting", "arm_cost", "local_vs_cloud"} <= {row["query"] for row in listed}
    assert all(row["purpose"] for row in listed)


def test_the_store_can_be_named_either_way(run: Callable[..., Result], tmp_path: Path) -> None:
    """`--store` wins over LABELOP_STORE, and the answer is of that store."""
    other = Store(str(tmp_path / "other"))
    row: dict[str, Any] = dict.fromkeys(table("images").schema.names)
    given: Mapping[str, Any] = {"dataset": "toys", "dataset_version": "v-1", "path": "a.jpg", "image_id": "ab" * 32}
    land(other, "images", [{**row, **given, "landed_at": utc_now()}], "k")
    result = run("explain", "abab", "--store", other.root, "--format", "json")
    assert json.loads(result.stdout)["images"][0]["path"] == "a.jpg"
    assert run("explain", "abab").exit_code == 1


def test_an_import_measures_what_it_brought(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reviews get their edits in the same run, or they would count as reviews that changed nothing."""
    calls: list[tuple[str, str]] = []

    def importing(
        _store: Store, _file: Path, *, dataset: str, tool: str, run_id: str, arm: str, reviewer: None, events: None
    ) -> ImportResult:
        calls.append((f"import {dataset} {tool} {arm}", run_id))
        assert (reviewer, events) == (None, None)
        return ImportResult(landed=2, quarantined=1, skipped=0)

    def editing(_store: Store, run_id: str, *, dataset: str) -> int:
        calls.append((f"edits {dataset}", run_id))
        return 5

    monkeypatch.setattr("labelop.review.exchange.import_file", importing)
    monkeypatch.setattr("labelop.effort.ledger.land_edits", editing)
    result = run("review", "import", "export.json", "--dataset", "toys", "--format", "json")
    assert json.loads(result.stdout) == [{"landed": 2, "quarantined": 1, "skipped": 0, "unmeasured": 0}]
    assert [what for what, _ in calls] == ["import toys label-studio import", "edits toys"]
    assert len({run_id for _, run_id in calls}) == 1


def test_classify_and_route_of_an_ingested_dataset(run: Callable[..., Result], tmp_path: Path) -> None:
    """Ingest, classify and route follow one another on the command line; unknown images are restricted."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes((SAMPLE / "smears/images/smear_0000.jpg").read_bytes())
    (tmp_path / "images/b.jpg").write_bytes(b"no image")
    taken = run("ingest", "images", "--dataset", "toys", "--ontology", "cells", "--format", "json")
    assert taken.exit_code == 0, taken.stderr
    levels = run("classify", "--dataset", "toys", "--format", "json")
    assert [row["level"] for row in json.loads(levels.stdout)] == ["restricted"]
    decided = run("route", "--dataset", "toys", "--explain")
    assert decided.exit_code == 0, decided.stderr
    assert "restricted" in decided.stdout
