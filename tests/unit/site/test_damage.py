"""A damaged item costs a look at the disk, and none of those behind it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows.nightly import nightly
from labelop.errors import LandingError
from labelop.ids import canonical_json, sha256_hex
from labelop.landing.store import Store, read_rows
from labelop.prelabel.plan import PlannedBatch
from labelop.queries import run_query
from labelop.recovery import Asked, start
from labelop.runs import PRELABELLED, RunEvent, record
from labelop.site.answers import QUESTIONS, queue_answers
from labelop.site.damage import damage_of, losses_of_outbox, set_damaged_aside, tell_again
from labelop.site.handover import hand_over_rows, probe
from labelop.site.link import Link
from labelop.site.outbox import Item
from labelop.site.place import WORK, Site
from labelop.site.work import keep_for_sync, waiting_work
from tasks.dispatch import embedded
from tests.small_sample import SAMPLE
from tests.unit.report_rows import reviewed
from tests.unit.site.parts import head_rows, site_of

SIZES = {"batch_images": 4, "shard_batches": None}


class Death(BaseException):
    """The process is gone at this instruction; no handler of the product may catch it."""


def die(*_: object, **__: object) -> None:
    """End as kill -9 does."""
    raise Death


def night(site: Site, store: Store, dataset: str, *, lands: bool = True) -> Item:
    """Keep a dataset's work for the cloud as a night does; `lands` says whether its tables hold that it did."""
    batch = PlannedBatch("b-1", "cloud", "chosen", "cloud", "m", 0, ("i",))
    keep_for_sync(site, dataset, "v-1", [batch], SIZES)
    if lands:
        start(store, f"night-{dataset}", [Asked(dataset, PRELABELLED, batch_images=4)])
        record(
            store, RunEvent(f"night-{dataset}", dataset, "v-1", PRELABELLED, "partial", summary={"deferred_count": 1})
        )
    return site.outbox.items(WORK)[-1]


def damage(item: Item) -> bytes:
    """Turn one bit of a name in an item's facts; gives its bytes."""
    data = bytearray(item.path.read_bytes())
    data[data.index(b'"dataset":"') + 11] ^= 1
    item.path.write_bytes(data)
    return bytes(data)


def unseen(site: Site, item: Item) -> list[int]:
    """Turn a bit of each byte of an item alone; gives the places where nobody saw it."""
    data, missed = item.path.read_bytes(), []
    for place, byte in enumerate(data):
        item.path.write_bytes(data[:place] + bytes([byte ^ 1 << place % 8]) + data[place + 1 :])
        if damage_of(site, item) is None:
            missed.append(place)
    item.path.write_bytes(data)
    assert damage_of(site, item) is None
    return missed


def answered(folder: Path) -> Store:
    """Make a site's own store with an answer to every question."""
    return reviewed([("a.png", 120, 80, [("RBC", (10.0, 10.0, 40.0, 40.0))])]).land(Store(str(folder / "store")))


def aside_and_again(site: Site, store: Store) -> None:
    """Do what a sync does about damage."""
    set_damaged_aside(site, store)
    assert tell_again(site, store) == []


def handed_over(site: Site) -> int:
    """Hand over the rows that wait; gives how many items."""
    assert site.head is not None
    return hand_over_rows(site, Link(partial(probe, site.head))).items_count


def newest_run(site: Site, name: str) -> str:
    """Name the run of head office's newest answer."""
    rows: list[dict[str, Any]] = head_rows(site, name)
    return str(max(rows, key=lambda row: row["position"])["run_id"])


def assert_told_again(site: Site) -> None:
    """Head office's newest answer to every question is one of a retelling, and of one alone."""
    [run] = {newest_run(site, name) for name in QUESTIONS}
    assert run.startswith("again-")


def test_damaged_work_is_set_aside_and_waits_again_in_its_place(tmp_path: Path) -> None:
    """The tables say what it was, so it is done before those behind it; it stopped all of them, and was lost itself."""
    site, store = site_of(tmp_path), Store(str(tmp_path / "store"))
    items = [night(site, store, name) for name in ("a", "b", "c")]
    data = damage(items[1])
    [said] = set_damaged_aside(site, store)
    assert items[1].key in said
    assert [(work.dataset, work.sizes) for work in waiting_work(site)] == [(name, SIZES) for name in ("a", "b", "c")]
    [aside] = site.outbox.damaged()
    assert (aside.key, aside.path.read_bytes()) == (items[1].key, data)
    assert set_damaged_aside(site, store) == []


