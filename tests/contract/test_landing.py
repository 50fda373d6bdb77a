"""One suite for every place a store can be: a folder and an S3-compatible object store."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from labelop import schemas
from labelop.errors import LandingError, SchemaMismatchError, UnknownTableError
from labelop.landing import store as landing
from labelop.landing.compare import differences
from labelop.landing.store import (
    Store,
    dataset_of,
    is_landed,
    land,
    land_after,
    land_many,
    landed_keys,
    open_store,
    read,
    read_rows,
    time_in,
)
from labelop.settings import load_settings
from tests.faults.proxy import Behaviour, proxy

NOON = dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC)


def row(image: str, **given: Any) -> dict[str, Any]:
    """Make one prelabel."""
    columns: dict[str, Any] = dict.fromkeys(schemas.table("prelabels").schema.names)
    prediction = dict.fromkeys(field.name for field in schemas.PREDICTION)
    return columns | {"image_id": image, "batch_id": "b", "predictions": [prediction], "landed_at": NOON} | given


def images_of(store: Store) -> list[str]:
    """Read which images have landed."""
    return sorted(found["image_id"] for found in read_rows(store, "prelabels", columns=["image_id"]))


def test_a_key_lands_once(store: Store) -> None:
    """The second landing of a key is refused, and its rows do not appear."""
    assert land(store, "prelabels", [row("1"), row("2")], "k")
    assert not land(store, "prelabels", [row("3")], "k")
    assert images_of(store) == ["1", "2"]
    assert is_landed(store, "prelabels", "k")
    assert not is_landed(store, "prelabels", "other")


def test_keys_belong_to_their_table(store: Store) -> None:
    """The same key in another table is another key."""
    assert land(store, "prelabels", [row("1")], "k")
    assert land(store, "images", [], "k")
    assert landed_keys(store, "images", ["k", "x"]) == {"k"}


def test_no_rows_can_land(store: Store) -> None:
    """A key without rows is recorded once and reads as an empty table with its columns."""
    assert land(store, "prelabels", [], "k")
    assert not land(store, "prelabels", [row("1")], "k")
    assert read(store, "prelabels").schema == schemas.table("prelabels").schema
    assert images_of(store) == []


def test_a_table_never_written_is_empty(store: Store) -> None:
    """Reading a table that does not exist gives its columns, no rows, and creates nothing."""
    assert read(store, "runs").schema == schemas.table("runs").schema
    assert read(store, "runs", columns=["run_id"]).column_names == ["run_id"]
    assert dataset_of(store, "runs").count_rows() == 0
    assert not is_landed(store, "runs", "k")


def test_time_never_runs_back_in_a_table(store: Store) -> None:
    """A writer whose clock is behind stamps its rows after the newest that is there, and else by its clock."""
    before = schemas.utc_now()
    assert before <= time_in(store, "prelabels") <= schemas.utc_now()
    ahead = before + dt.timedelta(days=1)
    land(store, "prelabels", [row("1", landed_at=ahead), row("2", landed_at=before)], "k")
    assert ahead < time_in(store, "prelabels") < ahead + dt.timedelta(milliseconds=2)


def test_reading_selects_columns_and_rows(store: Store) -> None:
    """Columns come in the asked order and rows by the filter."""
    land(store, "prelabels", [row("1", outcome="ok"), row("2", outcome="empty")], "k")
    found = read(store, "prelabels", columns=["outcome", "image_id"], filters=pc.field("outcome") == "empty")
    assert found.to_pylist() == [{"outcome": "empty", "image_id": "2"}]
    with pytest.raises(LandingError, match="colour"):
        read(store, "prelabels", columns=["colour"])


def test_a_group_lands_in_one_commit(store: Store) -> None:
    """Several keys share one commit, keys landed before are left out, and each key is known afterwards."""
    land(store, "prelabels", [row("1")], "a")
    groups = [("a", [row("1")]), ("b", [row("2")]), ("c", []), ("b", [row("9")]), ("d", [row("3")])]
    assert land_many(store, "prelabels", groups) == [False, True, True, False, True]
    assert images_of(store) == ["1", "2", "3"]
    assert landed_keys(store, "prelabels", "abcd") == set("abcd")
    table = DeltaTable(store.uri("prelabels"), storage_options=store.storage_options or None)
    assert table.version() == 2
    assert land_many(store, "prelabels", []) == []


def test_wrong_rows_leave_nothing_behind(store: Store) -> None:
    """A row of another shape stops its whole group before anything is written."""
    with pytest.raises(SchemaMismatchError):
        land_many(store, "prelabels", [("a", [row("1")]), ("b", [{"image_id": "2"}])])
    with pytest.raises(UnknownTableError):
        land(store, "colours", [], "k")
    assert not is_landed(store, "prelabels", "a")


def test_six_racing_writers_land_one_commit(store: Store) -> None:
    """Of six writers with one key at one moment, on a table that does not exist yet, exactly one lands."""
    together = threading.Barrier(6)

    def write(_: int) -> bool:
        together.wait()
        return land(store, "prelabels", [row("1"), row("2")], "k")

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(write, range(6))) == [False] * 5 + [True]
    assert images_of(store) == ["1", "2"]


def test_racing_groups_land_each_key_once(store: Store) -> None:
    """Writers whose groups overlap in part land every key exactly once between them."""
    together = threading.Barrier(4)

    def write(number: int) -> list[bool]:
        together.wait()
        keys = [str(n) for n in range(number, number + 4)]
        return land_many(store, "prelabels", [(key, [row(key)]) for key in keys])

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(write, range(4)))
    assert images_of(store) == [str(n) for n in range(7)]
    assert sum(answer.count(True) for answer in answers) == 7


def test_another_schema_version_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table written with other columns is neither read nor written."""
    land(store, "prices", [], "k")
    changed = schemas.Table("prices", 99, schemas.table("prices").schema, ())
    monkeypatch.setitem(schemas.TABLES, "prices", changed)
    with pytest.raises(SchemaMismatchError, match="expected 99"):
        read(store, "prices")
    with pytest.raises(SchemaMismatchError, match="expected 99"):
        land(store, "prices", [], "k2")


