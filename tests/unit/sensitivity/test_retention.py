"""Evidence is kept as long as the policy says, and its end opens nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet
from typer.testing import CliRunner

from flows.maintain_store import maintain_store
from labelop.cli import app
from labelop.egress.audit import entries
from labelop.egress.vault import Vault
from labelop.errors import PolicyError, SealedDataError
from labelop.landing.store import Store, land, read_rows
from labelop.schemas import table
from labelop.sensitivity.clearance import clear, standings
from labelop.sensitivity.levels import Level
from labelop.sensitivity.policy import SensitivityPolicy, load_policy
from labelop.sensitivity.results import finding_rows
from labelop.sensitivity.retention import retain, run_out
from labelop.sensitivity.signals.base import Finding
from labelop.settings import Settings, load_settings

SAMPLE = Path("data/sample/config/policy.yaml")
NOW = datetime(2026, 11, 21, tzinfo=UTC)
FACE = Finding("faces", "1", "face", Level.CONFIDENTIAL, "a face", (0.0, 0.0, 4.0, 4.0), None, "t" * 8)
SAID = Finding("declared", "1", "declared_level", Level.PUBLIC, "said")


def policy(folder: Path, days: dict[str, int]) -> SensitivityPolicy:
    """Write the sample's policy with a retention, and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = yaml.safe_load(SAMPLE.read_text()) | {"retention_days": days}
    (folder / "policy.yaml").write_text(yaml.safe_dump(content))
    return load_policy(folder / "policy.yaml")


@dataclass
class Home:
    """A store with one picture of a face, found 100 days ago, and something sealed of it."""

    store: Store
    settings: Settings
    rules: SensitivityPolicy

    def land(self, name: str, *rows: dict[str, Any], days: float = 100, key: str = "") -> None:
        """Land rows of some age."""
        common: dict[str, Any] = {
            "dataset": "d",
            "dataset_version": "v",
            "image_id": "i",
            "policy_digest": self.rules.digest,
        }
        common |= {"findings_digest": "f", "run_id": "r", "landed_at": NOW - timedelta(days=days)}
        columns = table(name).schema.names
        shared = dict.fromkeys(columns) | {name: value for name, value in common.items() if name in columns}
        land(self.store, name, [shared | row for row in rows], f"{name}{key}")


def home(folder: Path, **days: int) -> Home:
    """Make one."""
    settings = load_settings(store=str(folder / "store"), config=folder / "config")
    made = Home(Store(settings.store), settings, policy(folder / "config", days))
    made.land("images", {"path": "i.jpg", "outcome": "ok"})
    made.land("findings", *finding_rows([SAID, FACE]))
    made.land("levels", {"level": "confidential", "reason": "faces:face"})
    made.land("signal_results", {"signal": "faces", "signal_version": "1", "outcome": "ok", "observations": []})
    return made


def test_what_has_run_out_is_listed_then_dropped_and_told(tmp_path: Path) -> None:
    """Listing drops nothing; dropping takes evidence of that level, what signals saw and the key, and logs it once."""
    here = home(tmp_path, restricted=30, confidential=90)
    vault = Vault(here.settings.keys_path)
    sealed = vault.seal("d", b"features", purpose="embedding")
    listed = run_out(here.store, here.rules, here.settings, NOW)
    assert [(one.what, one.about, one.count) for one in listed] == [
        ("findings", "confidential", 1),
        ("signal_results", "", 1),
        ("vault key", "d", 1),
    ]
    assert len(read_rows(here.store, "findings")) == 2
    assert retain(here.store, here.rules, here.settings, "r1", NOW) == listed
    assert [row["category"] for row in read_rows(here.store, "findings")] == ["declared_level"]
    assert read_rows(here.store, "signal_results") == []
    assert [row["reason"] for row in read_rows(here.store, "levels")] == ["faces:face"]
    with pytest.raises(SealedDataError, match="shredded"):
        vault.open("d", sealed, purpose="embedding")
    assert retain(here.store, here.rules, here.settings, "r2", NOW) == []
    (line,) = entries(here.settings.audit_path)
    assert (line["event"], line["run_id"], len(line["dropped"])) == ("run_out", "r1", 3)


