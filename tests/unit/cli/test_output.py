"""What the command line writes: for people, for programs, and for nobody's spreadsheet to run."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from labelop import progress
from labelop.cli_output import OutputFormat, progress_bar, show_rows, show_sections
from labelop.errors import ConfigurationError

ROWS = [{"name": "a", "cost": Decimal("1.25"), "share": 0.123456, "none": None, "yes": True}]


def test_json_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Machine output has the same keys and numbers, money included."""
    show_rows(ROWS, OutputFormat.JSON)
    assert json.loads(capsys.readouterr().out) == [
        {"name": "a", "cost": 1.25, "share": 0.123456, "none": None, "yes": True}
    ]


def test_sections_are_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    """Several tables are one document, each under its heading."""
    show_sections({"one": ROWS, "two": []}, OutputFormat.JSON)
    assert list(json.loads(capsys.readouterr().out)) == ["one", "two"]


def test_wide_rows_can_stand_upright(capsys: pytest.CaptureFixture[str]) -> None:
    """Each row is a column of its values, and what no row has is left out; JSON is whole."""
    rows = [{"path": "a.jpg", "split": None}, {"path": "b.jpg", "split": None}]
    show_sections({"images": rows}, OutputFormat.TABLE, upright=True)
    shown = capsys.readouterr().out
    [line] = [line for line in shown.splitlines() if "a.jpg" in line]
    assert "path" in line
    assert "b.jpg" in line
    assert "split" not in shown
    show_sections({"many": [{"n": n, "same": "constant"} for n in range(5)]}, OutputFormat.TABLE, upright=True)
    assert "constant" not in capsys.readouterr().out
    show_sections({"images": rows}, OutputFormat.JSON, upright=True)
    assert json.loads(capsys.readouterr().out) == {"images": rows}


def test_csv_keeps_columns_and_digits(capsys: pytest.CaptureFixture[str]) -> None:
    """The first line names the columns, also without rows; money keeps its digits, and truth is a word."""
    show_rows(ROWS, OutputFormat.CSV)
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["name"], row["cost"], row["yes"]) == ("a", "1.25", "true")
    show_rows([], OutputFormat.CSV, columns=["name", "cost"])
    assert capsys.readouterr().out == "name,cost\n"


def test_json_keeps_every_digit_of_money(capsys: pytest.CaptureFixture[str]) -> None:
    """A decimal is a number with its own digits, not the nearest float, and no text can pass for one."""
    money = Decimal("123456789012.345678")
    show_rows([{"cost": money, "small": Decimal("1E-6"), "text": "1.5"}], OutputFormat.JSON)
    [row] = json.loads(capsys.readouterr().out, parse_float=Decimal)
    assert row == {"cost": money, "small": Decimal("0.000001"), "text": "1.5"}


@pytest.mark.parametrize("output", [OutputFormat.CSV, OutputFormat.PARQUET])
def test_several_tables_are_no_stream(output: OutputFormat) -> None:
    """Nobody could tell where one table ends and the next begins."""
    with pytest.raises(ValueError, match="several tables"):
        show_sections({"one": ROWS, "two": ROWS}, output)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_cells_are_no_formulas(start: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A hostile file name stays text in a spreadsheet."""
    show_rows([{"path": f"{start}cmd|' /C calc'!A0"}], OutputFormat.CSV)
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert row["path"].startswith("'" + start)


def test_parquet_is_read_back(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Binary output is one Parquet file."""
    show_rows([{"a": 1}, {"a": 2}], OutputFormat.PARQUET)
    assert pq.read_table(io.BytesIO(capsysbinary.readouterr().out)).to_pylist() == [{"a": 1}, {"a": 2}]


def test_parquet_does_not_go_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binary on a screen is refused with what to do instead."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(ConfigurationError, match="send it to a file"):
        show_rows(ROWS, OutputFormat.PARQUET)


def test_a_table_shows_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    """Titles, headings and readable numbers; a missing value is a dash; no rows are said in words."""
    show_rows(ROWS, OutputFormat.TABLE, title="Costs")
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("Costs", "name", "1.25", "0.1235", "yes"))
    show_rows([], OutputFormat.TABLE, title="Costs")
    assert capsys.readouterr().out == "Costs: no rows\n"


def test_hostile_names_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters and markup in a name are shown, not obeyed."""
    show_rows([{"path": "a\x1b[2Jb\u202ec[red]d"}], OutputFormat.TABLE)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]" in shown


def test_progress_is_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A log gets at most one line per tenth, on standard error."""
    with progress_bar():
        for done in range(1001):
            progress.report("ingest [toys]", done, 1000)
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.splitlines()[-1] == "ingest [toys]: 1000/1000"
    assert len(heard.err.splitlines()) == 11


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Commands that only ask say nothing but their answer."""
    with progress_bar(quiet=True):
        progress.report("ask", 1, 1)
    assert capsys.readouterr().err == ""