def test_duckdb_reads_the_exact_files(store: Store) -> None:
    """SQL sees the landed rows, nested predictions included."""
    land(store, "prelabels", [row("1"), row("2")], "k")
    with duckdb.connect() as session:
        session.register("prelabels", dataset_of(store, "prelabels"))
        found = session.execute("select count(*), sum(len(predictions)) from prelabels").fetchone()
    assert found == (2, 2)


def test_a_broken_store_says_so_in_one_line(tmp_path: Path) -> None:
    """A log that cannot be read is a landing error that names table and store, not an empty table."""
    store = Store(str(tmp_path))
    land(store, "images", [], "k")
    (tmp_path / "images" / "_delta_log" / "00000000000000000000.json").write_text("{broken")
    for attempt in (lambda: read(store, "images"), lambda: land(store, "images", [], "k2")):
        with pytest.raises(LandingError, match="'images'") as caught:
            attempt()
        assert "\x1b" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_files_without_a_commit_are_not_read(tmp_path: Path) -> None:
    """What a killed writer left in the folder is not part of the table."""
    store = Store(str(tmp_path))
    land(store, "prelabels", [row("1")], "k")
    (file,) = (tmp_path / "prelabels").glob("*.parquet")
    (tmp_path / "prelabels" / "part-orphan.parquet").write_bytes(file.read_bytes())
    assert images_of(store) == ["1"]


def test_keys_survive_checkpoints(tmp_path: Path) -> None:
    """After the log has been summed up, the first keys are still refused."""
    store = Store(str(tmp_path))
    for number in range(24):
        land(store, "images", [], str(number))
    assert list((tmp_path / "images" / "_delta_log").glob("*.checkpoint.parquet"))
    assert not land(store, "images", [], "0")
    assert len(landed_keys(store, "images", map(str, range(24)))) == 24


