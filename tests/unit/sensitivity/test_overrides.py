"""An override is landed for what the person saw, counts at once, and keys and names are asked for."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.errors import ManifestError, SettingsError
from labelop.landing.store import Store, read_rows
from labelop.sensitivity.effective import effective_levels
from labelop.sensitivity.keys import token_key
from labelop.sensitivity.levels import Level
from labelop.sensitivity.overrides import record_override
from labelop.settings import Settings

PICTURE = Path("data/sample/sensitivity/images/gps_00.jpg")


def run(store: Path, *words: str) -> str:
    """Run a command that must succeed."""
    done = CliRunner().invoke(app, [*words, "--store", str(store)])
    assert done.exit_code == 0, done.output
    return done.output


def test_an_override_counts_at_once(tmp_path: Path) -> None:
    """After a person's word the level in force is theirs, and the explanation still shows the evidence."""
    source, store = tmp_path / "source", tmp_path / "store"
    source.mkdir()
    shutil.copy(PICTURE, source)
    run(store, "ingest", str(source), "--dataset", "d", "--sensitivity", "public", "--ontology", "parcels")
    [row] = read_rows(Store(str(store)), "levels")
    image = str(row["image_id"])
    assert row["level"] == "restricted"
    word = ("--level", "internal", "--by", "A. Miller", "--reason", "open sea", "--until", "2999-12-31")
    run(store, "classify", "override", image[:12], *word)
    levels = effective_levels(Store(str(store)), "d", str(row["dataset_version"]), str(row["policy_digest"]))
    assert levels == {image: Level.INTERNAL}
    assert "gps" in run(store, "classify", "--explain", image)


def test_an_override_says_nothing_for_another_owner(tmp_path: Path) -> None:
    """The same bytes, declared restricted by an owner who came later, are restricted for everybody."""
    store = tmp_path / "store"
    shared = ("--sensitivity", "restricted", "--ontology", "parcels")
    for name in ("alpha", "beta"):
        (tmp_path / name).mkdir()
        shutil.copy(PICTURE, tmp_path / name)
    run(store, "ingest", str(tmp_path / "alpha"), "--dataset", "alpha", *shared)
    [row] = read_rows(Store(str(store)), "levels")
    image = str(row["image_id"])
    word = ("--level", "public", "--by", "A. Miller", "--reason", "open sea", "--until", "2999-12-31")
    run(store, "classify", "override", image, *word)

    def levels() -> set[Level]:
        rows = read_rows(Store(str(store)), "levels")
        asked = [(str(r["dataset"]), str(r["dataset_version"]), str(r["policy_digest"])) for r in rows]
        return {effective_levels(Store(str(store)), *one)[image] for one in asked}

    assert levels() == {Level.PUBLIC}
    run(store, "ingest", str(tmp_path / "beta"), "--dataset", "beta", *shared)
    assert levels() == {Level.RESTRICTED}


@pytest.mark.parametrize(
    ("by", "reason", "until"),
    [
        (" ", "r", date(2999, 1, 1)),
        ("n", "", date(2999, 1, 1)),
        ("n", "r", date(2020, 1, 1)),
        ("n", "r", date(2999, 1, 1)),
    ],
)
def test_a_bad_override_is_refused(tmp_path: Path, by: str, reason: str, until: date) -> None:
    """No name, no reason, a day that is over, or an image nobody classified: nothing lands."""
    store = Store(str(tmp_path))
    with pytest.raises(ManifestError):
        record_override(store, "0" * 64, Level.PUBLIC, by, reason, until, "run-1")
    assert read_rows(store, "overrides") == []


def test_the_key_is_kept_from_others(tmp_path: Path) -> None:
    """The key is made once with mode 0600, read again, and refused where others may read it or it is broken."""
    settings = Settings(store=str(tmp_path / "store"))
    key = token_key(settings)
    path = tmp_path / "store-keys" / "tokens.key"
    assert (len(key), path.stat().st_mode & 0o777, token_key(settings)) == (64, 0o600, key)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="0640"):
        token_key(settings)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(SettingsError, match="no key"):
        token_key(settings)


def test_a_place_beside_the_store_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """The key is not put among the tables instead."""
    (tmp_path / "store-keys").write_text("a file")
    with pytest.raises(SettingsError, match="beside the store"):
        token_key(Settings(store=str(tmp_path / "store")))


def test_a_key_among_the_tables_is_moved_beside_them(tmp_path: Path) -> None:
    """Who copies the store must not get the key with it; tokens, and overrides that rest on them, stay as they were."""
    former = tmp_path / "store" / "keys" / "tokens.key"
    former.parent.mkdir(parents=True)
    former.write_text("ab" * 32)
    settings = Settings(store=str(tmp_path / "store"))
    assert token_key(settings) == token_key(settings) == "ab" * 32
    assert not list((tmp_path / "store").rglob("*.key"))
