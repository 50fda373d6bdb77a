"""The commands that look after the tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.maintain_store import maintain_store
from labelop import schemas
from labelop.cli import app
from labelop.landing.store import Store, land, read
from labelop.landing.upkeep import maintain
from labelop.settings import MOST_RETENTION_HOURS


def test_maintain_says_what_became_of_each_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command and flow do the same: files are put together once, and nothing is lost."""
    store = Store(str(tmp_path))
    for number in range(3):
        land(store, "prices", [dict.fromkeys(schemas.table("prices").schema.names)], str(number))
    done = CliRunner().invoke(app, ["maintain", "--store", str(tmp_path), "--format", "json"])
    assert done.exit_code == 0
    (said,) = json.loads(done.stdout)
    assert (said["table"], said["files_before_count"], said["files_after_count"]) == ("prices", 3, 1)
    (again,) = maintain_store.fn(store=str(tmp_path))
    assert (again.files_before_count, again.removed_count) == (1, 0)
    assert read(store, "prices").num_rows == 3


def test_upgrade_names_what_it_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of the version before becomes this release's; a second call has nothing to do."""
    now = schemas.table("prices")
    older = schemas.Table("prices", now.version - 1, now.schema.remove(now.schema.get_field_index("source")), now.grain)
    with monkeypatch.context() as before:
        before.setitem(schemas.TABLES, "prices", older)
        land(Store(str(tmp_path)), "prices", [], "k")
    command = ["store", "upgrade", "--store", str(tmp_path), "--format", "json"]
    done = CliRunner().invoke(app, command)
    assert [row["added"] for row in json.loads(done.stdout)] == ["source"]
    assert json.loads(CliRunner().invoke(app, command).stdout) == []


@pytest.mark.parametrize("command", [["maintain"], ["store", "upgrade"], ["retain"], ["runs"]])
def test_a_store_that_is_not_there_is_refused(tmp_path: Path, command: list[str]) -> None:
    """No rows and exit code 0 looked like work done; most often the store's name is misspelt."""
    done = CliRunner().invoke(app, [*command, "--store", str(tmp_path / "strore")])
    assert done.exit_code == 1
    assert f"There is no table in {tmp_path / 'strore'}. Hint: Check --store and LABELOP_STORE" in done.stderr


@pytest.mark.parametrize("hours", [str(MOST_RETENTION_HOURS + 1), "2562047788016", "1" + "0" * 23])
def test_a_retention_beyond_all_readers_is_refused(tmp_path: Path, hours: str) -> None:
    """The table library's clock cannot count them, and it ended the command with its own stack trace."""
    land(store := Store(str(tmp_path)), "prices", [], "k")
    runner, command = CliRunner(), ["maintain", "--store", str(tmp_path)]
    assert runner.invoke(app, [*command, "--retention-hours", hours]).exit_code == 2
    said = runner.invoke(app, command, env={"LABELOP_STORE_RETENTION_HOURS": hours})
    assert said.exit_code == 1
    assert "store_retention_hours" in said.stderr.lower()
    with pytest.raises(ValueError, match=str(MOST_RETENTION_HOURS)):
        maintain(store, int(hours))
    assert runner.invoke(app, [*command, "--retention-hours", str(MOST_RETENTION_HOURS)]).exit_code == 0