def test_evidence_that_is_gone_opens_nothing(tmp_path: Path) -> None:
    """A face that could be painted over lets an image out; once its finding is dropped the image stays at home."""
    here = home(tmp_path, restricted=30, confidential=90)
    before = standings(here.store, "d", "v", here.rules)["i"]
    assert clear(here.rules, before, "cloud") is not None
    retain(here.store, here.rules, here.settings, "r", NOW)
    after = standings(here.store, "d", "v", here.rules)["i"]
    assert (after.level, after.findings) == (Level.CONFIDENTIAL, ())
    assert clear(here.rules, after, "cloud") is None


def test_what_is_young_or_has_no_end_stays(tmp_path: Path) -> None:
    """Without a retention nothing runs out, nor does what landed within it; a dataset with new images keeps its key."""
    forever = home(tmp_path / "a")
    assert retain(forever.store, forever.rules, forever.settings, "r", NOW) == []
    assert len(read_rows(forever.store, "findings")) == 2
    here = home(tmp_path / "b", restricted=30)
    Vault(here.settings.keys_path).seal("d", b"features", purpose="embedding")
    here.land("images", {"path": "j.jpg", "outcome": "ok"}, days=29, key="2")
    here.land("signal_results", {"signal": "text", "outcome": "ok", "observations": []}, days=29, key="2")
    dropped = retain(here.store, here.rules, here.settings, "r", NOW)
    assert [(one.what, one.count) for one in dropped] == [("signal_results", 1)]
    assert len(read_rows(here.store, "findings")) == 2
    assert [row["signal"] for row in read_rows(here.store, "signal_results")] == ["text"]


def test_rows_can_land_again_and_be_classified_anew(tmp_path: Path) -> None:
    """Dropping takes rows, not the table: keys that landed stay landed, and new rows land as before."""
    here = home(tmp_path, restricted=30, confidential=90)
    retain(here.store, here.rules, here.settings, "r", NOW)
    here.land("findings", *finding_rows([FACE]))
    assert len(read_rows(here.store, "findings")) == 1
    here.land("findings", *finding_rows([FACE]), key="again")
    assert len(read_rows(here.store, "findings")) == 2


@pytest.mark.parametrize(
    "days", [{"restricted": 0}, {"secret": 3}, {"confidential": 30}, {"restricted": 9, "public": 8}]
)
def test_a_retention_that_could_open_something_is_refused(tmp_path: Path, days: dict[str, int]) -> None:
    """Evidence of a level may not outlive that of the level below: what is left would explain less than there was."""
    with pytest.raises(PolicyError, match="retention_days"):
        policy(tmp_path, days)


def test_a_retention_classifies_nothing_again(tmp_path: Path) -> None:
    """How long evidence is kept changes no level, so the policy keeps its digest."""
    digests = {policy(tmp_path, days).digest for days in ({}, {"restricted": 30})}
    assert digests == {load_policy(SAMPLE).digest}


def test_the_command_lists_and_drops(tmp_path: Path) -> None:
    """`labelop retain --dry-run` shows what `labelop retain` then drops."""
    here = home(tmp_path, restricted=30, confidential=90)
    where = ["--store", here.settings.store, "--format", "json"]
    ran = [
        CliRunner().invoke(app, ["retain", *more, *where], env={"LABELOP_CONFIG": str(here.settings.config)})
        for more in (["--dry-run"], [], [])
    ]
    told = [[row["what"] for row in json.loads(one.output)] for one in ran]
    assert told == [["findings", "signal_results"], ["findings", "signal_results"], []]


def test_maintenance_drops_too_and_removes_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weekly flow carries the retention out; with no reader to wait for, no file of the table has the evidence."""
    here = home(tmp_path, restricted=30, confidential=90)
    monkeypatch.setenv("LABELOP_CONFIG", str(here.settings.config))
    maintain_store.fn(store=here.settings.store, retention_hours=0)
    assert [row["category"] for row in read_rows(here.store, "findings")] == ["declared_level"]
    files = list(Path(here.store.uri("findings")).glob("*.parquet"))
    left = [row["category"] for file in files for row in parquet.read_table(file).to_pylist()]
    assert left == ["declared_level"]
