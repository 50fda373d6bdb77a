"""Find, describe and run the SQL files, so that analysts and the report read the same numbers.

SQL lives in `sql/` as files with a header; nothing here builds SQL text from values. Knows tables by their names in
`labelop.schemas`, not what is in them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow as pa

from labelop import schemas
from labelop.errors import AnalysisError, ConfigurationError, LandingError, UnknownQueryError
from labelop.landing.store import Store, look_at
from labelop.landing.tables import RESTORE, said
from labelop.landing.whole import require_whole
from labelop.query_files import QueryInfo, Value, bind, describe
from labelop.review.approvals import NO_TRUST, Trust, trust_of
from labelop.review.gate import LazyApprovals
from labelop.settings import Settings, load_settings
from labelop.views import Session, add_table, keep

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found."""

    name: str
    """File name without severity and `.sql`."""
    severity: str
    """fail: the numbers must not be used; warn: a person should look."""
    purpose: str
    """What must hold."""
    rows: tuple[dict[str, Any], ...]
    """Offending rows; empty when the check passes."""

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.rows


def sql_root(settings: Settings | None = None) -> Path:
    """Find the folder of the SQL files.

    Args:
        settings: Where `sql` may name a folder; the environment's settings when None.

    Returns:
        The folder named in the settings, else `labelop/sql` of an installed wheel, else `sql` of the checkout.

    Raises:
        ConfigurationError: None of them holds `queries/` and `views/`.
    """
    named = (settings or load_settings()).sql
    return _sql_root(_PACKAGE, named)


def _sql_root(package: Path, named: Path | None) -> Path:
    # a checkout installed as editable has no labelop/sql: force-include acts on wheels only
    candidates = [named] if named is not None else [package / "sql", package.parent / "sql"]
    for folder in candidates:
        if (folder / "queries").is_dir() and (folder / "views").is_dir():
            return folder
    raise ConfigurationError(
        f"No SQL files in {' or '.join(str(folder) for folder in candidates)}, expected folders queries and views.",
        hint="LABELOP_SQL names the folder that holds them.",
    )


def list_queries(root: Path | None = None) -> list[QueryInfo]:
    """List every query with what its header says, by name.

    Args:
        root: Folder of the SQL files; found by `sql_root` when None.
    """
    return [describe(path) for path in sorted(((root or sql_root()) / "queries").glob("*.sql"))]


def find_query(name: str) -> QueryInfo:
    """Find one query by its name.

    Raises:
        UnknownQueryError: There is no such query.
    """
    folder = sql_root() / "queries"
    names = sorted(path.stem for path in folder.glob("*.sql"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise UnknownQueryError(
            f"Query {name!r} is unknown; expected one of {', '.join(names)}.",
            hint=f"Did you mean {near[0]!r}?" if near else "`labelop query` lists them with their purpose.",
        )
    return describe(folder / f"{name}.sql")


def open_session(store: Store, *, root: Path | None = None) -> Session:
    """Open the store's tables and the views over them, at their newest landed version.

    Args:
        store: Where the tables are; tables that never landed are empty.
        root: Folder of the SQL files; found by `sql_root` when None.

    Returns:
        An in-memory connection that can read these tables and nothing else: no file, no network, no other setting.

    Raises:
        SchemaMismatchError: A table is stored in another schema version.
        LandingError: A table cannot be opened, or a file of it is missing or cut; names it.
        AnalysisError: A view does not fit the tables.
    """
    looks = {name: look_at(store, name) for name in schemas.TABLES}
    files = {name: paths for name, (_, paths) in looks.items()}
    try:
        return open_tables({name: rows for name, (rows, _) in looks.items()}, trust_of(store), root=root, files=files)
    except duckdb.Error as error:
        for name in files:
            require_whole(store, name)  # says what is wrong by size and name, which DuckDB does not
        raise LandingError(f"Tables in {store.root} cannot be read: {said(error)}.", hint=RESTORE) from error


def open_tables(
    tables: Mapping[str, Any],
    trust: Trust = NO_TRUST,
    *,
    root: Path | None = None,
    files: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Session:
    """Open a session over Arrow tables or datasets by name; see `open_session`.

    Args:
        tables: Every table of `labelop.schemas`.
        trust: What approvals of labels rest on; without it no label counts as accepted.
        root: Folder of the SQL files; found by `sql_root` when None.
        files: Parquet files of tables, where they lie on this machine; DuckDB then reads these itself.

    Raises:
        AnalysisError: A view does not fit the tables.
    """
    # nothing is fetched: an extension that a query needs and that is not there is an error
    session = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    # results must not depend on the machine's zone, and a misspelt table must not become a Python variable
    for setting in ("SET TimeZone = 'UTC'", "SET python_enable_replacements = false"):
        session.execute(setting)
    for name, rows in tables.items():
        add_table(session, name, rows, files.get(name, ()))
    session.register("approvals", LazyApprovals(tables, trust))
    for path in sorted(((root or sql_root()) / "views").glob("*.sql")):
        try:
            session.execute(path.read_text(encoding="utf-8"))
        except duckdb.Error as error:
            raise AnalysisError(
                f"View {path.name} cannot be created: {error}.", hint="Is LABELOP_SQL of this release?"
            ) from error
    session.execute("SET allowed_paths = ?", [[path for paths in files.values() for path in paths]])
    for lock in ("SET enable_external_access = false", "SET lock_configuration = true"):
        session.execute(lock)
    return session


def run_query(source: Store | Session, name: str, params: Mapping[str, Value] | None = None) -> pa.Table:
    """Run one query of `sql/queries`.

    Args:
        source: A store, or a session when several queries should see the same version of the tables.
        name: Query name.
        params: Values by parameter name; text is converted to the parameter's type.

    Returns:
        Its rows, in the query's own order.

    Raises:
        UnknownQueryError: There is no such query.
        QueryParameterError: A parameter is unknown, missing or of the wrong type.
        AnalysisError: The query failed.
    """
    return run_file(source, find_query(name).path, params or {})


def run_file(source: Store | Session, path: Path, params: Mapping[str, Value]) -> pa.Table:
    """Run one SQL file with a header; see `run_query`."""
    bound = bind(describe(path), params)
    session = open_session(source) if isinstance(source, Store) else source
    text = path.read_text(encoding="utf-8")
    try:
        keep(session, text)
        relation = session.sql(text, params=bound)
        return relation.to_arrow_table()
    except duckdb.Error as error:
        raise AnalysisError(
            f"Query {path.stem!r} failed: {said(error)}.",
            hint="`labelop doctor` looks whether the tables are whole.",
        ) from error


def run_checks(source: Store | Session, *, root: Path | None = None) -> list[CheckResult]:
    """Run every check of `sql/checks`, `fail` before `warn`.

    Returns:
        One result per check; its rows are the offending ones.
    """
    session = open_session(source) if isinstance(source, Store) else source
    results = []
    for path in sorted(((root or sql_root()) / "checks").glob("*.sql")):
        severity, _, name = path.stem.partition("_")
        rows = run_file(session, path, {}).to_pylist()
        results.append(CheckResult(name, severity, describe(path).purpose, tuple(rows)))
    return results
