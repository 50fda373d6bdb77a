"""What the machine or a foreign library refuses is one line that names the place, without frames of anybody's code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from labelop.cli import app
from labelop.landing.store import Store, land, open_store, read_rows
from labelop.schemas import table, utc_now
from labelop.settings import load_settings

SAMPLE = Path(__file__).resolve().parents[3] / "data/sample"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command on the store of an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABELOP_STORE", str(tmp_path / "store"))
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def error_line(result: Result) -> str:
    """Give the one line that says what failed."""
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_annotations_that_are_refused_as_a_whole(run: Callable[..., Result], tmp_path: Path) -> None:
    """Where no class is known since its file was refused, that file and its reason are said, not only `classes []`."""
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells/a.jpg").write_bytes((SAMPLE / "smears/images/smear_0000.jpg").read_bytes())
    (tmp_path / "cells/annotations.json").write_text('{"images": [], "images": []}')
    asked = ("ingest", "cells", "--dataset", "toys", "--source-format", "coco")
    line = error_line(run(*asked))
    assert "annotations.json: The file has the key 'images' twice" in line
    assert run(*asked, "--ontology", "cells").exit_code == 0
    [row] = read_rows(open_store(load_settings()), "quarantine")
    assert (row["path"], row["pointer"], row["reason"]) == ("annotations.json", "#", "BAD_ANNOTATIONS")


def test_an_export_that_cannot_be_written(run: Callable[..., Result], tmp_path: Path) -> None:
    """The folder and the option that names it are said."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes((SAMPLE / "smears/images/smear_0000.jpg").read_bytes())
    assert run("ingest", "images", "--dataset", "toys", "--ontology", "cells").exit_code == 0
    line = error_line(run("review", "export", "--dataset", "toys", "--output", "/proc/x"))
    assert "cannot be written to /proc/x" in line
    assert "`--output` names a folder" in line


def test_a_corrupt_log_without_foreign_frames(run: Callable[..., Result], tmp_path: Path) -> None:
    """The table is named and what is wrong with it; where in the library it was noticed is nobody's business."""
    store = Store(str(tmp_path / "store"))
    row: dict[str, Any] = dict.fromkeys(table("images").schema.names)
    land(store, "images", [{**row, "path": "a", "landed_at": utc_now()}], "k")
    for log in (tmp_path / "store/images/_delta_log").glob("*.json"):
        log.write_text("no json\n")
    line = error_line(run("explain", "abcd"))
    assert "Table 'images'" in line
    assert "Json error" in line
    assert "0: " not in line
    assert "pthread" not in line


@pytest.mark.parametrize("command", [["models", "list"], ["models", "verify"]], ids=" ".join)
def test_a_catalog_without_a_card(
    command: list[str], run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model at all is a wrong folder, not an answer without rows."""
    monkeypatch.setenv("LABELOP_CATALOG", str(tmp_path))
    assert "has no model card" in error_line(run(*command))


def test_a_missing_policy_names_its_setting(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint says which setting leads to the file."""
    monkeypatch.setenv("LABELOP_CONFIG", str(tmp_path / "absent"))
    line = error_line(run("route", "--dataset", "toys"))
    assert "policy.yaml cannot be read" in line
    assert "LABELOP_CONFIG" in line
