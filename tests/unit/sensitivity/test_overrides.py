"""An override is landed for what the person saw, counts at once, and keys and names are asked for."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.egress.audit import AuditLog, entries, verify
from labelop.errors import ManifestError, SettingsError
from labelop.landing.store import Store, land, read_rows
from labelop.schemas import utc_now
from labelop.sensitivity import overrides
from labelop.sensitivity.effective import effective_levels
from labelop.sensitivity.keys import token_key
from labelop.sensitivity.levels import Level
from labelop.sensitivity.overrides import MOST_DAYS, record_override, withdraw_override
from labelop.settings import Settings

PICTURE = Path("data/sample/sensitivity/images/gps_00.jpg")
TODAY = utc_now().date()
LATER = TODAY + timedelta(days=30)


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
    word = ("--level", "internal", "--by", "A. Miller", "--reason", "open sea", "--until", LATER.isoformat())
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
    word = ("--level", "public", "--by", "A. Miller", "--reason", "open sea", "--until", LATER.isoformat())
    run(store, "classify", "override", image, *word)

    def levels() -> set[Level]:
        rows = read_rows(Store(str(store)), "levels")
        asked = [(str(r["dataset"]), str(r["dataset_version"]), str(r["policy_digest"])) for r in rows]
        return {effective_levels(Store(str(store)), *one)[image] for one in asked}

    assert levels() == {Level.PUBLIC}
    run(store, "ingest", str(tmp_path / "beta"), "--dataset", "beta", *shared)
    assert levels() == {Level.RESTRICTED}


@pytest.mark.parametrize(
    ("by", "reason", "until", "words"),
    [
        (" ", "r", LATER, "name of a person"),
        ("\u200b\u2060", "r", LATER, "name of a person"),
        ("n", "\u200b", LATER, "a reason"),
        ("n\udcff", "r", LATER, "name of a person"),
        ("n", "", LATER, "a reason"),
        ("n", "r" * 1001, LATER, "expected 1 to 1000"),
        ("n", "r", date(2020, 1, 1), "expired already"),
        ("n", "r", TODAY + timedelta(days=MOST_DAYS + 1), "too long"),
        ("n", "r", date(9999, 12, 31), "too long"),
        ("n", "r", LATER, "not been classified"),
    ],
)
def test_a_bad_override_is_refused(tmp_path: Path, by: str, reason: str, until: date, words: str) -> None:
    """No name, no reason, a day that is over or too far off, an image nobody classified: nothing lands or is logged."""
    store, log = Store(str(tmp_path)), AuditLog(tmp_path / "egress.jsonl")
    with pytest.raises(ManifestError, match=words):
        record_override(store, log, "0" * 64, Level.PUBLIC, by, reason, until, "run-1")
    assert read_rows(store, "overrides") == []
    assert not log.path.exists()


def classified(folder: Path) -> tuple[Path, str]:
    """Take the picture in and classify it; the store and the id of its image."""
    source, store = folder / "source", folder / "store"
    source.mkdir()
    shutil.copy(PICTURE, source)
    run(store, "ingest", str(source), "--dataset", "d", "--sensitivity", "public", "--ontology", "parcels")
    return store, str(read_rows(Store(str(store)), "levels")[0]["image_id"])


def level_of(store: Path, image: str) -> Level:
    """Read the level that counts."""
    [row] = read_rows(Store(str(store)), "levels")
    return effective_levels(Store(str(store)), "d", str(row["dataset_version"]), str(row["policy_digest"]))[image]


def test_a_word_can_be_taken_back_and_said_again(tmp_path: Path) -> None:
    """The level follows each word at once, no older one comes back, and the chained log names who, why and how long."""
    store, image = classified(tmp_path)
    who = ("--by", "A. Miller", "--reason", "open sea")
    levels = []
    for words in (
        ("override", image, "--level", "public", "--until", LATER.isoformat(), *who),
        ("override", image, "--level", "internal", "--until", LATER.isoformat(), *who),
        ("withdraw", image, "--by", "B. Jones", "--reason", "harbour"),
        ("override", image, "--level", "internal", "--until", LATER.isoformat(), *who),
    ):
        run(store, "classify", *words)
        levels.append(level_of(store, image))
    assert levels == [Level.PUBLIC, Level.INTERNAL, Level.RESTRICTED, Level.INTERNAL]
    log = Settings(store=str(store)).audit_path
    assert verify(log).cause == ""
    lines = [one for one in entries(log, image_id=image) if one["event"].startswith("override")]
    told = [(one["event"], one["level"], one["by"], one["reason"], one["until"], one["datasets"]) for one in lines]
    set_, back = ("override", "internal", "A. Miller", "open sea", LATER.isoformat(), ["d"]), "override_withdrawn"
    assert told[1:] == [set_, (back, "withdrawn", "B. Jones", "harbour", TODAY.isoformat(), ["d"]), set_]
    shown = run(store, "audit", "show", "--image", image, "--format", "json")
    assert all(word in shown for word in ("A. Miller", "B. Jones", "harbour", back, LATER.isoformat()))


@pytest.mark.parametrize("hours", [-2, 2])
def test_words_count_in_the_order_they_were_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """A word said while the clock is wrong counts as the newest: ordered by time, one taken back stayed in force."""
    store, image = classified(tmp_path)
    tables, log = Store(str(store)), AuditLog(tmp_path / "egress.jsonl")
    record_override(tables, log, image, Level.PUBLIC, "A. Miller", "open sea", LATER, "run-1")
    now = utc_now()
    with monkeypatch.context() as clock:
        clock.setattr(overrides, "utc_now", lambda: now + timedelta(hours=hours))
        withdraw_override(tables, log, image, "B. Jones", "harbour", "run-2")
    assert level_of(store, image) is Level.RESTRICTED
    record_override(tables, log, image, Level.INTERNAL, "A. Miller", "open sea", LATER, "run-3")
    assert level_of(store, image) is Level.INTERNAL


@pytest.mark.parametrize("level", ["public", "confidential"])
def test_of_two_words_at_one_moment_the_stricter_counts(tmp_path: Path, level: str) -> None:
    """Two people who speak at once have the same position: what takes back wins over what leaves open."""
    store, image = classified(tmp_path)
    tables, log = Store(str(store)), AuditLog(tmp_path / "egress.jsonl")
    record_override(tables, log, image, Level.from_text(level), "A. Miller", "open sea", LATER, "run-1")
    [row] = read_rows(tables, "overrides")
    for name, said in (("o-0", "withdrawn"), ("o-z", "public")):
        other = row | {"override_id": name, "level": said, "landed_at": row["landed_at"] - timedelta(hours=1)}
        land(tables, "overrides", [other], name)
    assert level_of(store, image) is Level.RESTRICTED
    with pytest.raises(ManifestError, match="No override counts"):
        withdraw_override(tables, log, image, "B. Jones", "harbour", "run-2")


def test_only_a_word_that_counts_can_be_taken_back(tmp_path: Path) -> None:
    """Without one, or a second time, it is refused, and the log does not say that it happened."""
    store, image = classified(tmp_path)
    words = ["classify", "withdraw", image, "--by", "n", "--reason", "r", "--store", str(store)]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "No override counts" in done.output) == (1, True)
    assert not [one for one in entries(Settings(store=str(store)).audit_path) if "override" in str(one["event"])]


@pytest.mark.parametrize("command", ["override", "withdraw"])
def test_a_word_counts_only_when_the_log_has_it(tmp_path: Path, command: str) -> None:
    """Where no line can be written the level stays as it was, when it is set and when it is taken back."""
    store, image = classified(tmp_path)
    who = ["--by", "n", "--reason", "r", "--store", str(store)]
    set_ = ["classify", "override", image, "--level", "public", "--until", LATER.isoformat(), *who]
    if command == "withdraw":
        assert CliRunner().invoke(app, set_).exit_code == 0
    before, log = level_of(store, image), Settings(store=str(store)).audit_path
    log.unlink(missing_ok=True)
    log.mkdir(parents=True)
    done = CliRunner().invoke(app, set_ if command == "override" else ["classify", "withdraw", image, *who])
    assert done.exit_code == 1
    assert level_of(store, image) is before


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
