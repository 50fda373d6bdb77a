from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from labelop import queries, schemas
from labelop.effort.parameters import DEFAULTS
from labelop.errors import AnalysisError, ConfigurationError, QueryParameterError, UnknownQueryError
from labelop.landing.store import Store, land
from labelop.queries import list_queries, open_session, open_tables, run_checks, run_query, sql_root
from labelop.query_files import describe
from labelop.settings import load_settings
from labelop.views import Session

ROOT = Path(__file__).resolve().parents[3]


def empty_session() -> Session:
    """Open a session over empty tables."""
    return open_tables({name: table.schema.empty_table() for name, table in schemas.TABLES.items()})


def sql_folder(parent: Path) -> Path:
    """Make an empty folder of SQL files."""
    for name in ("queries", "views"):
        (parent / "sql" / name).mkdir(parents=True)
    return parent / "sql"


def sql_file(folder: Path, text: str) -> Path:
    """Write one SQL file."""
    path = folder / "example.sql"
    path.write_text(text, encoding="utf-8")
    return path


def image_row(**changes: object) -> dict[str, object]:
    """Make one row of the manifest."""
    row: dict[str, object] = dict.fromkeys(schemas.table("images").schema.names)
    row |= {"dataset": "d", "dataset_version": "v", "path": "a.jpg", "image_id": "0" * 64, "outcome": "ok"}
    return row | {"landed_at": schemas.utc_now()} | changes


def test_sql_is_found_in_a_checkout() -> None:
    """An editable install has no labelop/sql, so the checkout's own folder is found."""
    assert sql_root() == ROOT / "sql"


def test_sql_is_found_inside_an_installed_package(tmp_path: Path) -> None:
    """In site-packages the SQL lies inside the package, and a neighbour called sql is not taken for it."""
    package = tmp_path / "site-packages" / "labelop"
    inside = sql_folder(package)
    sql_folder(package.parent)
    assert queries._sql_root(package, None) == inside


@pytest.mark.slow
def test_sql_is_in_a_built_wheel(tmp_path: Path) -> None:
    """A wheel built from this checkout finds its own SQL and answers a query, away from the checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    code = "from labelop.queries import list_queries, sql_root; print(sql_root()); print(len(list_queries()))"
    # -P and the path first: the wheel's package must win over the editable install of this checkout
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(installed)!r}); {code}"]
    out = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.splitlines()
    assert out == [str(installed / "labelop" / "sql"), str(len(list_queries()))]


def test_settings_name_another_folder(tmp_path: Path) -> None:
    """LABELOP_SQL wins over both places, so that a site can add queries of its own."""
    folder = sql_folder(tmp_path)
    assert sql_root(load_settings(sql=folder)) == folder


def test_a_folder_without_sql_is_named(tmp_path: Path) -> None:
    """A wrong folder is one clear error that says where was looked."""
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        sql_root(load_settings(sql=tmp_path))


def test_queries_of_another_folder_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that only a site's own folder has is listed and run from there."""
    folder = sql_folder(tmp_path)
    header = "-- One.\n-- Params: n integer = 2\n-- Grain: x\n"
    sql_file(folder / "queries", f"{header}SELECT $n::INTEGER AS x ORDER BY x;\n")
    monkeypatch.setenv("LABELOP_SQL", str(folder))
    assert [info.name for info in list_queries()] == ["example"]
    assert run_query(empty_session(), "example").to_pylist() == [{"x": 2}]
    assert run_query(empty_session(), "example", {"n": "5"}).to_pylist() == [{"x": 5}]


def test_header_is_documentation(tmp_path: Path) -> None:
    """Purpose, parameters with type and default, and grain are read from the comment lines."""
    text = (
        "-- Counts\n-- things.\n-- Params: dataset text; n integer = 3; part text = null\n-- Grain: a, b\nSELECT 1;\n"
    )
    info = describe(sql_file(tmp_path, text))
    assert info.purpose == "Counts things."
    assert [(p.name, p.kind, p.optional, p.default) for p in info.params] == [
        ("dataset", "text", False, None),
        ("n", "integer", True, 3),
        ("part", "text", True, None),
    ]
    assert info.grain == ("a", "b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT 1;\n", "has no header"),
        ("-- Purpose.\n-- Grain: a\nSELECT 1;\n", "has no header"),
        ("-- Purpose.\n-- Params: dataset\n-- Grain: a\nSELECT 1;\n", "declares the parameter 'dataset'"),
        ("-- Purpose.\n-- Params: when date\n-- Grain: a\nSELECT 1;\n", "declares the parameter 'when date'"),
        ("-- Purpose.\n-- Params: none\n-- Grain: a\n-- Needs: luck\nSELECT 1;\n", "needs 'luck', expected one of"),
    ],
)
def test_a_header_with_a_gap_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    """A file without purpose, parameters or grain is not a query."""
    with pytest.raises(AnalysisError, match=said):
        describe(sql_file(tmp_path, text))


def test_an_unknown_query_suggests_the_nearest() -> None:
    """A misspelt name gets the name that was probably meant, and all names."""
    with pytest.raises(UnknownQueryError, match=r"arm_cost.*Did you mean 'arm_cost'\?"):
        run_query(empty_session(), "arm_costs")


