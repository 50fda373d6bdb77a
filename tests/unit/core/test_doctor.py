"""The doctor: every fault of an installation is a line, and none of them ends the examination."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable

from labelop import schemas
from labelop.doctor import Finding, examine
from labelop.egress.audit import AuditLog
from labelop.landing.store import Store, land
from labelop.landing.tables import VERSION_PROPERTY

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
    assert "not asked: there is no store" in found["store probe"].detail
    assert not (tmp_path / "store").exists()  # the probe made it, with its answer in it


def test_a_broken_file_is_one_line_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault names its file; what comes after it is examined all the same."""
    (tmp_path / "config/policy.yaml").write_text("schema: 7\n")
    found = findings(tmp_path, monkeypatch)
    assert not found["policy.yaml"].ok
    assert "policy.yaml" in found["policy.yaml"].detail
    assert found["prices.yaml"].ok


def test_a_policy_past_its_date_is_not_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image would count as restricted, and the operator would not know why nothing goes to the cloud."""
    policy = tmp_path / "config/policy.yaml"
    policy.write_text(re.sub(r"(?m)^valid_until:.*$", "valid_until: 2020-01-31", policy.read_text()))
    found = findings(tmp_path, monkeypatch)["policy.yaml"]
    assert not found.ok
    assert "2020-01-31" in found.detail


def test_an_arm_whose_model_is_missing_is_not_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every arm is looked at, also one of an ontology that tonight's datasets do not have."""
    routing = tmp_path / "config/routing.yaml"
    routing.write_text(routing.read_text().replace("detector: parcels-small", "detector: parcels-tiny"))
    found = findings(tmp_path, monkeypatch)["routing.yaml"]
    assert not found.ok
    assert "key detector has the value 'parcels-tiny'" in found.detail


def test_the_egress_log_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No log is fine, a whole chain is fine, and a changed line is found with its number."""
    assert findings(tmp_path, monkeypatch)["egress log"].ok
    path = tmp_path / "store/audit/egress.jsonl"
    AuditLog(path).append_many([{"image_id": "a"}, {"image_id": "b"}])
    whole = findings(tmp_path, monkeypatch)["egress log"]
    assert whole.ok
    assert "2 lines" in whole.detail
    path.write_text(path.read_text().replace('"b"', '"c"'))
    broken = findings(tmp_path, monkeypatch)["egress log"]
    assert not broken.ok
    assert "line 2" in broken.detail


def test_a_table_that_cannot_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one table was opened, so stores on which nothing worked were found sound; each bad one says what helps."""
    store = Store(str(tmp_path / "store"))
    for name in ("prices", "datasets", "runs"):
        land(store, name, [dict.fromkeys(schemas.table(name).schema.names)], "k")
    assert findings(tmp_path, monkeypatch)["store"].detail == "1 dataset versions"
    next((tmp_path / "store/prices").glob("*.parquet")).unlink()
    DeltaTable(store.uri("runs")).alter.set_table_properties({VERSION_PROPERTY: "0"}, raise_if_not_exists=False)
    found = findings(tmp_path, monkeypatch)
    assert not found["store"].ok
    assert {"prices", "runs"} == {name.split()[1] for name, one in found.items() if name.startswith("table")}
    assert "No such file" in found["table prices"].detail
    assert "from a copy of the store" in found["table prices"].detail
    assert "`labelop store upgrade`" in found["table runs"].detail


def test_secrets_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of settings can be pasted into an issue."""
    monkeypatch.setenv("LABELOP_S3_SECRET", "hunter2")
    assert "hunter2" not in str(findings(tmp_path, monkeypatch))
