"""How the command line speaks: tables or machine formats, a progress bar, one-line errors. Knows no command."""

from __future__ import annotations

import atexit
import csv
import io
import json
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from labelop import progress
from labelop.errors import ConfigurationError, LabelopError, QueryParameterError, UnknownQueryError, of_machine

Row = Mapping[str, object]

_FOUR_DIGITS = 1000
"""Below this, four significant digits say more than one decimal."""

_UPRIGHT_ROWS = 4
"""More rows than this do not fit beside one another."""


class OutputFormat(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a cell that starts so; such text is written behind an apostrophe."""


_USAGE_CODE = 2

_USAGE = (UnknownQueryError, QueryParameterError)
"""Errors of the library that say no more than that a command was called wrongly."""


def show_rows(
    rows: Sequence[Row], output: OutputFormat, *, title: str = "", columns: Sequence[str] | None = None
) -> None:
    """Write rows to standard output.

    Args:
        rows: One mapping per row, all with the same keys.
        output: Form; Parquet is binary and meant for a pipe or a file. JSON numbers have all digits of a decimal.
        title: Heading of the table form.
        columns: Names of the columns, for a CSV without rows; those of the first row when None.
    """
    match output:
        case OutputFormat.JSON:
            typer.echo(_as_json([dict(row) for row in rows]))
        case OutputFormat.CSV:
            typer.echo(_as_csv(rows, columns), nl=False)
        case OutputFormat.PARQUET:
            show_parquet(pa.Table.from_pylist([dict(row) for row in rows]))
        case OutputFormat.TABLE:
            _show_table(rows, title)


def _show_table(rows: Sequence[Row], title: str) -> None:
    console = Console(width=None if sys.stdout.isatty() else 200)
    if not rows:
        console.print(f"{title + ': ' if title else ''}no rows", markup=False)
        return
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        numeric = all(isinstance(row[name], int | float | Decimal | None) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table, markup=False)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | Decimal):
        number = float(value)
        return f"{number:,.4g}" if abs(number) < _FOUR_DIGITS else f"{number:,.1f}"
    # control characters in a hostile name could rewrite the terminal
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def _as_csv(rows: Sequence[Row], columns: Sequence[str] | None) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    # before Python 3.13 a carriage return is not quoted by itself and would split its row
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    if names := list(rows[0] if rows else columns or ()):
        writer.writerow(names)
    for row in rows:
        cells = [_safe(value) for value in row.values()]
        (quoting if any("\r" in str(cell) for cell in cells) else writer).writerow(cells)
    return text.getvalue()


def _safe(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return value


def _as_json(value: object) -> str:
    # a float would round long decimals and the encoder takes no text as it is: each stands behind a mark that no
    # table can hold, since it is drawn for this call, and loses mark and quotes afterwards
    mark = secrets.token_hex(16)

    def plain(item: object) -> str:
        return f"{mark}{item:f}" if isinstance(item, Decimal) and item.is_finite() else str(item)

    text = json.dumps(value, default=plain, ensure_ascii=False, indent=2)
    return re.sub(f'"{mark}([-0-9.]+)"', r"\1", text)


@contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Turn an error into one line on standard error and exit code 1, or 2 where the command was called wrongly."""
    try:
        yield
    except LabelopError as error:
        _say_error(str(error))
        raise typer.Exit(_USAGE_CODE if isinstance(error, _USAGE) else 1) from error
    except BrokenPipeError:
        raise  # the reader of our output has enough, which is no failure of the machine
    except OSError as error:
        # the last resort: where an error is expected, the library names what it was doing
        _say_error(str(of_machine(error)))
        raise typer.Exit(1) from error


def _say_error(text: str) -> None:
    typer.secho(f"error: {' '.join(text.split())}", err=True, fg=typer.colors.RED)


def warn(text: str) -> None:
    """Say in one line on standard error what a person should look at."""
    typer.secho(f"warning: {' '.join(text.split())}", err=True, fg=typer.colors.YELLOW)


def end_process(code: object) -> NoReturn:
    """End the process now, with everything written, whatever threads of foreign libraries still do.

    At a regular end of the interpreter the threads of Arrow and the table library now and then abort the process (134
    instead of the exit code), and DuckDB's bindings complain about objects that were not yet collected.

    Args:
        code: As `SystemExit` carries it: a number, None for 0, or a text to show for 1.
    """
    if isinstance(code, str):
        typer.echo(code, err=True)
    number = code if isinstance(code, int) else int(code is not None)
    atexit._run_exitfuncs()  # noqa: SLF001 - what asked for a tidy end gets it: loggers, temporary folders
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            # an answer that did not reach its file may not end as done
            number = number or 1
            if not isinstance(error, BrokenPipeError):
                os.write(2, f"error: the output cannot be written: {error.strerror}.\n".encode())
    os._exit(number)


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[None]:
    """Draw progress of the library on standard error; plain lines where that is no terminal."""
    if quiet:
        yield
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        with progress.listening(_plain_lines(console)):
            yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        known: dict[str, TaskID] = {}

        def listen(stage: str, done: int, total: int) -> None:
            if stage not in known:
                known[stage] = bar.add_task(stage, total=total)
            bar.update(known[stage], completed=done, total=total)

        with progress.listening(listen):
            yield


def _plain_lines(console: Console) -> progress.Listener:
    shown: dict[str, int] = {}

    def listen(stage: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        if shown.get(stage) != tenth:
            shown[stage] = tenth
            console.print(f"{stage}: {done}/{total}", markup=False, highlight=False)

    return listen


def show_parquet(rows: pa.Table) -> None:
    """Write an Arrow table as Parquet to standard output.

    Raises:
        ConfigurationError: Standard output is a terminal.
    """
    if sys.stdout.isatty():
        raise ConfigurationError("Parquet is binary; send it to a file, for example `> rows.parquet`.")
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    sys.stdout.buffer.write(sink.getvalue())


def show_sections(sections: Mapping[str, Sequence[Row]], output: OutputFormat, *, upright: bool = False) -> None:
    """Write several named tables; JSON gives one object, the table form one table after the other.

    Args:
        sections: Rows by heading.
        output: `table` or `json`: one stream of CSV or Parquet holds one table.
        upright: In the table form show few wide rows as columns of their values, without those that no row has, and
            of many rows only the columns in which they differ.
    """
    if output is OutputFormat.JSON:
        typer.echo(_as_json({name: [dict(row) for row in rows] for name, rows in sections.items()}))
        return
    if output is not OutputFormat.TABLE:
        raise ValueError(f"several tables cannot be written as {output}")
    for name, rows in sections.items():
        show_rows(_upright(rows) if upright else rows, output, title=name)


def _upright(rows: Sequence[Row]) -> list[Row]:
    if len(rows) > _UPRIGHT_ROWS:
        differing = [name for name in rows[0] if len({str(row[name]) for row in rows}) > 1]
        return [{name: row[name] for name in differing} for row in rows]
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else []
    return [{"": name, **{str(n): row[name] for n, row in enumerate(rows, 1)}} for name in names]