@pytest.mark.parametrize("name", ["../checks/fail_usage_without_batch", "", "queries/arm_cost"])
def test_a_query_name_is_not_a_path(name: str) -> None:
    """Only names of the folder are run, never a path."""
    with pytest.raises(UnknownQueryError):
        run_query(empty_session(), name)


def test_a_missing_parameter_lists_all() -> None:
    """The error names what is missing and every parameter with its type."""
    with pytest.raises(QueryParameterError, match=r"needs the parameter 'dataset_version'.*dataset \(text\)"):
        run_query(empty_session(), "routing_evidence", {"dataset": "d"})


def test_an_unknown_parameter_lists_all() -> None:
    """The error names the unknown parameter and the allowed ones."""
    with pytest.raises(QueryParameterError, match=r"no parameter 'datasets'.*dataset \(text, optional\)"):
        run_query(empty_session(), "arm_cost", {"datasets": "d"})


def test_a_parameter_of_the_wrong_type_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that is no number is refused before the query runs."""
    folder = sql_folder(tmp_path)
    header = "-- One.\n-- Params: n integer; flag boolean = false\n-- Grain: x\n"
    sql_file(folder / "queries", f"{header}SELECT $n::INTEGER AS x, $flag::BOOLEAN AS y ORDER BY x;\n")
    monkeypatch.setenv("LABELOP_SQL", str(folder))
    assert run_query(empty_session(), "example", {"n": "1", "flag": "yes"}).to_pylist() == [{"x": 1, "y": True}]
    with pytest.raises(QueryParameterError, match=r"'n' got 'many', expected integer"):
        run_query(empty_session(), "example", {"n": "many"})
    with pytest.raises(QueryParameterError, match=r"'flag' got 'maybe', expected boolean"):
        run_query(empty_session(), "example", {"n": "1", "flag": "maybe"})


def test_a_value_is_never_sql(tmp_path: Path) -> None:
    """A value that looks like SQL is compared as text, and the tables are still there."""
    store = Store(str(tmp_path))
    hostile = "x'; DROP TABLE images; --"
    land(store, "images", [image_row(), image_row(dataset=hostile)], "k")
    session = open_session(store)
    assert run_query(session, "run_summary", {"dataset": hostile})["dataset"].to_pylist() == [hostile]
    assert run_query(session, "run_summary").num_rows == 2


def test_a_store_can_be_asked_directly(tmp_path: Path) -> None:
    """A store that was never written gives empty results, and a landed row shows up in the next question."""
    store = Store(str(tmp_path))
    assert run_query(store, "run_summary").num_rows == 0
    land(store, "images", [image_row()], "k")
    assert run_query(store, "run_summary")["discovered_count"].to_pylist() == [1]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('pyproject.toml')",
        "SELECT * FROM 'pyproject.toml'",
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'other.duckdb' AS other",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
    ],
)
def test_a_session_reaches_nothing_else(statement: str) -> None:
    """A session reads its tables and no file, network or setting, whatever SQL it is given."""
    with pytest.raises(duckdb.Error):
        empty_session().execute(statement)
    assert not Path("out.csv").exists()


def test_a_python_variable_is_not_a_table() -> None:
    """A misspelt table is an error even where a variable of the caller has that name."""
    rows = pa.table({"a": [1]})
    with pytest.raises(duckdb.CatalogException):
        empty_session().execute("SELECT * FROM rows")
    assert rows.num_rows == 1


def test_a_view_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """A view of another release fails at opening, by its name."""
    shutil.copytree(ROOT / "sql", tmp_path / "sql")
    (tmp_path / "sql" / "views" / "99_v_old.sql").write_text("CREATE VIEW v_old AS SELECT gone FROM images;\n")
    with pytest.raises(AnalysisError, match=r"99_v_old\.sql"):
        open_tables({n: t.schema.empty_table() for n, t in schemas.TABLES.items()}, root=tmp_path / "sql")


def test_checks_tell_severity_and_rows(tmp_path: Path) -> None:
    """A file that neither landed nor is in quarantine is a failing check with that row; the others pass."""
    store = Store(str(tmp_path))
    land(store, "images", [image_row()], "k")
    results = run_checks(store)
    assert {result.severity for result in results} == {"fail", "warn"}
    (failed,) = [result for result in results if not result.passed]
    assert (failed.name, failed.severity) == ("discovered_is_landed_or_quarantined", "fail")
    assert failed.rows[0]["path"] == "a.jpg"


def test_seconds_in_sql_are_the_parameters() -> None:
    """The views use the same seconds as the edit script's default parameters."""
    (row,) = empty_session().sql("SELECT * FROM v_parameter").to_arrow_table().to_pylist()
    assert row == {
        "base_seconds": DEFAULTS.base_box_seconds,
        "base_class_seconds": DEFAULTS.base_class_seconds,
        "add_box_seconds": DEFAULTS.add_box_seconds,
        "add_class_seconds": DEFAULTS.add_class_seconds,
    }
