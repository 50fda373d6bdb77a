"""What is missing from a table is named, wherever it is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from labelop import schemas
from labelop.errors import LandingError
from labelop.landing import whole
from labelop.landing.store import Store, land, read
from labelop.landing.whole import faults_of, require_whole
from labelop.queries import open_session, run_query


def cut(file: Path) -> None:
    """Leave half of a file."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    """Leave the name of a file."""
    file.write_bytes(b"")


def prices(root: Path) -> Store:
    """Make a store with one table of two commits and one of one."""
    store = Store(str(root))
    for name, key in (("prices", "1"), ("prices", "2"), ("runs", "1")):
        land(store, name, [dict.fromkeys(schemas.table(name).schema.names)], key)
    return store


@pytest.mark.parametrize("harm", [Path.unlink, cut, empty])
def test_a_data_file_that_is_missing_or_cut_is_named(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """Sessions ended in DuckDB's own error; table, file and store are named, and no word of running again."""
    store = prices(tmp_path)
    assert faults_of(store) == {}
    harm(file := min((tmp_path / "prices").glob("*.parquet")))
    assert list(faults_of(store)) == ["prices"]
    for call in (
        lambda: open_session(store),
        lambda: run_query(store, "run_summary"),
        lambda: require_whole(store, "prices"),
    ):
        with pytest.raises(LandingError, match=f"^Table 'prices' in {tmp_path}: {file.name} ") as caught:
            call()
        assert "from a copy of the store" in caught.value.hint
    with pytest.raises(LandingError, match=r"Table 'prices' .* cannot be read: ") as caught:
        read(store, "prices")
    assert "again" not in caught.value.hint


def test_an_empty_commit_is_named(tmp_path: Path) -> None:
    """The table library reads on behind it, so that the rows of that commit were gone without a word."""
    store = prices(tmp_path)
    empty(tmp_path / "prices/_delta_log/00000000000000000002.json")
    with pytest.raises(LandingError, match=r"commit _delta_log/0+2\.json is empty"):
        require_whole(store, "prices")


def test_a_commit_that_no_reader_needs_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a checkpoint sums up may be empty, and may be removed while a table is looked at."""
    store = prices(tmp_path)
    log = tmp_path / "prices/_delta_log"
    DeltaTable(store.uri("prices")).create_checkpoint()
    empty(log / "00000000000000000001.json")
    assert read(store, "prices").num_rows == 2
    require_whole(store, "prices")
    monkeypatch.setattr(whole, "_needed", lambda log: [log / "removed.json"])
    require_whole(store, "prices")


def test_a_gap_in_the_log_is_told(tmp_path: Path) -> None:
    """Another try does not help, so none is asked for."""
    store = prices(tmp_path)
    (tmp_path / "prices/_delta_log/00000000000000000001.json").unlink()
    (fault,) = faults_of(store).values()
    assert "Table 'prices'" in fault.message
    assert "again" not in fault.hint
    assert "from a copy of the store" in fault.hint
