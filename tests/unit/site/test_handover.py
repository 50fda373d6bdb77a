"""What waits reaches head office once, in order, and nothing but the columns of its tables."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from labelop.errors import HeadOfficeUnavailableError, SettingsError, SiteError
from labelop.landing.store import Store, read_rows
from labelop.queries import run_query
from labelop.schemas import TABLES
from labelop.site.answers import QUESTIONS, queue_answers
from labelop.site.handover import HandedOver, hand_over_rows, probe, tell_sync
from labelop.site.link import Link
from labelop.site.outbox import Outbox
from labelop.site.place import Site, find_site
from labelop.site.work import waiting_work
from tests.unit.report_rows import Photo, reviewed
from tests.unit.site.parts import head_rows, settings_of, site_of

PHOTOS: list[Photo] = [
    (f"canary-path-{n}.png", 120, 80, [("canary-label", (10.0, 10.0, 40.0, 40.0))]) for n in range(4)
]


def link_of(site: Site) -> Link:
    """Make a way that tries once."""
    assert site.head is not None
    head = site.head
    return Link(lambda: probe(head))


def store_of(folder: Path) -> Store:
    """Make a site's own store: a dataset that both arms drafted and people reviewed."""
    quarantined = [("canary-file.jpg", "CORRUPT", "canary-detail")]
    return reviewed(PHOTOS, source_uri="/canary-root", quarantined=quarantined).land(Store(str(folder / "store")))


def stream(**columns: list[Any]) -> bytes:
    """Write columns as the body of an item."""
    table = pa.table(columns)
    with pa.BufferOutputStream() as sink:
        with pa.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table)
        return bytes(sink.getvalue().to_pybytes())


def told(site: Site, name: str) -> list[dict[str, Any]]:
    """Read a table of head office without what is added where it is received."""
    added = {"site", "position", "landed_at", "run_id"}
    return [{key: value for key, value in row.items() if key not in added} for row in head_rows(site, name)]


def test_head_office_has_what_the_site_answers(tmp_path: Path) -> None:
    """Every column of head office's tables says what the site's own query says, for every question."""
    site, store = site_of(tmp_path), store_of(tmp_path)
    assert len(queue_answers(site.outbox, store, "bccd", "night-1")) == len(QUESTIONS)
    done = hand_over_rows(site, link_of(site))
    assert done.items_count == len(QUESTIONS)
    assert site.outbox.items() == []
    for name, question in QUESTIONS.items():
        mine = run_query(store, question, {"dataset": "bccd"}).to_pylist()
        theirs = told(site, name)
        assert len(theirs) == len(mine) > 0
        same = set(mine[0]) & set(theirs[0])
        assert [{key: row[key] for key in same} for row in theirs] == [{key: row[key] for key in same} for row in mine]
    costs, effort = told(site, "site_costs"), told(site, "site_effort")
    assert {row["currency"] for row in costs} == {"USD"}
    assert all(row["mean_model_seconds"] > 0 for row in effort)


def test_no_name_no_id_and_no_label_is_told(tmp_path: Path) -> None:
    """Neither paths nor roots nor labels nor image ids nor details are in the outbox or in any file of head office."""
    site, store = site_of(tmp_path), store_of(tmp_path)
    queue_answers(site.outbox, store, "bccd", "night-1")
    bodies = [b"".join(str(part).encode() for part in site.outbox.read(item)) for item in site.outbox.items()]
    hand_over_rows(site, link_of(site))
    rows = [str(row).encode() for name in TABLES for row in head_rows(site, name)]
    everything = b"\n".join([*bodies, *rows])
    images = [row["image_id"] for row in read_rows(store, "images") if row["image_id"]]
    assert images
    for secret in ("canary", *images):
        assert secret.encode() not in everything, secret
    assert b"bccd" in everything


