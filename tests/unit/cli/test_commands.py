"""Commands: 0 done, 1 failed with one line on standard error, 2 wrong usage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from labelop.cli import app
from labelop.landing.store import Store, land
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
    ["prelabel", "--dataset", "toys", "--batch-images", "0"],
    ["query", "accounting", "--param", "dataset"],
    ["query", "accounting", "--format", "xml"],
    ["explain"],
    ["review", "import", "file.json"],
]

FAILURES = [
    (["classify", "--dataset", "toys"], "Dataset 'toys' is not in"),
    (["route", "--dataset", "toys"], "Dataset 'toys' is not in"),
    (["query", "no_such_query"], "no_such_query"),
    (["explain", "abcd"], "No images begin with 'abcd'"),
    (["ingest", "no/such/folder", "--dataset", "toys"], "no/such/folder"),
    (["ingest", "somewhere", "--dataset", "../toys"], "dataset"),
    (["nightly", "--night", "absent.yaml"], "absent.yaml"),
    (["doctor", "--store", "ftp://host/x"], "LABELOP_STORE"),
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

    def importing(_store: Store, _file: Path, *, dataset: str, tool: str, run_id: str) -> ImportResult:
        calls.append((f"import {dataset} {tool}", run_id))
        return ImportResult(landed=2, quarantined=1, skipped=0)

    def editing(_store: Store, run_id: str, *, dataset: str) -> int:
        calls.append((f"edits {dataset}", run_id))
        return 5

    monkeypatch.setattr("labelop.review.exchange.import_file", importing)
    monkeypatch.setattr("labelop.effort.ledger.land_edits", editing)
    result = run("review", "import", "export.json", "--dataset", "toys", "--format", "json")
    assert json.loads(result.stdout) == [{"landed": 2, "quarantined": 1, "skipped": 0}]
    assert [what for what, _ in calls] == ["import toys label-studio", "edits toys"]
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
