"""What SQL sees of a store: tables by name, and views of which some are computed once.

Knows DuckDB; not which tables and views there are, nor what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import duckdb

Session: TypeAlias = duckdb.DuckDBPyConnection
"""Read-only look at one store: tables and views by name, no way to the outside."""

_VIEWS = """
    SELECT view_name, sql, comment IS NOT DISTINCT FROM 'kept'
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
    session.register(f"{name}_columns", rows.schema.empty_table())
    found = f"read_parquet({texts(files)}, union_by_name = true, hive_partitioning = false)"
    session.execute(f"CREATE TEMP VIEW {name} AS FROM {name}_columns WHERE false UNION ALL BY NAME FROM {found}")


def texts(values: Iterable[str]) -> str:
    """Write a list of texts as SQL."""
    return f"[{', '.join(chr(39) + value.replace(chr(39), chr(39) * 2) + chr(39) for value in values)}]"


def keep(session: Session, text: str) -> None:
    """Compute, once a session, what a query reads of the views whose comment is `kept`, each before those built on it.

    A temporary table hides the view of its name, so whatever is built on the view reads the table from then on.
    """
    views = {name: (sql, kept) for name, sql, kept in session.execute(_VIEWS).fetchall()}
    _keep(session, text, views)


def _keep(session: Session, text: str, views: dict[str, tuple[str, bool]]) -> None:
    for name in dict.fromkeys(re.findall(r"\w+", text)):
        sql, kept = views.pop(name, ("", False))
        _keep(session, sql, views)
        if kept:
            session.execute(f"CREATE TEMP TABLE {name} AS FROM {name}")
