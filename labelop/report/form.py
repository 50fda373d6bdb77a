"""What a table of the report is made of. Data only; knows neither queries nor HTML."""

from __future__ import annotations

from dataclasses import dataclass

from labelop.report.values import Kind


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    field: str
    """Name of the column in the query's result."""
    heading: str
    """What the reader sees; `{currency}` is replaced by the currency of the rows."""
    kind: Kind = "text"
    """Alignment, digits and unit."""


@dataclass(frozen=True, slots=True)
class Form:
    """One table of the report."""

    query: str
    """Name of the query; also the table's key. Empty where the rows come from no query."""
    title: str
    """Heading above the table."""
    note: str
    """One or two sentences on how to read it."""
    columns: tuple[Column, ...]
    """Columns in reading order."""