def test_damaged_work_that_no_table_knows_is_kept_again_by_the_next_night(tmp_path: Path) -> None:
    """It lies aside, those behind it go on, and its key is free: a night that found it waiting took nothing."""
    site, store = site_of(tmp_path), Store(str(tmp_path / "store"))
    first, _ = night(site, store, "a", lands=False), night(site, store, "b")
    damage(first)
    [said] = set_damaged_aside(site, store)
    assert "next night" in said
    assert [work.dataset for work in waiting_work(site)] == ["b"]
    assert night(site, store, "a").key == first.key
    assert [work.dataset for work in waiting_work(site)] == ["b", "a"]


def test_a_death_in_the_middle_loses_neither_the_bytes_nor_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies once the item has its second name leaves it to the next, which does the same."""
    site, store = site_of(tmp_path), Store(str(tmp_path / "store"))
    item = night(site, store, "a")
    data = damage(item)
    with monkeypatch.context() as dying:
        dying.setattr("labelop.site.outbox.write_durably", die)
        with pytest.raises(Death):
            set_damaged_aside(site, store)
    assert item.path.read_bytes() == data
    assert len(set_damaged_aside(site, store)) == 1
    assert [work.dataset for work in waiting_work(site)] == ["a"]
    assert site.outbox.damaged()[0].path.read_bytes() == data


def test_an_item_that_its_disk_does_not_give_back_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sector that cannot be read stops nothing either; it was an error of the system that ended every sync."""
    site, store = site_of(tmp_path), Store(str(tmp_path / "store"))
    item, real = night(site, store, "a"), Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.suffix == ".item" and path.name == item.path.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    with monkeypatch.context() as failing:
        failing.setattr(Path, "read_bytes", read_bytes)
        assert len(set_damaged_aside(site, store)) == 1
    assert [work.dataset for work in waiting_work(site)] == ["a"]


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_damaged_answers_are_told_again(tmp_path: Path, number: int) -> None:
    """Whichever it was, head office ends with the site's own answers, and those behind it are handed over too."""
    site, store = site_of(tmp_path), answered(tmp_path)
    damage(queue_answers(site.outbox, store, "bccd", "night-1")[number])
    [said] = set_damaged_aside(site, store)
    assert "told again" in said
    assert tell_again(site, store) == []
    assert handed_over(site) == 2 * len(QUESTIONS) - 1
    assert tell_again(site, store) == []
    assert site.outbox.items() == []
    assert site.head is not None
    assert_told_again(site)
    [known] = run_query(site.head, "sites").to_pylist()
    assert known["total_cost"] > 0


def test_what_work_changes_after_a_retelling_is_told(tmp_path: Path) -> None:
    """A sync that ran twice under one name told again, then did its work: head office dropped what was known of it."""
    site, store = site_of(tmp_path), answered(tmp_path)
    damage(queue_answers(site.outbox, store, "bccd", "night-1")[0])
    set_damaged_aside(site, store)
    tell_again(site, store)
    handed_over(site)
    queue_answers(site.outbox, store, "bccd", "sync-1")
    assert handed_over(site) == len(QUESTIONS)
    for name in QUESTIONS:
        assert newest_run(site, name) == "sync-1"


@pytest.mark.parametrize("dies_in", ["labelop.site.outbox.sync_folder", "labelop.site.damage.current_datasets"])
def test_a_death_before_the_retelling_leaves_it_to_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    """Also where somebody has removed what lies aside: nothing was damaged any more, and nobody told it."""
    site, store = site_of(tmp_path), answered(tmp_path)
    damage(queue_answers(site.outbox, store, "bccd", "night-1")[0])
    with monkeypatch.context() as dying:
        dying.setattr(dies_in, die)
        with pytest.raises(Death):
            aside_and_again(site, store)
    set_damaged_aside(site, store)
    site.outbox.damaged()[0].path.unlink()
    aside_and_again(site, store)
    handed_over(site)
    assert_told_again(site)


