"""What holds for any rows of any table."""

from __future__ import annotations

import datetime as dt
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelop import schemas
from labelop.landing.compare import content_digest, differences
from labelop.landing.rows import rows_to_table
from labelop.landing.store import Store, dataset_of, land, land_many, landed_keys, read, read_rows

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_TIMES = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
_MONEY = st.decimals(Decimal(-(10**11)), Decimal(10**11), places=6)


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Any value of a column of this type, or None."""
    found: st.SearchStrategy[Any]
    if pa.types.is_string(kind):
        found = _TEXTS
    elif pa.types.is_boolean(kind):
        found = st.booleans()
    elif pa.types.is_integer(kind):
        found = st.integers(-(2**63), 2**63 - 1)
    elif pa.types.is_floating(kind):
        found = st.floats(allow_nan=False)
    elif pa.types.is_timestamp(kind):
        found = _TIMES
    elif pa.types.is_decimal(kind):
        found = _MONEY
    elif pa.types.is_struct(kind):
        return st.fixed_dictionaries({field.name: values(field.type) for field in kind})
    else:
        assert pa.types.is_list(kind)
        item = values(kind.value_type)
        found = st.lists(item, max_size=2)
    return st.none() | found


def rows_of(name: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Up to three rows of a table."""
    schema = schemas.table(name).schema
    return st.lists(st.fixed_dictionaries({field.name: values(field.type) for field in schema}), max_size=3)


def canonical(value: Any) -> Any:
    """Fields in one order at every depth, times in one zone."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    return [canonical(item) for item in value] if isinstance(value, list) else value


def ordered(rows: list[dict[str, Any]]) -> list[str]:
    """Rows in an order that does not depend on how they were stored."""
    return sorted(repr(canonical(row)) for row in rows)


@pytest.mark.parametrize("name", sorted(schemas.TABLES))
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_rows_come_back_as_they_went_in(name: str, data: st.DataObject) -> None:
    """Landing and reading give the same rows and the declared columns, for every table."""
    rows = data.draw(rows_of(name))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        assert land(store, name, rows, "key")
        assert read(store, name).schema == schemas.table(name).schema
        assert dataset_of(store, name).schema == schemas.table(name).schema
        assert ordered(read_rows(store, name)) == ordered(rows)


@given(rows=rows_of("prelabels"), more=rows_of("prelabels"))
@settings(max_examples=10, deadline=None)
def test_landing_twice_equals_landing_once(rows: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    """A repeated key changes nothing, alone or in a group, whatever rows come with it."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        once, twice = Store(one), Store(two)
        land(once, "prelabels", rows, "a")
        land(once, "prelabels", more, "b")
        assert land_many(twice, "prelabels", [("a", rows), ("a", more)]) == [True, False]
        assert land_many(twice, "prelabels", [("b", more), ("a", more)]) == [True, False]
        assert not land(twice, "prelabels", rows, "b")
        assert landed_keys(twice, "prelabels", ["a", "b", "c"]) == {"a", "b"}
        assert differences(once, twice, ["prelabels"]) == []


@given(rows=rows_of("reviews"), data=st.data())
@settings(max_examples=10, deadline=None)
def test_a_digest_names_content_not_order(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    """Any order of the rows, in any number of commits, has one digest."""
    shuffled = data.draw(st.permutations(rows))
    with tempfile.TemporaryDirectory() as folder:
        one, two = Store(str(Path(folder, "1"))), Store(str(Path(folder, "2")))
        land(one, "reviews", rows_to_table("reviews", rows), "all")
        land_many(two, "reviews", [(str(number), [row]) for number, row in enumerate(shuffled)])
        assert content_digest(one, "reviews") == content_digest(two, "reviews")
