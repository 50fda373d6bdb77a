"""What SQL sees of a store: tables by name, and views of which some are computed once.

Knows DuckDB; not which tables and views there are, nor what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa

Session: TypeAlias = duckdb.DuckDBPyConnection
"""Read-only look at one store: tables and views by name, no way to the outside."""

_VIEWS = """
    SELECT view_name, sql, comment
    FROM duckdb_views()
    WHERE NOT temporary AND NOT internal
    AND view_name NOT IN (SELECT table_name FROM duckdb_tables() WHERE temporary)
"""


def add_table(session: Session, name: str, rows: Any, files: Sequence[str] = ()) -> None:
    """Make a table known by its name.

    Args:
        session: Where.
        name: Its name.
        rows: An Arrow table or dataset.
        files: Parquet files with these rows, or none; DuckDB reads them several times faster than through Arrow, and
            knows how many rows there are when it orders joins. A column that an older file lacks is null.
    """
    # DuckDB takes such characters as a pattern of names
    if not files or re.search(r"[*?\[\]{}]", files[0]):
        session.register(name, rows)
        return
    found = session.read_parquet(list(files), union_by_name=True, hive_partitioning=False)
    conformed(session, found, rows.schema).create_view(name)


def conformed(session: Session, rows: duckdb.DuckDBPyRelation, schema: pa.Schema) -> duckdb.DuckDBPyRelation:
    """Give rows the columns and types of a schema: what they lack is null, and what it lacks is left out."""
    wanted = session.from_arrow(schema.empty_table())
    return rows.select(
        *(
            (duckdb.ColumnExpression(name) if name in rows.columns else duckdb.ConstantExpression(None))
            .cast(kind)
            .alias(name)
            for name, kind in zip(wanted.columns, wanted.types, strict=True)
        )
    )


def keep(session: Session, text: str) -> None:
    """Compute, once a session, what a query reads of the views that are kept, each before those built on it.

    The comment of such a view is the statement that computes it into a temporary table. That hides the view of its
    name, so whatever is built on the view reads the table from then on.
    """
    views = {name: (sql, kept) for name, sql, kept in session.execute(_VIEWS).fetchall()}
    _keep(session, text, views)


def _keep(session: Session, text: str, views: dict[str, tuple[str, str | None]]) -> None:
    for name in dict.fromkeys(re.findall(r"\w+", text)):
        sql, statement = views.pop(name, ("", None))
        _keep(session, sql, views)
        if statement:
            session.execute(statement)