def test_what_is_handed_over_twice_is_there_once(tmp_path: Path) -> None:
    """A death between landing and removing: the same items are landed again, and head office's tables stay the same."""
    site, store = site_of(tmp_path), store_of(tmp_path)
    queue_answers(site.outbox, store, "bccd", "night-1")
    kept = tmp_path / "kept"
    shutil.copytree(site.outbox.folder, kept)
    hand_over_rows(site, link_of(site))
    before = {name: head_rows(site, name) for name in QUESTIONS}
    for file in kept.glob("*.item"):
        shutil.copy(file, site.outbox.folder)
    hand_over_rows(site, link_of(site))
    assert {name: head_rows(site, name) for name in QUESTIONS} == before


def test_two_sites_with_the_same_names_are_both_told(tmp_path: Path) -> None:
    """Two sites may have a dataset and a run of the same names: the key is one of the site."""
    store = store_of(tmp_path)
    for name in ("north", "south"):
        site = site_of(tmp_path, site=name, site_folder=tmp_path / name)
        queue_answers(site.outbox, store, "bccd", "night-1")
        hand_over_rows(site, link_of(site))
    assert {str(row["site"]) for row in head_rows(site, "site_datasets")} == {"north", "south"}


def test_an_item_is_removed_only_when_what_landed_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first item is removed, files of data and log at a local head office are on disk; fails without it."""
    site, store = site_of(tmp_path), store_of(tmp_path)
    queue_answers(site.outbox, store, "bccd", "night-1")
    assert site.head is not None
    steps: list[str] = []
    real_fsync, real_unlink = os.fsync, os.unlink

    def fsync(handle: int) -> None:
        steps.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real_fsync(handle)

    def unlink(path: Any, **more: Any) -> None:
        steps.append("removed" if str(path).endswith(".item") else "")
        real_unlink(path, **more)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "unlink", unlink)
    hand_over_rows(site, link_of(site))
    landed = {str(p) for p in Path(site.head.root).rglob("*.parquet")}
    landed |= {str(p) for p in Path(site.head.root).rglob("_delta_log/*.json")}
    assert landed <= set(steps[: steps.index("removed")])


def test_a_head_office_that_is_not_mounted_is_away_and_never_made(tmp_path: Path) -> None:
    """A missing folder is head office out of reach: nothing is made there, and everything waits."""
    site, store = site_of(tmp_path), store_of(tmp_path)
    queue_answers(site.outbox, store, "bccd", "night-1")
    (tmp_path / "head").rmdir()
    with pytest.raises(HeadOfficeUnavailableError, match="not there"):
        hand_over_rows(site, link_of(site))
    assert not (tmp_path / "head").exists()
    assert len(site.outbox.items()) == len(QUESTIONS)


def test_an_item_of_an_older_release_is_received(tmp_path: Path) -> None:
    """A column that is newer than the item is null, and one that is gone is left out; a KeyError ended every sync."""
    site = site_of(tmp_path)
    facts = {"table": "site_datasets", "dataset": "bccd", "run_id": "night-1"}
    site.outbox.put("rows-00", facts, stream(dataset=["bccd"], landed_count=[3], long_gone=[1]))
    assert hand_over_rows(site, link_of(site)).items_count == 1
    [row] = head_rows(site, "site_datasets")
    assert (row["site"], row["dataset"], row["landed_count"], row["dataset_version"]) == ("north", "bccd", 3, None)


@pytest.mark.parametrize(
    ("facts", "body"),
    [
        ({"table": "site_datasets"}, b"garbage"),
        ({"table": "site_datasets"}, stream(landed_count=[3])),
        ({"table": "site_datasets"}, stream(dataset=["bccd"], landed_count=["three"])),
        ({"table": "nowhere"}, stream(dataset=["bccd"])),
        ({}, stream(dataset=["bccd"])),
    ],
)
def test_an_item_without_rows_for_head_office_is_a_typed_error(
    tmp_path: Path, facts: dict[str, str], body: bytes
) -> None:
    """It is kept and the message names its file; it was an error of the table library."""
    site = site_of(tmp_path)
    item = site.outbox.put("rows-00", {"run_id": "night-1", **facts}, body)
    with pytest.raises(SiteError, match=item.path.name):
        hand_over_rows(site, link_of(site))
    assert site.outbox.items() == [item]


@pytest.mark.parametrize("mark", ["", "soon", "9" * 20])
def test_a_damaged_mark_is_a_typed_error(tmp_path: Path, mark: str) -> None:
    """Nothing is taken or removed past a mark that says no place; it was a ValueError."""
    site = site_of(tmp_path)
    item = site.outbox.put("rows-00", {})
    (site.outbox.folder / "sequence").write_text(mark)
    with pytest.raises(SiteError, match="sequence"):
        site.outbox.put("rows-01", {})
    with pytest.raises(SiteError, match="sequence"):
        site.outbox.done(item)
    assert site.outbox.items() == [item]


@pytest.mark.parametrize("name", ["sequence", "0199999999999999-work-aa.item"])
def test_a_place_in_the_far_future_is_a_typed_error(tmp_path: Path, name: str) -> None:
    """Behind it no item has a name; a night ended in a traceback, without its report."""
    site = site_of(tmp_path)
    site.outbox.put("rows-00", {})
    (site.outbox.folder / name).write_text("200000000000000")
    with pytest.raises(SiteError, match="expected at most 199999999999999"):
        site.outbox.put("rows-01", {})


def test_work_without_its_dataset_is_a_typed_error(tmp_path: Path) -> None:
    """What waits for the cloud names its dataset version, or its file is named."""
    site = site_of(tmp_path)
    item = site.outbox.put("work-00", {})
    with pytest.raises(SiteError, match=item.path.name):
        waiting_work(site)


def test_a_sync_is_noted_on_both_sides(tmp_path: Path) -> None:
    """Head office and the site's own tables say when it was synced, and what waits still."""
    site, here = site_of(tmp_path), Store(str(tmp_path / "store"))
    site.outbox.put("work-00", {})
    tell_sync(site, link_of(site), here, run_id="sync-1", done=HandedOver(3, 99), set_digest=None)
    [there] = head_rows(site, "syncs")
    assert (there["site"], there["sent_count"], there["waiting_count"], there["state"]) == ("north", 3, 1, "partial")
    assert read_rows(here, "syncs") == [there]
    shown = [row for row in run_query(here, "report_provenance").to_pylist() if row["subject"] == "last sync"]
    assert [row["name"] for row in shown] == ["north"]


