"""Lineage events: how a run went, by ids and digests, and never what its images are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labelop.errors import SettingsError
from labelop.lineage import telling
from labelop.settings import Settings, load_settings

pytest.importorskip("openlineage.client")


def events(path: Path) -> list[dict[str, object]]:
    """Read what was told."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_that_ends_well_is_told_with_its_version(tmp_path: Path) -> None:
    """START and COMPLETE share a run id; the version is a facet, and the dataset's name is nowhere."""
    path = tmp_path / "lineage.jsonl"
    with telling(Settings(openlineage=path.as_uri()), "night-1", "patients-of-dr-a") as told:
        told.version = "v-0123"
    first, last = events(path)
    assert (first["eventType"], last["eventType"]) == ("START", "COMPLETE")
    assert first["run"]["runId"] == last["run"]["runId"]  # type: ignore[index]
    assert last["inputs"][0]["facets"]["version"]["datasetVersion"] == "v-0123"  # type: ignore[index]
    assert "patients" not in path.read_text()


def test_a_run_that_fails_is_told(tmp_path: Path) -> None:
    """The error goes on, and its words are not told."""
    path = tmp_path / "lineage.jsonl"
    with pytest.raises(ValueError, match="secret"), telling(Settings(openlineage=path.as_uri()), "n", "d"):
        raise ValueError("secret")
    assert events(path)[-1]["eventType"] == "FAIL"
    assert "secret" not in path.read_text()


def test_a_service_that_is_away_costs_a_warning(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """The night's work counts more than its lineage."""
    (tmp_path / "file").write_text("")
    folder = tmp_path / "lineage.jsonl"
    folder.mkdir()
    done = []
    with telling(Settings(openlineage=folder.as_uri()), "n", "d"):
        done.append(1)
    assert done
    assert "was not told" in caplog.text


def test_nothing_is_told_unless_asked_and_a_wrong_address_is_said(tmp_path: Path) -> None:
    """The default is silence; an address of another kind ends the run before any work."""
    with telling(Settings(), "n", "d") as told:
        told.version = "v"
    with pytest.raises(SettingsError, match="ftp"), telling(Settings(openlineage="ftp://x"), "n", "d"):
        pass


@pytest.mark.parametrize(
    "address", ["ftp://x?k=secret", "http://[secret", "https://host:secret/x", "http://host:99999999"]
)
def test_a_wrong_address_is_said_without_its_secrets(address: str) -> None:
    """It was repeated as it is, and so were the words of the libraries, which repeat it too."""
    settings = Settings.model_construct(openlineage=address)
    with pytest.raises(SettingsError, match="LABELOP_OPENLINEAGE") as caught, telling(settings, "n", "d"):
        pass
    assert "?k=" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("setting", ["openlineage", "s3_endpoint"])
@pytest.mark.parametrize("address", ["https://me:secret@host/x", "https://host/x?key=secret"])
def test_an_address_with_a_secret_is_refused_and_not_shown(setting: str, address: str) -> None:
    """`doctor` shows settings, and libraries their addresses, so no secret may stand in one."""
    with pytest.raises(SettingsError, match=f"LABELOP_{setting.upper()}") as caught:
        load_settings(**{setting: address})
    told = caught.value.__cause__
    assert "secret" not in f"{caught.value}{told}"
    assert load_settings(openlineage="file:///srv/me@home/lineage.jsonl").openlineage