def test_answers_that_find_no_room_are_told_by_the_next_sync(tmp_path: Path) -> None:
    """It was left to the next night, which tells only of the datasets that it has."""
    store = answered(tmp_path)
    site = site_of(tmp_path, outbox_items=16)
    damage(queue_answers(site.outbox, store, "bccd", "night-1")[0])
    for number in range(10):
        night(site, store, f"d-{number}", lands=False)
    set_damaged_aside(site, store)
    [said] = tell_again(site, store)
    assert "do not fit" in said
    handed_over(site)
    assert tell_again(site, store) == []
    handed_over(site)
    assert_told_again(site)


def test_a_retelling_that_fails_is_a_problem_of_the_sync_and_stays_owed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended the sync before that was noted, and what had been set aside was not said."""
    site, store = site_of(tmp_path), answered(tmp_path)
    damage(queue_answers(site.outbox, store, "bccd", "night-1")[0])
    set_damaged_aside(site, store)

    def broken(_: Store) -> list[str]:
        raise LandingError("the disk is slow")

    with monkeypatch.context() as failing:
        failing.setattr("labelop.site.damage.current_datasets", broken)
        [said] = tell_again(site, store)
    assert "the disk is slow" in said
    assert tell_again(site, store) == []
    assert len(site.outbox.items()) == 2 * len(QUESTIONS) - 1


def test_no_byte_of_an_item_can_change_unseen(tmp_path: Path) -> None:
    """Facts were under no digest: a sync took the name of another dataset or version from a damaged item."""
    site, store = site_of(tmp_path), answered(tmp_path)
    for item in (night(site, store, "a"), queue_answers(site.outbox, store, "bccd", "night-1")[2]):
        assert unseen(site, item) == []


def test_an_item_of_an_older_release_is_taken_and_work_is_held_to_its_key(tmp_path: Path) -> None:
    """Its digest is of the body alone, which is empty for work, so the key says what its facts were."""
    site, store = site_of(tmp_path), answered(tmp_path)
    work, rows = night(site, store, "a"), queue_answers(site.outbox, store, "bccd", "night-1")[0]
    for item in (work, rows):
        facts, body = site.outbox.read(item)
        old = {"facts": facts, "sha256": sha256_hex(body)}
        item.path.write_bytes(canonical_json(old).encode() + b"\n" + body)
        assert site.outbox.read(item) == (facts, body)
    assert unseen(site, work) == []
    assert set_damaged_aside(site, store) == []
    assert handed_over(site) == len(QUESTIONS)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_set_aside(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A folder of an item's name ended every sync, and a pipe stopped it for ever."""
    site, store = site_of(tmp_path), answered(tmp_path)
    waiting = [night(site, store, "a"), *queue_answers(site.outbox, store, "bccd", "night-1")]
    for item in waiting[:2]:
        item.path.unlink()
        make(item.path)
    assert len(set_damaged_aside(site, store)) == 2
    assert [item.path.exists() for item in waiting] == [True, False, True, True, True]
    assert [work.dataset for work in waiting_work(site)] == ["a"]
    assert len(site.outbox.damaged()) == 2


def test_a_night_with_a_damaged_item_aside_is_partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a person has taken the file away every night says so; it ended as complete."""
    monkeypatch.setattr("flows.nightly.write_report", lambda *_, **__: tmp_path)
    monkeypatch.setattr("flows.nightly.gather_tables", lambda _: [])
    site, store = site_of(tmp_path), Store(str(tmp_path / "store"))
    damage(night(site, store, "a"))
    set_damaged_aside(site, store)
    for name, value in {"SITE": "north", "CONFIG": SAMPLE / "config", "CATALOG": SAMPLE / "models"}.items():
        monkeypatch.setenv(f"LABELOP_{name}", str(value))
    [aside] = site.outbox.damaged()
    for run, state in (("n-1", "partial"), ("n-2", "complete")):
        with embedded({}):
            nightly.fn([], store.root, str(tmp_path / "r.html"), run, resume_open=False)
        [ended] = [row for row in read_rows(store, "runs") if (row["run_id"], row["event"]) == (run, "ended")]
        assert (ended["state"], aside.key in ended["summary"]) == (state, state == "partial")
        aside.path.unlink(missing_ok=True)
    assert losses_of_outbox(site) == []
