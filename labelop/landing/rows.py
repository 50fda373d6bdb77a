"""Rows become a typed Arrow table here, so that nothing of the wrong shape ever reaches a store.

Knows the declared schemas; must not know where tables are kept. Arrow alone is too kind for this: it ignores unknown
fields of a struct, fills missing ones with null and takes a time without a zone for UTC.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labelop import schemas
from labelop.errors import SchemaMismatchError

_SHOWN = 3


def empty_table(name: str) -> pa.Table:
    """Give the table `name` without rows, with its declared columns.

    Raises:
        UnknownTableError: There is no such table.
    """
    return schemas.table(name).schema.empty_table()


def rows_to_table(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Turn rows into the Arrow table of `name`.

    Args:
        name: A table of `labelop.schemas`.
        rows: Each holds every column of the table and nothing else; a missing value is written as None. Times are
            `datetime` with a zone, money is `Decimal`, nested values are lists of mappings with all their fields.

    Returns:
        A table with the declared schema, rows in the given order; times in UTC microseconds.

    Raises:
        UnknownTableError: There is no such table.
        SchemaMismatchError: A column is unknown, missing, or holds a value of another type; names table, row, column.
    """
    schema = schemas.table(name).schema
    expected = set(schema.names)
    for number, row in enumerate(rows):
        if row.keys() != expected:
            _refuse_names(name, f"row {number}", row.keys(), expected)
    columns = []
    for field in schema:
        values = [row[field.name] for row in rows]
        _check_values(name, field.name, field.type, values)
        try:
            columns.append(pa.array(values, type=field.type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            number = _first_bad(field.type, values)
            raise SchemaMismatchError(
                f"Table {name!r}, row {number}, column {field.name!r}: got {values[number]!r:.120}, "
                f"expected {field.type}."
            ) from error
    return pa.table(columns, schema=schema)


def conform(name: str, table: pa.Table) -> pa.Table:
    """Check an Arrow table against the declared schema and put its columns in order.

    64-bit string offsets (as pandas and DuckDB give) and all-null columns are taken; no other type is converted.

    Raises:
        UnknownTableError: There is no such table.
        SchemaMismatchError: A column is unknown, missing, repeated or of another type.
    """
    schema = schemas.table(name).schema
    if len(table.column_names) != len(schema) or set(table.column_names) != set(schema.names):
        _refuse_names(name, "the rows", table.column_names, set(schema.names))
    columns = []
    for field in schema:
        column = table.column(field.name)
        if pa.types.is_null(column.type) or (pa.types.is_large_string(column.type) and pa.types.is_string(field.type)):
            column = column.cast(field.type)
        if column.type != field.type:
            raise SchemaMismatchError(
                f"Table {name!r}, column {field.name!r}: got type {column.type}, expected {field.type}."
            )
        columns.append(column)
    return pa.table(columns, schema=schema)


def predictions_array(
    counts: NDArray[np.int64],
    *,
    prediction_ids: pa.Array | Sequence[str],
    labels: pa.Array | Sequence[str],
    scores: NDArray[np.float64],
    drafts: NDArray[np.bool_],
    boxes: NDArray[np.float64],
    masks: pa.Array | Sequence[str | None],
) -> pa.ListArray:
    """Build the column `predictions` from the concatenated columns of all rows, without an object per prediction.

    Args:
        counts: Predictions of each row, shape (rows,).
        prediction_ids: Ids of all rows' predictions, one row behind the other; so are the following.
        labels: Class names; text or a dictionary of text.
        scores: Shape (n,).
        drafts: Shape (n,).
        boxes: Shape (n, 4), xyxy pixels; NaN where there is none.
        masks: Run lengths or None.

    Raises:
        SchemaMismatchError: The columns are not of one length, which is the sum of the counts.
    """
    total = int(counts.sum())
    lengths = {len(prediction_ids), len(labels), len(scores), len(drafts), len(boxes), len(masks)}
    if lengths != {total}:
        raise SchemaMismatchError(
            f"Table 'prelabels', column 'predictions': got columns of {sorted(lengths)} values, expected {total}."
        )
    values = {
        "prediction_id": _text(prediction_ids),
        "label": _text(labels),
        "score": pa.array(np.ascontiguousarray(scores)),
        "draft": pa.array(drafts),
        "mask_rle": _text(masks),
    }
    for number, edge in enumerate(("x0_px", "y0_px", "x1_px", "y1_px")):
        values[edge] = pa.array(np.ascontiguousarray(boxes[:, number]), from_pandas=True)  # NaN becomes null
    fields = list(schemas.PREDICTION)
    structs = pa.StructArray.from_arrays([values[field.name] for field in fields], fields=fields)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), structs, type=pa.list_(schemas.PREDICTION))


def _text(values: pa.Array | Sequence[str | None]) -> pa.Array:
    found = values if isinstance(values, pa.Array) else pa.array(values, type=pa.string())
    return found if pa.types.is_string(found.type) else found.cast(pa.string())


def _refuse_names(name: str, where: str, got: Iterable[str], expected: set[str]) -> None:
    names = list(got)
    missing, unknown = sorted(expected - set(names)), sorted({str(column) for column in names} - expected)
    repeated = sorted({str(column) for column in names if names.count(column) > 1})
    raise SchemaMismatchError(
        f"Table {name!r}, {where}: missing columns {missing}, unknown columns {unknown}, repeated columns {repeated}.",
        hint="Columns are declared in labelop/schemas.py; write None where a value is absent.",
    )


def _check_values(table: str, column: str, kind: pa.DataType, values: Sequence[Any]) -> None:
    """Refuse what Arrow would take silently: struct fields by other names, times without a zone, strings as lists."""
    check: Callable[[Any], bool]
    if pa.types.is_timestamp(kind):
        check = _is_zoned
    elif pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
        fields = {field.name for field in kind.value_type}

        def check(value: Any) -> bool:
            return all(isinstance(item, Mapping) and item.keys() == fields for item in value)

    elif pa.types.is_list(kind):

        def check(value: Any) -> bool:
            return not isinstance(value, str)

    else:
        return
    for number, value in enumerate(values):
        if value is not None and not check(value):
            raise SchemaMismatchError(
                f"Table {table!r}, row {number}, column {column!r}: got {value!r:.120}, expected {kind}"
                f"{' with a zone' if pa.types.is_timestamp(kind) else ' with exactly these fields'}."
            )


def _is_zoned(value: Any) -> bool:
    return isinstance(value, dt.datetime) and value.utcoffset() is not None


def _first_bad(kind: pa.DataType, values: Sequence[Any]) -> int:
    for number, value in enumerate(values):
        try:
            pa.array([value], type=kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return number
    return 0
