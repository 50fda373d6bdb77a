"""Tables are kept small and brought to a new schema in place, on a folder and on an object store alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from labelop import schemas
from labelop.errors import SchemaMismatchError
from labelop.landing import upkeep
from labelop.landing.compare import content_digest
from labelop.landing.store import Store, dataset_of, land, landed_keys, open_store, read, read_rows
from labelop.landing.upkeep import maintain, upgrade
from labelop.settings import load_settings


def row(image: str, name: str = "images", **given: Any) -> dict[str, Any]:
    """Make one row."""
    return dict.fromkeys(schemas.table(name).schema.names) | {"image_id": image} | given


def old_table(monkeypatch: pytest.MonkeyPatch, name: str, without: tuple[str, ...]) -> schemas.Table:
    """Declare a table as the release before had it; gives the declaration of now."""
    now = schemas.table(name)
    kept = pa.schema([field for field in now.schema if field.name not in without])
    monkeypatch.setitem(schemas.TABLES, name, schemas.Table(name, now.version - 1, kept, now.grain))
    return now


def test_readers_never_break(store: Store) -> None:
    """Who opened the table before still reads its files after a maintenance, and a new reader reads the same."""
    for number in range(6):
        land(store, "images", [row(str(number))], str(number))
    held, digest = dataset_of(store, "images"), content_digest(store, "images")
    (done,) = maintain(store, retention_hours=1)
    assert (done.table, done.files_before_count, done.files_after_count, done.removed_count) == ("images", 6, 1, 0)
    assert not done.busy
    assert sorted(held.to_table()["image_id"].to_pylist()) == list("012345")
    assert content_digest(store, "images") == digest
    assert maintain(store, retention_hours=1)[0].files_after_count == 1


def test_keys_survive_maintenance(store: Store) -> None:
    """What is landed stays landed: after everything old is gone a key is refused as before."""
    for number in range(5):
        land(store, "images", [row(str(number))], str(number))
    (done,) = maintain(store, retention_hours=0)
    assert done.removed_count == 5
    assert landed_keys(store, "images", "01234x") == set("01234")
    assert not land(store, "images", [row("9")], "0")
    assert land(store, "images", [row("5")], "5")
    assert sorted(found["image_id"] for found in read_rows(store, "images")) == list("012345")


def test_a_writer_paused_across_a_vacuum_lands(tmp_path: Path) -> None:
    """A file that is written and not committed yet is younger than the retention and stays; one past it goes."""
    store = open_store(load_settings(store=str(tmp_path)))
    land(store, "images", [row("1")], "1")
    orphan = tmp_path / "images" / "part-late.parquet"
    orphan.write_bytes(b"not committed yet")
    assert maintain(store, retention_hours=1)[0].removed_count == 0
    assert orphan.exists()
    assert maintain(store, retention_hours=0)[0].removed_count == 1
    assert not orphan.exists()
    assert read(store, "images").num_rows == 1


def test_a_store_of_the_version_before_is_upgraded_in_place(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are added, null in old rows; no data file is written again, keys stay, new rows land beside the old."""
    now = old_table(monkeypatch, "usage", ("cold_start_seconds",))
    before = {"attempt_id": "a", "batch_id": "b"}
    names = schemas.table("usage").schema.names
    land(store, "usage", [dict.fromkeys(names) | before], "a")
    monkeypatch.setitem(schemas.TABLES, "usage", now)
    with pytest.raises(SchemaMismatchError, match="labelop store upgrade"):
        read(store, "usage")
    files = DeltaTable(store.uri("usage"), storage_options=store.storage_options or None).file_uris()
    (done,) = upgrade(store)
    assert (done.table, done.version_before, done.version_after) == ("usage", now.version - 1, now.version)
    assert done.added == ("cold_start_seconds",)
    assert DeltaTable(store.uri("usage"), storage_options=store.storage_options or None).file_uris() == files
    assert read(store, "usage").schema == now.schema
    assert not land(store, "usage", [], "a")
    later = dict.fromkeys(now.schema.names) | {"attempt_id": "c", "cold_start_seconds": 1.5}
    assert land(store, "usage", [later], "c")
    found = {one["attempt_id"]: one["cold_start_seconds"] for one in read_rows(store, "usage")}
    assert found == {"a": None, "c": 1.5}
    assert upgrade(store) == []
    assert maintain(store, retention_hours=1)[0].files_after_count == 1
    assert {one["attempt_id"]: one["cold_start_seconds"] for one in read_rows(store, "usage")} == found


def test_an_upgrade_cut_off_between_its_commits_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that are there already are no obstacle to naming the version."""
    store = open_store(load_settings(store=str(tmp_path)))
    now = schemas.table("prices")
    monkeypatch.setitem(schemas.TABLES, "prices", schemas.Table("prices", now.version - 1, now.schema, now.grain))
    land(store, "prices", [], "k")
    monkeypatch.setitem(schemas.TABLES, "prices", now)
    (done,) = upgrade(store)
    assert done.added == ()
    assert not land(store, "prices", [], "k")


def test_two_upgrades_at_once_end_well(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another upgrade changes between a look at a table and its change is no error: both have done it."""
    now = old_table(monkeypatch, "usage", ("cold_start_seconds",))
    land(store, "usage", [], "k")
    monkeypatch.setitem(schemas.TABLES, "usage", now)
    look, others = upkeep._missing, iter([False, True])

    def late(*given: Any) -> Any:
        missing = look(*given)
        if next(others, False):
            assert upgrade(store)
        return missing

    monkeypatch.setattr(upkeep, "_missing", late)
    assert [done.table for done in upgrade(store)] == ["usage"]
    assert next(others, None) is None
    assert read(store, "usage").schema == now.schema


def test_what_is_no_mere_addition_is_refused_before_anything_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column of another type, a column this release does not know, or a newer version: nothing is touched."""
    store = open_store(load_settings(store=str(tmp_path)))
    now = old_table(monkeypatch, "usage", ("cold_start_seconds",))
    land(store, "usage", [], "k")
    monkeypatch.setitem(schemas.TABLES, "usage", now)
    quality = schemas.table("quality")
    odd = pa.schema([(field.name, pa.int64() if field.name == "value" else field.type) for field in quality.schema])
    monkeypatch.setitem(schemas.TABLES, "quality", schemas.Table("quality", quality.version - 1, odd, quality.grain))
    land(store, "quality", [], "k")
    monkeypatch.setitem(schemas.TABLES, "quality", quality)
    with pytest.raises(SchemaMismatchError, match=r"'quality'.*\['value'\]"):
        upgrade(store)
    with pytest.raises(SchemaMismatchError, match="'usage'"):
        read(store, "usage")
    monkeypatch.setitem(schemas.TABLES, "quality", schemas.Table("quality", -1, odd, quality.grain))
    with pytest.raises(SchemaMismatchError, match="expected -1"):
        upgrade(store)
