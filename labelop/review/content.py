"""What a review says, as one digest: an approval names it, so that no label can be changed under it.

Works on whole Arrow columns, since every count of accepted labels checks every review. Knows no key and no state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = (
    "review_id", "dataset", "dataset_version", "image_id", "arm", "batch_id", "model_id", "reviewer", "decision",
    "simulated", "labels",
)  # fmt: skip
"""Columns of `reviews` that the digest covers: what was accepted, about which image, and by whom."""

_DOMAIN = b"labelop/review-content/1\0"

_Cut: TypeAlias = Callable[[int, int], bytes]
"""Gives the bytes of the values from one place to another."""


def content_digests(reviews: pa.Table) -> list[str]:
    """Hash what each review says.

    Every value goes in with its kind, its length and whether it is null, reals with all their bits, so that two
    different reviews never share a text.

    Args:
        reviews: Has the columns `COLUMNS` of `reviews`, in any order.

    Returns:
        64 hex digits for each row, in order.
    """
    columns = [_cutter(_whole(reviews.column(name))) for name in COLUMNS]
    digests = []
    for row in range(reviews.num_rows):
        one = hashlib.sha256(_DOMAIN)
        for cut in columns:
            one.update(cut(row, row + 1))
        digests.append(one.hexdigest())
    return digests


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _cutter(array: pa.Array) -> _Cut:
    """Prepare a column so that the bytes of any range of it are a few slices."""
    valid = np.asarray(array.is_valid())
    if pa.types.is_list(array.type):
        return _lists(array, valid)
    if pa.types.is_struct(array.type):
        return _joined([_flags(valid), *(_cutter(field) for field in array.flatten())])
    if pa.types.is_string(array.type):
        return _joined([_flags(valid), _texts(array)])
    fill: Any = False if pa.types.is_boolean(array.type) else 0.0
    values = np.ascontiguousarray(pc.fill_null(array, fill).to_numpy(zero_copy_only=False))
    return _joined([_flags(valid), lambda start, end: values[start:end].tobytes()])


def _joined(cuts: Sequence[_Cut]) -> _Cut:
    return lambda start, end: b"".join([cut(start, end) for cut in cuts])


def _flags(valid: np.ndarray[Any, np.dtype[np.bool_]]) -> _Cut:
    data = valid.astype(np.uint8).tobytes()
    return lambda start, end: data[start:end]


def _texts(array: pa.Array) -> _Cut:
    values = [text.encode("utf-8", "surrogatepass") for text in pc.fill_null(array, "").to_pylist()]
    ends = np.concatenate([[0], np.cumsum([len(value) for value in values])]).astype(np.int64)
    lengths, data, places = np.diff(ends).astype("<u8"), b"".join(values), ends.tolist()
    return lambda start, end: lengths[start:end].tobytes() + data[places[start] : places[end]]


def _lists(array: pa.Array, valid: np.ndarray[Any, np.dtype[np.bool_]]) -> _Cut:
    counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype("<u8")
    places = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64).tolist()
    inner, flags = _cutter(array.flatten()), _flags(valid)
    return lambda start, end: flags(start, end) + counts[start:end].tobytes() + inner(places[start], places[end])
