from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from labelop import schemas
from labelop.errors import SchemaMismatchError, UnknownTableError
from labelop.landing.rows import conform, empty_table, rows_to_table

NOON = dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC)


def price_row(**given: Any) -> dict[str, Any]:
    """Make one price."""
    return {
        "price_book": "p-1",
        "placement": "onprem",
        "item": "gpu",
        "unit": "hour",
        "amount": Decimal("1.25"),
        "price_version": "1",
        "low": None,
        "high": None,
        "currency": "EUR",
        "as_of": "2025-01-01",
        "source": "list",
        "run_id": "r-1",
        "landed_at": NOON,
    } | given


def prelabel_row(**given: Any) -> dict[str, Any]:
    """Make one prelabel."""
    row: dict[str, Any] = dict.fromkeys(schemas.table("prelabels").schema.names)
    return row | {"image_id": "a", "batch_id": "b", "predictions": [], "landed_at": NOON} | given


def prediction(**given: Any) -> dict[str, Any]:
    """Make one prediction without a box."""
    row: dict[str, Any] = dict.fromkeys(field.name for field in schemas.PREDICTION)
    return row | {"prediction_id": "p", "label": "x", "score": 0.5, "draft": True} | given


def test_types_are_the_declared_ones() -> None:
    """Rows get the declared types: exact money, times in UTC microseconds."""
    table = rows_to_table("prices", [price_row(landed_at=NOON.astimezone(dt.timezone(dt.timedelta(hours=5))))])
    assert table.schema == schemas.table("prices").schema
    assert table.to_pylist() == [price_row()]


def test_no_rows_is_a_typed_table() -> None:
    """No rows still have the declared columns."""
    assert rows_to_table("prelabels", []).schema == schemas.table("prelabels").schema == empty_table("prelabels").schema


@pytest.mark.parametrize(
    ("row", "fact"),
    [
        (price_row(colour="red"), "colour"),
        ({k: v for k, v in price_row().items() if k != "unit"}, "unit"),
        (price_row(amount=1.25), "amount"),
        (price_row(amount=Decimal("0.0000001")), "amount"),
        (price_row(unit=3), "unit"),
        (price_row(landed_at=dt.datetime(2025, 1, 1)), "landed_at"),  # noqa: DTZ001  without a zone on purpose
        (price_row(landed_at=0), "landed_at"),
        (price_row(source="\ud800"), "source"),
    ],
)
def test_a_row_of_another_shape_is_refused(row: dict[str, Any], fact: str) -> None:
    """An unknown, missing or wrongly typed column is refused by name, whatever Arrow would have done with it."""
    with pytest.raises(SchemaMismatchError, match=fact) as caught:
        rows_to_table("prices", [price_row(), row])
    assert "row 1" in str(caught.value)


@pytest.mark.parametrize(
    "nested", [[prediction(colour="red")], [{"label": "x"}], [None], ["x"], [prediction(score="high")]]
)
def test_a_nested_row_of_another_shape_is_refused(nested: list[Any]) -> None:
    """A prediction with other fields than the declared ones is refused; Arrow would drop or invent them."""
    with pytest.raises(SchemaMismatchError, match="predictions"):
        rows_to_table("prelabels", [prelabel_row(predictions=nested)])


def test_a_text_is_no_list_of_texts() -> None:
    """A string where a list belongs is refused, not split into letters."""
    row: dict[str, Any] = dict.fromkeys(schemas.table("batches").schema.names)
    with pytest.raises(SchemaMismatchError, match="image_ids"):
        rows_to_table("batches", [row | {"image_ids": "abc"}])


def test_an_arrow_table_is_put_in_order() -> None:
    """Columns in another order, 64-bit strings and all-null columns are taken as the declared table."""
    table = rows_to_table("prices", [price_row(source=None)])
    shuffled = table.select(sorted(table.column_names))
    position = shuffled.column_names.index("unit")
    shuffled = shuffled.set_column(position, "unit", shuffled["unit"].cast(pa.large_string()))
    shuffled = shuffled.set_column(shuffled.column_names.index("source"), "source", pa.nulls(1))
    assert conform("prices", shuffled).equals(table)


def test_an_arrow_table_of_another_shape_is_refused() -> None:
    """An Arrow table with a repeated, missing or wrongly typed column is refused."""
    table = rows_to_table("prices", [price_row()])
    for broken in (
        table.drop_columns(["unit"]),
        table.append_column("unit", table["unit"]),
        table.set_column(4, "amount", pa.array([1.0])),
    ):
        with pytest.raises(SchemaMismatchError, match=r"unit|amount"):
            conform("prices", broken)


def test_an_unknown_table_is_refused() -> None:
    """A table that no schema declares has no rows."""
    with pytest.raises(UnknownTableError, match="colours"):
        rows_to_table("colours", [])
