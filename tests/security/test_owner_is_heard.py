"""Whoever keeps an image shut is heard: going back to restricted counts, and so does another owner of its bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.landing.store import Store, read_rows
from labelop.queries import run_checks, run_query
from tests.small_sample import SAMPLE

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _everything_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send every image that may leave: four images alone would not pay for a cloud's setup."""
    folder = tmp_path / "config"
    shutil.copytree(SAMPLE / "config", folder)
    routing = (folder / "routing.yaml").read_text()
    assert "compare_share: 0.2" in routing
    (folder / "routing.yaml").write_text(routing.replace("compare_share: 0.2", "compare_share: 1.0"))
    monkeypatch.setenv("LABELOP_CONFIG", str(folder))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four drawn parcels as a plain folder, without any declared level."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in sorted((SAMPLE / "parcels" / "images").glob("*.jpg"))[:4]:
        shutil.copy(path, folder)
    return folder


def _labelop(store: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--store", str(store)])
    assert done.exit_code == 0, done.output
    return done.output


def _ingest(store: Path, source: Path, dataset: str, level: str) -> None:
    _labelop(store, "ingest", str(source), "--dataset", dataset, "--sensitivity", level, "--ontology", "parcels")


def _sent(store: Path) -> set[str]:
    log = store / "audit" / "egress.jsonl"
    lines = [json.loads(line)["record"] for line in log.read_text().splitlines()] if log.exists() else []
    return {line["image_id"] for line in lines if line["answer"] == "allow"}


def test_going_back_to_restricted_is_heard(tmp_path: Path, pictures: Path) -> None:
    """Restricted, then public, then restricted again: nothing leaves, and every answer says restricted."""
    open_store = tmp_path / "open"
    _ingest(open_store, pictures, "d", "public")
    _labelop(open_store, "prelabel", "--dataset", "d")
    assert len(_sent(open_store)) == 4, "public images do leave, or this test could not fail"
    store = tmp_path / "store"
    for level in ("restricted", "public", "restricted"):
        _ingest(store, pictures, "d", level)
    _labelop(store, "prelabel", "--dataset", "d")
    assert _sent(store) == set()
    levels = run_query(Store(str(store)), "levels_summary").to_pylist()
    assert {row["level"] for row in levels if row["images_count"]} == {"restricted"}


def test_the_strictest_owner_of_the_same_bytes_decides(tmp_path: Path, pictures: Path) -> None:
    """Bytes that one dataset restricts do not leave under the name of another, and no check finds that they did."""
    store = tmp_path / "store"
    secret = tmp_path / "secret"
    secret.mkdir()
    kept = min(pictures.glob("*.jpg"))
    shutil.copy(kept, secret / "renamed.jpg")
    _ingest(store, secret, "secret", "restricted")
    _ingest(store, pictures, "open", "public")
    _labelop(store, "prelabel", "--dataset", "open")
    tables = Store(str(store))
    shut = {row["image_id"] for row in read_rows(tables, "levels") if row["dataset"] == "secret"}
    assert len(_sent(store)) == 3
    assert not shut & _sent(store)
    _labelop(store, "prelabel", "--dataset", "secret")
    assert [check.name for check in run_checks(tables) if not check.passed] == []


def test_moved_files_are_read_where_they_lie_now(tmp_path: Path, pictures: Path) -> None:
    """Content that was ingested again from another folder is read from there."""
    store = tmp_path / "store"
    _ingest(store, pictures, "d", "public")
    moved = pictures.rename(tmp_path / "moved")
    _ingest(store, moved, "d", "public")
    _labelop(store, "prelabel", "--dataset", "d")
    assert {row["outcome"] for row in read_rows(Store(str(store)), "prelabels")} <= {"ok", "empty"}


def test_another_ontology_is_decided_again(tmp_path: Path, pictures: Path) -> None:
    """After the class set was changed, routing and prelabelling use the models of the new one."""
    store = tmp_path / "store"
    _ingest(store, pictures, "d", "public")
    _labelop(store, "prelabel", "--dataset", "d")
    _labelop(store, "ingest", str(pictures), "--dataset", "d", "--sensitivity", "public", "--ontology", "cells")
    _labelop(store, "prelabel", "--dataset", "d")
    decided = run_query(Store(str(store)), "decisions").to_pylist()
    assert {row["model_id"] for row in decided} == {"cells-small", "cells-large"}
