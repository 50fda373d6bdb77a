"""What is removed from the outbox is on head office's disk, whoever died before and whoever else lands there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from labelop.errors import HeadOfficeUnavailableError
from labelop.landing.store import Store, land_many
from labelop.site import handover
from labelop.site.answers import QUESTIONS, queue_answers
from labelop.site.handover import hand_over_rows
from tests.unit.site.parts import site_of
from tests.unit.site.test_handover import link_of, store_of, stream


def synced_by(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Give the list of what is synced from now on."""
    synced: list[Path] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


def test_what_landed_before_a_death_is_synced_by_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A try that died after its commit synced nothing; the next one found the keys, synced nothing, and removed all."""
    site, store = site_of(tmp_path), store_of(tmp_path)
    queue_answers(site.outbox, store, "bccd", "night-1")
    assert site.head is not None
    with monkeypatch.context() as dying:
        dying.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            hand_over_rows(site, link_of(site))
    landed = {*Path(site.head.root).rglob("*.parquet"), *Path(site.head.root).rglob("_delta_log/*.json")}
    assert landed
    synced = synced_by(monkeypatch)
    assert hand_over_rows(site, link_of(site)).items_count == len(QUESTIONS)
    assert landed | {Path(site.head.root)} <= set(synced)


def test_a_file_of_another_site_that_vanishes_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its staging file was listed and is gone when it is to be synced; a FileNotFoundError ended the sync."""
    site, store = site_of(tmp_path), store_of(tmp_path)
    queue_answers(site.outbox, store, "bccd", "night-1")
    assert site.head is not None
    log = Path(site.head.root) / "site_datasets/_delta_log"

    def land_beside_another(head: Store, name: str, groups: Any) -> list[bool]:
        landed = land_many(head, name, groups)
        if name == "site_datasets":
            (log / "9.json.tmp").symlink_to("gone")  # listed, and not there for who opens it
        return landed

    monkeypatch.setattr(handover, "land_many", land_beside_another)
    assert hand_over_rows(site, link_of(site)).items_count == len(QUESTIONS)


def test_a_disk_that_does_not_sync_is_head_office_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What landed and is not durable waits on, and `--wait` tries again; it was an OSError of no kind of ours."""
    site = site_of(tmp_path)
    site.outbox.put("rows-00", {"table": "site_datasets", "run_id": "night-1"}, stream(dataset=["bccd"]))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
    with pytest.raises(HeadOfficeUnavailableError, match="no"):
        hand_over_rows(site, link_of(site))
    assert len(site.outbox.items()) == 1
