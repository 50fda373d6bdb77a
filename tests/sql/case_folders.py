"""Read case folders: input tables as CSV or JSON, parameters, expected rows."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from labelop import schemas
from labelop.queries import open_tables, run_file
from labelop.views import Session
from tests.approved import TRUST, approved

FOLDER = Path(__file__).parent
SQL = FOLDER.parent.parent / "sql"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of one query or check."""

    query: str
    """File name in `sql/queries` or `sql/checks` without `.sql`."""
    folder: Path
    """Where its tables are."""

    @property
    def sql(self) -> Path:
        """The file under test."""
        place = "checks" if self.query.startswith(("fail_", "warn_")) else "queries"
        return SQL / place / f"{self.query}.sql"


def cases() -> list[Case]:
    """Find every case folder, by query and name."""
    return [Case(path.parent.parent.name, path.parent) for path in sorted(FOLDER.glob("*/*/expect.csv"))]


def session_of(case: Case) -> Session:
    """Open a session over the case's tables; a table without a file is empty, a column left out is null.

    Reviews that were submitted as approved have the state that an import gives them, unless the case has states.
    """
    tables = {name: table_of(case.folder, name) for name in schemas.TABLES}
    if not tables["review_states"].num_rows:
        tables["review_states"] = approved(tables["reviews"])
    return open_tables(tables, TRUST, root=SQL)


def actual_of(case: Case, session: Session) -> pa.Table:
    """Run the case's query with its parameters."""
    path = case.folder / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return run_file(session, case.sql, params)


def differences(case: Case, actual: pa.Table) -> tuple[list[Any], list[Any]]:
    """Compare with the expected rows, EXCEPT ALL both ways; real numbers to six digits.

    Returns:
        Rows that are there and not expected, and rows that are expected and not there, as often as they are.
    """
    columns, rows = _rows(case.folder / "expect.csv")
    assert columns == actual.column_names, f"{case.folder}: expect.csv has the columns {columns}"
    # the text is cast to the query's own column types, so that 1 and 1.000000 are the same money
    expected = pa.table([_array([row[field.name] for row in rows], field.type) for field in actual.schema], columns)
    there, wanted = Counter(_rounded(actual)), Counter(_rounded(expected))
    return list((there - wanted).elements()), list((wanted - there).elements())


def _rounded(table: pa.Table) -> list[tuple[Any, ...]]:
    rows = (tuple(row.values()) for row in table.to_pylist())
    return [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in rows]


def table_of(folder: Path, name: str) -> pa.Table:
    """Read one table of a case; empty without a file."""
    schema = schemas.table(name).schema
    if (folder / f"{name}.json").is_file():
        rows = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        columns: list[str] = sorted({key for row in rows for key in row})
    elif (folder / f"{name}.csv").is_file():
        columns, rows = _rows(folder / f"{name}.csv")
    else:
        return schema.empty_table()
    unknown = sorted(set(columns) - set(schema.names))
    assert not unknown, f"{folder}: table {name} has no columns {unknown}"
    arrays = [_array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.table(arrays, schema=schema)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_nested(kind):
        return pa.array(values, kind)
    text = [None if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    return pa.array(text, pa.string()).cast(kind)


def _rows(path: Path) -> tuple[list[str], list[dict[str, str | None]]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = [{key: value if value != "" else None for key, value in row.items()} for row in reader]
        return list(reader.fieldnames or ()), rows
