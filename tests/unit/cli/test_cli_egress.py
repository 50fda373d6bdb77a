"""Commands about what left: they show keys by their public half, and name the first bad line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from labelop.cli import app
from labelop.egress.audit import entries
from labelop.egress.set_up import open_gate
from labelop.egress.vault import Vault
from labelop.settings import load_settings
from tests.unit.egress.egress_values import Policy
from tests.unit.engines.models import picture

RUNNER = CliRunner()


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Let one image out and keep one in."""
    root = str(tmp_path / "store")
    gate = open_gate(Policy(internal={"cloud"}, restricted={"onprem"}), load_settings(store=root), "cloud")
    gate.release(picture(), "a" * 64, "internal", "run-1")
    gate.release_many([], "run-1")
    with pytest.raises(Exception, match="NOT_ALLOWED"):
        gate.release(picture(), "b" * 64, "restricted", "run-2")
    gate.close()
    return root


def run(store: str, *arguments: str) -> Result:
    """Run a command over the store."""
    return RUNNER.invoke(app, [*arguments, "--store", store])


def test_a_log_is_verified_against_its_heads(store: str, tmp_path: Path) -> None:
    """A whole log is vouched for to its end; a cut one fails with the line and the cause."""
    good = run(store, "audit", "verify")
    assert good.exit_code == 0
    assert "2 lines, chain whole" in good.output
    assert "vouch for 2" in good.output
    log = Path(store) / "audit/egress.jsonl"
    log.write_text(log.read_text().splitlines(keepends=True)[0])
    assert "line 2 (truncated)" in run(store, "audit", "verify").stderr
    heads = str(tmp_path / "store-keys/heads")
    assert run(store, "audit", "verify", "--heads", heads).exit_code == 1
    missing = run(store, "audit", "verify", "--heads", str(tmp_path))
    assert (missing.exit_code, "has no heads" in missing.stderr) == (1, True)


def test_a_log_without_its_heads_is_vouched_for_by_nothing(store: str, tmp_path: Path) -> None:
    """Heads that were signed and are gone fail the check; where none were ever signed that is said."""
    keys = tmp_path / "store-keys"
    for file in (keys / "heads").iterdir():
        file.unlink()
    missing = run(store, "audit", "verify")
    assert (missing.exit_code, "nothing vouches" in missing.stderr) == (1, True)
    for file in (keys / "vouched").iterdir():
        file.unlink()
    never = run(store, "audit", "verify")
    assert (never.exit_code, "nothing vouches" in never.stderr) == (0, True)


def test_what_happened_to_an_image_is_shown(store: str) -> None:
    """Lines are found by image and by run, with answer and reason; one of them has to be given."""
    (line,) = json.loads(run(store, "audit", "show", "--image", "bbb", "--format", "json").output)
    assert (line["answer"], line["reason"], line["level"]) == ("deny", "NOT_ALLOWED", "restricted")
    (line,) = json.loads(run(store, "audit", "show", "--run", "run-1", "--format", "json").output)
    assert (line["answer"], line["form"]["kind"]) == ("allow", "full")
    assert run(store, "audit", "show").exit_code == 2


def test_keys_are_made_listed_replaced_and_exported(tmp_path: Path) -> None:
    """Init, check, rotate, list and export; no output holds the private key."""
    store, folder = str(tmp_path / "store"), tmp_path / "store-keys"
    said = [run(store, "keys", "init"), run(store, "keys", "check"), run(store, "keys", "rotate")]
    said += [run(store, "keys", "list", "--format", "json"), run(store, "keys", "export-public", str(tmp_path / "far"))]
    assert [one.exit_code for one in said] == [0] * 5
    keys = json.loads(said[3].output)
    assert [key["retired_at"] is None for key in keys] == [False, True]
    assert len(list((tmp_path / "far").iterdir())) == 2
    secret = (folder / "release.key.pem").read_text().splitlines()[1]
    assert secret not in "".join(one.output for one in said)
    assert run(store, "keys", "init").exit_code == 1
    folder.chmod(0o755)
    wide = run(store, "keys", "check")
    assert (wide.exit_code, "chmod 700" in wide.stderr) == (1, True)


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e300", "-1", "99999999999"])
def test_a_grace_that_is_no_time_is_a_wrong_call(tmp_path: Path, seconds: str) -> None:
    """It is refused with exit code 2 and no traceback, and no key is made."""
    store = str(tmp_path / "store")
    run(store, "keys", "init")
    assert run(store, "keys", "rotate", "--grace-seconds", seconds).exit_code == 2
    assert len(list((tmp_path / "store-keys/public").iterdir())) == 1


def test_keys_with_a_date_that_is_none_are_listed_and_replaced(tmp_path: Path) -> None:
    """A file may hold any number: the list ended in a traceback, and the key was good for ever."""
    store, public = str(tmp_path / "store"), tmp_path / "store-keys/public"
    run(store, "keys", "init")
    run(store, "keys", "rotate")
    for file in public.iterdir():
        facts = json.loads(file.read_text())
        if facts["retired_ms"] is not None:
            file.write_text(json.dumps(facts | {"retired_ms": 10**303}))
    listed = run(store, "keys", "list", "--format", "json")
    assert (listed.exit_code, "no date" in listed.output) == (0, True)
    run(store, "keys", "rotate", "--grace-seconds", "0")
    assert "no date" not in run(store, "keys", "list", "--format", "json").output


def test_a_rotation_that_was_cut_off_is_told(tmp_path: Path) -> None:
    """Two public keys in use at once are a fault with a way out."""
    store = str(tmp_path / "store")
    run(store, "keys", "init")
    (first,) = (tmp_path / "store-keys/public").iterdir()
    before = first.read_bytes()
    run(store, "keys", "rotate")
    first.write_bytes(before)
    assert "cut off" in run(store, "keys", "check").stderr
    run(store, "keys", "rotate")
    assert run(store, "keys", "check").exit_code == 0


def test_shredding_asks_first(tmp_path: Path) -> None:
    """Without --yes and an answer nothing is lost; with it the key is gone, and the log says so once."""
    store = str(tmp_path / "store")
    run(store, "keys", "init")
    Vault(tmp_path / "store-keys").seal("night", b"pixels", purpose="spool")
    assert run(store, "keys", "shred", "--dataset", "night").exit_code == 1
    assert "1 data keys" in run(store, "keys", "check").output
    assert "is gone" in run(store, "keys", "shred", "--dataset", "night", "--yes").output
    assert "has no key" in run(store, "keys", "shred", "--dataset", "night", "--yes").output
    (line,) = entries(tmp_path / "store/audit/egress.jsonl")
    assert (line["event"], line["datasets"]) == ("key_shredded", ["night"])