def test_an_empty_key_is_a_mistake(tmp_path: Path) -> None:
    """Rows without a key cannot be landed once."""
    with pytest.raises(ValueError, match="key"):
        land(Store(str(tmp_path)), "images", [], "")


@pytest.mark.slow
def test_a_killed_writer_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """A writer killed at any moment and started again leaves the rows of an undisturbed run."""
    quiet, killed = Store(str(tmp_path / "quiet")), Store(str(tmp_path / "killed"))
    code = (
        "import sys; from labelop import schemas; from labelop.landing.store import Store, land\n"
        "columns = dict.fromkeys(schemas.table('prelabels').schema.names)\n"
        "print('ready', flush=True)\n"
        "for n in range(40):\n"
        "    rows = [columns | {'image_id': f'{n}-{m}', 'batch_id': str(n)} for m in range(50)]\n"
        "    land(Store(sys.argv[1]), 'prelabels', rows, str(n))\n"
    )
    arguments = [sys.executable, "-c", code]
    subprocess.run([*arguments, quiet.root], check=True, capture_output=True)
    chance = random.Random(7)
    interrupted = 0
    for _ in range(5):
        with subprocess.Popen([*arguments, killed.root], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            before = len(landed_keys(killed, "prelabels", map(str, range(40))))
            goal = before + chance.randint(1, 7)
            # the moment is a count of commits, not a time: nothing here waits for a clock
            while len(landed_keys(killed, "prelabels", map(str, range(40)))) < goal and writer.poll() is None:
                pass
            interrupted += writer.poll() is None
            writer.kill()  # one that is done by now is left alone
    assert interrupted
    subprocess.run([*arguments, killed.root], check=True, capture_output=True)
    assert read(quiet, "prelabels").num_rows == 2000
    assert differences(quiet, killed, ["prelabels"]) == []


@pytest.mark.slow
def test_answers_that_break_off_lose_and_double_nothing(endpoint: str) -> None:
    """A busy store that refuses writes and breaks off bodies takes each key once; without more tries it would not."""
    behaviour = Behaviour(unavailable_share=0.05, conflict_share=0.1, truncated_share=0.2)
    with proxy(endpoint, behaviour) as bad:
        options = {"s3_endpoint": bad, "s3_key": "key", "s3_secret": "secret"}
        store = open_store(load_settings(store="s3://tables/bad", **options))
        assert [land(store, "prelabels", [row(str(number))], str(number)) for number in range(4)] == [True] * 4
        assert not land(store, "prelabels", [row("9")], "0")
        assert images_of(store) == ["0", "1", "2", "3"]
    assert behaviour.counts["truncated"] > 0


@pytest.mark.parametrize("reached", [True, False])
def test_a_write_that_broke_off_is_told_from_somebody_elses(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, reached: bool
) -> None:
    """Rows that follow from what landed are not taken for landed because another process landed others meanwhile."""
    options = {"s3_endpoint": endpoint, "s3_key": "key", "s3_secret": "secret"}
    s3 = open_store(load_settings(store=f"s3://tables/broken-{reached}", **options))
    write, looks, breaks = deltalake.write_deltalake, [], [True]

    def breaking(*given: Any, **more: Any) -> None:
        if not (breaks and breaks.pop()):
            return write(*given, **more)
        if reached:
            write(*given, **more)
        else:
            assert land(s3, "prelabels", [row("other")], "after:nothing")
        raise OSError("the answer broke off")

    def look() -> tuple[str, list[dict[str, Any]]]:
        looks.append(images_of(s3))
        return ("something" if looks[-1] else "nothing"), [] if "mine" in looks[-1] else [row("mine")]

    assert land(s3, "prelabels", [], "first")
    monkeypatch.setattr(landing, "write_deltalake", breaking)
    land_after(s3, "prelabels", look)
    assert images_of(s3) == (["mine"] if reached else ["mine", "other"])
    assert looks == ([[]] if reached else [[], ["other"]])
