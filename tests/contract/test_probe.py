"""A store that lets two racing writers win is refused by name before a night begins; the answer is remembered."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labelop.doctor import examine
from labelop.errors import LandingError, UnsafeStoreError
from labelop.landing import probe
from labelop.landing.store import land, open_store, read_rows
from labelop.settings import Settings, load_settings
from tests.faults.proxy import BUCKET, Behaviour, proxy, s3_server


@pytest.fixture(scope="module")
def careless() -> Iterator[tuple[str, Behaviour]]:
    """Run a real S3 server behind a proxy that takes conditions and ignores them."""
    behaviour = Behaviour(ignores_conditions=True)
    with s3_server() as upstream, proxy(upstream, behaviour) as address:
        yield address, behaviour


def _settings(address: str, prefix: str, *, single: bool = False) -> Settings:
    return load_settings(
        store=f"s3://{BUCKET}/{prefix}", s3_endpoint=address, s3_key="key", s3_secret="s", store_single_writer=single
    )


def test_a_store_that_ignores_conditions_is_refused_by_name(careless: tuple[str, Behaviour]) -> None:
    """The message names the store, its endpoint and the condition; the probe took less than ten seconds."""
    address, behaviour = careless
    behaviour.ignores_conditions = True
    settings = _settings(address, "refused")
    found = probe.ask(open_store(settings), settings)
    assert (found.rounds_count, found.safe) == (probe.ROUNDS, False)
    assert found.seconds < 10
    with pytest.raises(UnsafeStoreError, match=r"refused at http://127.*If-None-Match.*20 of 20 races of 32"):
        probe.require_safe(open_store(settings), settings)


def test_a_good_answer_is_remembered_for_its_address(
    careless: tuple[str, Behaviour], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store is asked once and not again while the answer is fresh, about this address and whole."""
    address, behaviour = careless
    behaviour.ignores_conditions = False
    monkeypatch.setattr(probe, "ROUNDS", 2)
    settings = _settings(address, "kept")
    store = open_store(settings)
    assert probe.require_safe(store, settings).remembered is False  # type: ignore[union-attr]
    before = behaviour.counts["requests"]
    assert probe.require_safe(store, settings).remembered is True  # type: ignore[union-attr]
    assert behaviour.counts["requests"] - before <= 3
    copied = _settings(address.replace("127.0.0.1", "localhost"), "kept")
    assert probe.remembered(open_store(copied), copied) is None
    monkeypatch.setattr(probe, "_GOOD_FOR", -probe._GOOD_FOR)
    assert probe.remembered(store, settings) is None


def test_the_single_writer_mode_is_the_operators_word(careless: tuple[str, Behaviour]) -> None:
    """With the setting nothing is asked, and the processes of one machine land each key once on a careless store."""
    address, behaviour = careless
    behaviour.ignores_conditions = True
    settings = _settings(address, "single", single=True)
    store = open_store(settings)
    assert probe.require_safe(store, settings) is None
    assert land(store, "images", [], "k")
    assert not land(store, "images", [], "k")
    assert read_rows(store, "images") == []


def test_a_folder_is_asked_for_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk where a link replaces what is there is refused; a good one is remembered; a torn answer is asked again."""
    settings = load_settings(store=str(tmp_path))
    store = open_store(settings)
    monkeypatch.setattr(os, "link", lambda source, target: Path(target).write_bytes(Path(source).read_bytes()))
    with pytest.raises(UnsafeStoreError, match="hard link"):
        probe.require_safe(store, settings)
    monkeypatch.undo()
    assert probe.require_safe(store, settings)
    kept = json.loads((tmp_path / "store-probe.json").read_text())
    assert (kept["rounds_count"], kept["writers_count"]) == (20, 32)
    assert probe.remembered(store, settings)
    (tmp_path / "store-probe.json").write_text("{torn")
    assert probe.remembered(store, settings) is None
    assert [one.name for one in tmp_path.iterdir()] == ["store-probe.json"]


def test_two_starts_at_once_find_a_good_store_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that begins and ends while another is at its races takes nothing away from it."""
    settings = load_settings(store=str(tmp_path))
    store = open_store(settings)
    monkeypatch.setattr(probe, "ROUNDS", 2)
    race, others = probe._race, iter([True])

    def late(*given: Any) -> Any:
        won = race(*given)
        if next(others, False):
            assert probe.ask(store, settings).safe
        return won

    monkeypatch.setattr(probe, "_race", late)
    assert probe.ask(store, settings).safe
    assert [one.name for one in tmp_path.iterdir()] == ["store-probe.json"]


def test_the_doctor_says_what_the_probe_found(tmp_path: Path) -> None:
    """`labelop doctor` shows races and date."""
    (said,) = [one for one in examine(str(tmp_path)) if one.subject == "store probe"]
    assert said.ok
    assert "of 32 racing writers one won, 20 times" in said.detail


def test_a_store_that_is_away_is_no_unsafe_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be asked is told as that."""
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setattr("labelop.object_store._TRIES", 1)
    settings = _settings("http://127.0.0.1:9", "away")
    with pytest.raises(LandingError, match="cannot be probed"):
        probe.require_safe(open_store(settings), settings)
