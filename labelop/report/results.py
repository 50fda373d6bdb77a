"""Run the report's queries and checks once and keep their rows as plain Python values.

Knows the queries by name; nothing of headings, HTML or Prefect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from labelop.errors import AnalysisError
from labelop.queries import run_checks, run_query
from labelop.report.forms import FORMS
from labelop.report.values import Value
from labelop.views import Session

Row = Mapping[str, Value]
"""One row of a query by column name; money is a float in the currency of the row's `currency`."""

EXTRA_QUERIES = ("local_vs_cloud", "report_provenance", "report_tables")
"""Queries the page reads beside those that become tables one to one."""

FINDINGS = "check_findings"
"""Key of the rows that tell which checks found something; they come from `sql/checks`, not from a query."""


@dataclass(frozen=True, slots=True)
class Results:
    """Everything the page says in numbers."""

    rows: Mapping[str, Sequence[Row]]
    """Rows by query name."""

    def of(self, query: str, **where: Value) -> list[Row]:
        """Return the rows of one query whose columns have the given values."""
        return [row for row in self.rows.get(query, ()) if all(row.get(name) == value for name, value in where.items())]

    def datasets(self) -> list[str]:
        """Return the names of all datasets, sorted."""
        return sorted({str(row["dataset"]) for row in self.of("run_summary")})

    def has_simulated(self) -> bool:
        """Tell whether any number comes from an emulated placement or a simulated reviewer."""
        return any(row.get("simulated") for rows in self.rows.values() for row in rows)


def gather(session: Session, dataset: str | None = None) -> Results:
    """Run every query the report needs.

    Args:
        session: From `labelop.queries.open_session`.
        dataset: Name of one dataset, or None for all.

    Raises:
        UnknownQueryError: The SQL files at hand lack a query of the report.
    """
    params = {} if dataset is None else {"dataset": dataset}
    # the page and its artifacts may be passed on; what a person or a source wrote as a label stays in the tables
    more = {"effort_by_operation": {"models_only": True}}
    names = (*(form.query for form in FORMS), *EXTRA_QUERIES)
    rows = {name: plain_rows(run_query(session, name, {**params, **more.get(name, {})})) for name in names}
    return Results({**rows, FINDINGS: _findings(session, dataset)})


def _findings(session: Session, dataset: str | None) -> list[Row]:
    """Tell which checks found something; a row that names no dataset concerns every one."""
    found: list[Row] = []
    for check in run_checks(session):
        rows = [row for row in check.rows if dataset is None or row.get("dataset") in (None, dataset)]
        if rows:
            use = "must not be used" if check.severity == "fail" else "a person should look"
            found.append({"name": check.name, "purpose": check.purpose, "rows_count": len(rows), "use": use})
    return found


def currency_of(rows: Sequence[Row]) -> str:
    """Name the currency of rows; amounts of several currencies are shown side by side, never added."""
    found = sorted({str(row["currency"]) for row in rows if row.get("currency")})
    return " or ".join(found) or "money"


def plain_rows(table: pa.Table) -> list[Row]:
    """Turn a query's result into plain Python values: money to float, times to text."""
    return [{name: _value(value) for name, value in row.items()} for row in table.to_pylist()]


def _value(value: Any) -> Value:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise AnalysisError(f"A query of the report returned {type(value).__name__}, expected text or a number.")
