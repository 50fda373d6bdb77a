"""Write a table's values out as text with one number of decimals per column, ready for the template.

Knows tables of plain values and no HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labelop.report.tables import ReportTable
from labelop.report.values import NUMERIC, Kind, Value, decimals, plain, shown

SHORT = 26
"""Characters up to which a text is kept on one line."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value, written out."""

    text: str
    """What the reader sees."""
    style: str
    """Class of the cell: n number, short text that is kept on one line, long text that may break anywhere."""
    is_code: bool
    """Whether it is set in the type of code."""


@dataclass(frozen=True, slots=True)
class Head:
    """One heading."""

    text: str
    """What the reader sees."""
    right: bool
    """Whether the column is aligned right."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row."""

    cells: tuple[Cell, ...]
    """Its cells in the order of the headings."""
    starts_group: bool
    """Whether another dataset begins here."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A table with every value written out."""

    title: str
    """Heading above it."""
    note: str
    """How to read it."""
    query: str
    """Query that returns its rows."""
    heads: tuple[Head, ...]
    """Headings."""
    rows: tuple[Line, ...]
    """Rows."""


def lay_out(table: ReportTable) -> Layout:
    """Write a table out; numbers of one column share their decimals so that they can be compared by eye."""
    kinds: tuple[Kind, ...] = table.kinds or tuple("text" for _ in table.columns)
    digits = [decimals((row[place] for row in table.rows), kind) for place, kind in enumerate(kinds)]
    lines: list[Line] = []
    for number, row in enumerate(table.rows):
        cells = zip(row, kinds, digits, strict=True)
        lines.append(
            Line(
                tuple(_cell(shown(value, kind, places), kind) for value, kind, places in cells),
                starts_group=number > 0 and _starts_group(table.columns, table.rows[number - 1], row),
            )
        )
    heads = tuple(Head(plain(text), kind in NUMERIC) for text, kind in zip(table.columns, kinds, strict=True))
    return Layout(plain(table.title), plain(table.note), table.query, heads, tuple(lines))


def _cell(text: str, kind: Kind) -> Cell:
    style = "n" if kind in NUMERIC else "short" if len(text) <= SHORT else "long"
    return Cell(text, style, is_code=kind == "code")


def _starts_group(columns: Sequence[str], before: Sequence[Value], row: Sequence[Value]) -> bool:
    return columns[0] == "Dataset" and before[0] != row[0]
