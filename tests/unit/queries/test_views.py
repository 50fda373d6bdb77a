from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelop import schemas
from labelop.landing.store import Store, dataset_of, land, look_at
from labelop.queries import open_session, open_tables, run_file
from labelop.views import Session

HEADER = "-- One.\n-- Params: none\n-- Grain: n\n"


def session_with(tmp_path: Path, **views: str) -> Session:
    """Open a session over empty tables with views of one's own."""
    for folder in ("queries", "views"):
        (tmp_path / "sql" / folder).mkdir(parents=True)
    for name, text in views.items():
        (tmp_path / "sql" / "views" / f"{name}.sql").write_text(f"CREATE VIEW {name} AS {text};")
    tables = {name: table.schema.empty_table() for name, table in schemas.TABLES.items()}
    return open_tables(tables, root=tmp_path / "sql")


def ask(session: Session, tmp_path: Path, text: str) -> list[dict[str, object]]:
    """Run a query as a file."""
    (tmp_path / "one.sql").write_text(f"{HEADER}{text};")
    rows: list[dict[str, object]] = run_file(session, tmp_path / "one.sql", {}).to_pylist()
    return rows


def test_a_kept_view_is_computed_once_and_before_what_is_built_on_it(tmp_path: Path) -> None:
    """A view that draws at random gives the same value to every later question, also through another view."""
    session = session_with(
        tmp_path,
        a_base="SELECT uuid()::VARCHAR AS n; COMMENT ON VIEW a_base IS 'CREATE TEMP TABLE a_base AS FROM a_base'",
        b_above="SELECT n FROM a_base; COMMENT ON VIEW b_above IS 'CREATE TEMP TABLE b_above AS FROM b_above'",
        c_open="SELECT uuid()::VARCHAR AS n",
    )
    first = ask(session, tmp_path, "SELECT n FROM b_above ORDER BY n")
    assert first == ask(session, tmp_path, "SELECT n FROM a_base ORDER BY n")
    assert first == ask(session, tmp_path, "SELECT n FROM b_above ORDER BY n")
    assert ask(session, tmp_path, "SELECT n FROM c_open ORDER BY n") != ask(session, tmp_path, "SELECT n FROM c_open")


def test_what_no_question_reads_is_not_kept(tmp_path: Path) -> None:
    """A kept view costs nothing to who does not read it: one that fails does not fail another question."""
    broken = "SELECT error('never') AS n; COMMENT ON VIEW broken IS 'CREATE TEMP TABLE broken AS FROM broken'"
    session = session_with(tmp_path, broken=broken)
    assert ask(session, tmp_path, "SELECT 1 AS n ORDER BY n") == [{"n": 1}]


@pytest.mark.parametrize("folder", ["plain", "of 'a' b%, ä", "with * and ? and {a,b}"])
def test_files_are_read_wherever_the_store_is(tmp_path: Path, folder: str) -> None:
    """DuckDB reads a store's own files whatever their folder is called, and every column in its declared type."""
    store = Store(str(tmp_path / folder))
    land(store, "images", [dict.fromkeys(schemas.table("images").schema.names) | {"path": "a.jpg"}], "k")
    land(store, "images", [dict.fromkeys(schemas.table("images").schema.names) | {"path": "b.jpg"}], "l")
    found = open_session(store).sql("FROM images ORDER BY path").to_arrow_table()
    assert found.column("path").to_pylist() == ["a.jpg", "b.jpg"]
    assert found.schema.equals(schemas.table("images").schema)


def test_files_are_those_of_the_newest_version(tmp_path: Path) -> None:
    """A file that lies in the table's folder and in no commit is not read."""
    store = Store(str(tmp_path))
    land(store, "images", [dict.fromkeys(schemas.table("images").schema.names) | {"path": "a.jpg"}], "k")
    pq.write_table(dataset_of(store, "images").to_table(), tmp_path / "images" / "stray.parquet")
    assert open_session(store).sql("SELECT count(*) FROM images").fetchall() == [(1,)]


def test_an_older_file_lacks_a_newer_column(tmp_path: Path) -> None:
    """A column that one file has and another lacks is null there, also where the first file lacks it."""
    schema = schemas.table("images").schema
    for name, rows in {"a": {"path": ["old"]}, "b": {"path": ["new"], "split": ["val"]}}.items():
        pq.write_table(pa.table(rows), tmp_path / f"{name}.parquet")
    files = {"images": [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]}
    tables = {name: table.schema.empty_table() for name, table in schemas.TABLES.items()}
    session = open_tables(tables, files=files)
    assert session.sql("SELECT path, split FROM images ORDER BY path").fetchall() == [("new", "val"), ("old", None)]
    assert session.sql("FROM images").to_arrow_table().schema.equals(schema)


@pytest.mark.parametrize("statement", ["SELECT * FROM 'OTHER'", "COPY (SELECT 1) TO 'OWN'", "COPY images TO 'OTHER'"])
def test_a_session_of_files_reads_only_these_and_writes_none(tmp_path: Path, statement: str) -> None:
    """A session that may read the files of its tables reads no neighbour of them, and cannot write over them."""
    store = Store(str(tmp_path))
    land(store, "images", [dict.fromkeys(schemas.table("images").schema.names)], "k")
    ((own,), other) = look_at(store, "images")[1], tmp_path / "images" / "other.parquet"
    other.write_bytes(Path(own).read_bytes())
    session = open_session(store)
    with pytest.raises(duckdb.Error):
        session.execute(statement.replace("OWN", own).replace("OTHER", str(other)))
    assert Path(own).read_bytes() == other.read_bytes()
    assert session.sql("SELECT count(*) FROM images").fetchall() == [(1,)]
