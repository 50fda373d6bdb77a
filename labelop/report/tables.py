"""Lay the queries' rows out as tables, so that the page and Prefect's artifacts show the same numbers.

Knows nothing of HTML or Prefect. All values are plain Python: text, numbers, flags, None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelop.errors import AnalysisError
from labelop.report.compare import Comparison, comparisons, lines
from labelop.report.form import Form
from labelop.report.forms import FORMS
from labelop.report.results import Results, Row, currency_of, gather
from labelop.report.styles import BY_OP, STYLES
from labelop.report.values import Kind, Value, plain, shown
from labelop.views import Session

LONGEST = 300
"""Rows a table of the page holds at most; the query itself returns all."""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """One table, ready to be shown."""

    title: str
    """Heading above the table."""
    columns: tuple[str, ...]
    """Headings with their units."""
    rows: tuple[tuple[Value, ...], ...]
    """Values in the order of the columns; money is a float in the currency of the heading."""
    note: str
    """How to read it, and how many rows were left out."""
    query: str = ""
    """Query that `labelop query` runs to get every row."""
    kinds: tuple[Kind, ...] = ()
    """Kind of each column; empty means text."""

    def records(self) -> list[dict[str, Value]]:
        """Return the rows as heading to value, the form Prefect's table artifact takes."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def summary_tables(session: Session, *, dataset: str | None = None) -> list[ReportTable]:
    """Build the report's tables, the ones that also become Prefect artifacts.

    Args:
        session: From `labelop.queries.open_session`.
        dataset: Name of one dataset, or None for all.

    Returns:
        The summary, local against cloud for each dataset, then the others in the order of the page. Empty tables
        are kept, so that a gap can be seen.
    """
    return tables_of(gather(session, dataset))


def tables_of(results: Results) -> list[ReportTable]:
    """Build the report's tables from rows that are already here."""
    tables = {form.query: build(form, results.of(form.query)) for form in FORMS}
    tables["effort_by_operation"] = operations_table(results)
    first, *rest = tables.values()
    return [first, *(comparison_table(item) for item in comparisons(results)), *rest]


def operations_table(results: Results) -> ReportTable:
    """Lay corrections out with one row per class and one column per operation, count and share in each cell."""
    form = next(form for form in FORMS if form.query == "effort_by_operation")
    rows = results.of(form.query)
    build(form, rows)  # for its check of the columns
    used = [style.op for style in STYLES if any(row["op"] == style.op for row in rows)]
    cells: dict[tuple[Value, Value, Value], dict[Value, Row]] = {}
    for row in rows:
        cells.setdefault((row["dataset"], row["arm"], row["label"]), {})[row["op"]] = row
    counts: list[Kind] = ["count"] * len(used)
    return ReportTable(
        title=form.title,
        columns=("Dataset", "Arm", "Class", *(BY_OP[op].name.capitalize() for op in used), "Modelled s", "Simulated"),
        rows=tuple(
            (
                *key,
                *(_count_and_share(ops.get(op)) for op in used),
                _seconds(ops),
                any(r["simulated"] for r in ops.values()),
            )
            for key, ops in cells.items()
        ),
        note=form.note,
        query=form.query,
        kinds=("text", "text", "text", *counts, "seconds", "flag"),
    )


def _count_and_share(row: Row | None) -> str:
    return "0" if row is None else f"{shown(row['ops_count'], 'count')} ({shown(row['share'], 'share')})"


def _seconds(ops: Mapping[Value, Row]) -> float | None:
    known = [row["model_seconds"] for row in ops.values()]
    return sum(float(value) for value in known if value is not None) if None not in known else None


def comparison_table(comparison: Comparison) -> ReportTable:
    """Lay one comparison out, one measure a row."""
    slices = {"paired": "the same images under both arms", "all": "all reviewed images of each arm"}
    notes = {
        "paired": "The fair comparison: the same images were drafted by both arms and reviewed under both.",
        "all": "Each arm on the images it was given; routing chose them, so they may differ in difficulty.",
    }
    return ReportTable(
        title=f"Local against cloud: {plain(comparison.dataset)}, {slices[comparison.slice]}",
        columns=("Measure", "Local", "Cloud", "Cloud against local", "Simulated"),
        rows=tuple((*line, comparison.simulated) for line in lines(comparison)),
        note=notes[comparison.slice],
        query="local_vs_cloud",
        kinds=("text", "number", "number", "number", "flag"),
    )


def build(form: Form, rows: Sequence[Row]) -> ReportTable:
    """Lay the rows of one query out as one table.

    Raises:
        AnalysisError: The query does not return a column the table shows.
    """
    names = [column.field for column in form.columns]
    missing = [name for name in names if rows and name not in rows[0]]
    if missing:
        raise AnalysisError(
            f"Query {form.query!r} does not return {', '.join(missing)}; it returns {', '.join(rows[0])}.",
            hint="The report and the SQL files belong to different versions; check LABELOP_SQL.",
        )
    left_out = len(rows) - LONGEST
    more = f" {left_out:,} more rows: `labelop query {form.query}`." if left_out > 0 else ""
    currency = currency_of(rows)
    return ReportTable(
        title=form.title,
        columns=tuple(column.heading.format(currency=currency) for column in form.columns),
        rows=tuple(tuple(row[name] for name in names) for row in rows[:LONGEST]),
        note=form.note + more,
        query=form.query,
        kinds=tuple(column.kind for column in form.columns),
    )
