"""docs/tables.md says what the schemas say."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from labelop.schemas import TABLES, VOLATILE

PAGE = (Path(__file__).resolve().parents[2] / "docs/tables.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(\w+)`(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))


def type_name(kind: pa.DataType) -> str:
    """Write a type as the page does."""
    if pa.types.is_list(kind):
        inner = "struct" if pa.types.is_struct(kind.value_type) else type_name(kind.value_type)
        return f"list<{inner}>"
    return str(kind)


def test_every_table_has_its_section() -> None:
    """The page describes every table, in the order of the schemas, and no other."""
    assert list(SECTIONS) == [*TABLES, "audit"]


@pytest.mark.parametrize("name", TABLES)
def test_a_section_names_version_and_grain(name: str) -> None:
    """The line under the heading says version and grain as declared."""
    table = TABLES[name]
    grain = ", ".join(f"`{column}`" for column in table.grain)
    assert f"Version {table.version}. One row per {grain}." in SECTIONS[name]


@pytest.mark.parametrize("name", TABLES)
def test_a_section_lists_every_column(name: str) -> None:
    """Columns stand in declared order with their types, each with a meaning."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) \|$", SECTIONS[name], flags=re.MULTILINE)
    assert [(column, kind) for column, kind, _ in rows] == [(f.name, type_name(f.type)) for f in TABLES[name].schema]
    assert [column for column, _, meaning in rows if not meaning.strip()] == []


@pytest.mark.parametrize("name", TABLES)
def test_the_grain_is_made_of_columns(name: str) -> None:
    """Columns that make a row unique exist, and none of them says only when or by whom."""
    table = TABLES[name]
    assert set(table.grain) <= set(table.schema.names)
    assert not set(table.grain) & (VOLATILE - {"run_id", "attempt_id"})


def test_column_names_carry_their_units() -> None:
    """Reals that are not shares or scores end in a unit, and money always has its currency beside it."""
    unitless = {"score", "iou", "biou", "oks", "value", "difference", "tolerance", "margin", "her", "reference_her"}
    unitless |= {f"{name}{end}" for name in ("ratio", "mean_ratio", "saving", "value") for end in ("", "_low", "_high")}
    unitless |= {"p_value", "p_permutation", "p_holm", "p_equal"}
    for table in TABLES.values():
        for field in table.schema:
            if pa.types.is_float64(field.type):
                units: tuple[str, ...] = ("_seconds", "_px", "_bytes", "_joules", "_joules_per_image")
                assert field.name in unitless or field.name.endswith(units), field.name
            if pa.types.is_decimal(field.type):
                assert "currency" in table.schema.names, table.name
            if pa.types.is_int64(field.type):
                units = ("_count", "_bytes", "_px")
                assert field.name.endswith(units) or field.name in {
                    "position",
                    "position_in_batch",
                    "period",
                    "orientation",
                }