def test_one_process_syncs(tmp_path: Path) -> None:
    """A second sync of a site is refused while one is under way, and may run after it."""
    site = site_of(tmp_path)
    with site.alone(), pytest.raises(SiteError, match="under way"), site.alone():
        pass
    with site.alone():
        pass


def test_settings_of_a_site(tmp_path: Path) -> None:
    """No name is no site; a head office that is the site's own store is refused."""
    assert find_site(settings_of(tmp_path).model_copy(update={"site": None})) is None
    with pytest.raises(SettingsError, match="own store"):
        site_of(tmp_path, store=str(tmp_path / "head"))
    with pytest.raises(SettingsError, match="LABELOP_SITE"):
        settings_of(tmp_path, site="Not A Name")
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"LABELOP_HEAD_STORE .* is a file"):
        site_of(tmp_path, head_store=str(tmp_path / "file"))


@pytest.mark.parametrize("made", [True, False])
def test_the_own_store_by_another_name_is_refused(tmp_path: Path, made: bool) -> None:
    """A link, or a way through `..`, to the site's own store is no head office; a sync landed all answers there."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    if made:
        (tmp_path / "real/store").mkdir()
    for name in ("link/store", "real/../real/store"):
        with pytest.raises(SettingsError, match="own store"):
            site_of(tmp_path, store=str(tmp_path / "real/store"), head_store=str(tmp_path / name))
    assert site_of(tmp_path, store=str(tmp_path / "real/store"), head_store=str(tmp_path / "link")).head is not None


def test_the_outbox_of_a_site_has_the_quota_of_the_settings(tmp_path: Path) -> None:
    """Items and bytes come from the settings."""
    outbox: Outbox = site_of(tmp_path, outbox_items=17, outbox_bytes=1 << 21).outbox
    assert (outbox.contents().most_items, outbox.contents().most_bytes) == (17, 1 << 21)
