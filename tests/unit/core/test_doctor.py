"""The doctor: every fault of an installation is a line, and none of them ends the examination."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from labelop.doctor import Finding, examine

CONFIG = Path(__file__).resolve().parents[3] / "data/sample/config"


def findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    """Examine an installation with its own copy of the configuration."""
    monkeypatch.setenv("LABELOP_CONFIG", str(tmp_path / "config"))
    return {finding.subject: finding for finding in examine(str(tmp_path / "store"))}


@pytest.fixture(autouse=True)
def _config(tmp_path: Path) -> None:
    shutil.copytree(CONFIG, tmp_path / "config")


def test_a_sound_installation_is_said_to_be_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, queries and an empty store are fine, and every setting is shown."""
    found = findings(tmp_path, monkeypatch)
    assert all(found[name].ok for name in ("policy.yaml", "routing.yaml", "prices.yaml", "sql", "store"))
    assert found["setting store"].detail == str(tmp_path / "store")
    assert found["store"].detail == "0 dataset versions"
    assert found["library deltalake"].ok


def test_a_broken_file_is_one_line_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault names its file; what comes after it is examined all the same."""
    (tmp_path / "config/policy.yaml").write_text("schema: 7\n")
    found = findings(tmp_path, monkeypatch)
    assert not found["policy.yaml"].ok
    assert "policy.yaml" in found["policy.yaml"].detail
    assert found["prices.yaml"].ok


def test_secrets_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of settings can be pasted into an issue."""
    monkeypatch.setenv("LABELOP_S3_SECRET", "hunter2")
    assert "hunter2" not in str(findings(tmp_path, monkeypatch))
