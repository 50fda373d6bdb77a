"""A damaged item costs a look at the disk, and none of those behind it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from flows.nightly import nightly
from labelop.landing.store import Store, read_rows
from labelop.prelabel.plan import PlannedBatch
from labelop.queries import run_query
from labelop.recovery import Asked, start
from labelop.runs import PRELABELLED, RunEvent, record
from labelop.site.answers import QUESTIONS, queue_answers
from labelop.site.damage import losses_of_outbox, set_damaged_aside
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
    """Turn one bit of an item's facts; gives its bytes."""
    data = bytearray(item.path.read_bytes())
    data[3] ^= 1
    item.path.write_bytes(data)
    return bytes(data)


def test_damaged_work_is_set_aside_and_waits_again_in_its_place(tmp_path: Path) -> None:
    """The tables say what it was, so it is done before those behind it; it stopped all of them, and was lost itself."""
    site, store = site_of(tmp_path), Store(str(tmp_path / "store"))
    items = [night(site, store, name) for name in ("a", "b", "c")]
    data = damage(items[1])
    [said] = set_damaged_aside(site, store, "sync-1")
    assert items[1].key in said
    assert [(work.dataset, work.sizes) for work in waiting_work(site)] == [(name, SIZES) for name in ("a", "b", "c")]
    [aside] = site.outbox.damaged()
    assert (aside.key, aside.path.read_bytes()) == (items[1].key, data)
    assert set_damaged_aside(site, store, "sync-2") == []


def test_damaged_work_that_no_table_knows_is_kept_again_by_the_next_night(tmp_path: Path) -> None:
    """It lies aside, those behind it go on, and its key is free: a night that found it waiting took nothing."""
    site, store = site_of(tmp_path), Store(str(tmp_path / "store"))
    first, _ = night(site, store, "a", lands=False), night(site, store, "b")
    damage(first)
    [said] = set_damaged_aside(site, store, "sync-1")
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
            set_damaged_aside(site, store, "sync-1")
    assert item.path.read_bytes() == data
    assert len(set_damaged_aside(site, store, "sync-2")) == 1
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
        assert len(set_damaged_aside(site, store, "sync-1")) == 1
    assert [work.dataset for work in waiting_work(site)] == ["a"]


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_damaged_answers_are_told_again(tmp_path: Path, number: int) -> None:
    """Whichever it was, head office ends with the site's own answers, and those behind it are handed over too."""
    store = reviewed([("a.png", 120, 80, [("RBC", (10.0, 10.0, 40.0, 40.0))])]).land(Store(str(tmp_path / "store")))
    site = site_of(tmp_path)
    assert site.head is not None
    head = site.head
    damage(queue_answers(site.outbox, store, "bccd", "night-1")[number])
    [said] = set_damaged_aside(site, store, "sync-1")
    assert "told again" in said
    done = hand_over_rows(site, Link(lambda: probe(head)))
    assert done.items_count == 2 * len(QUESTIONS) - 1
    assert site.outbox.items() == []
    for name in QUESTIONS:
        rows: list[dict[str, Any]] = head_rows(site, name)
        assert max(rows, key=lambda row: row["position"])["run_id"] == "sync-1"
    [known] = run_query(head, "sites").to_pylist()
    assert known["total_cost"] > 0


def test_a_night_with_a_damaged_item_aside_is_partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a person has taken the file away every night says so; it ended as complete."""
    monkeypatch.setattr("flows.nightly.write_report", lambda *_, **__: tmp_path)
    monkeypatch.setattr("flows.nightly.gather_tables", lambda _: [])
    site, store = site_of(tmp_path), Store(str(tmp_path / "store"))
    damage(night(site, store, "a"))
    set_damaged_aside(site, store, "sync-1")
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
