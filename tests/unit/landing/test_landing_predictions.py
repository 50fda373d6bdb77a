"""The predictions column from arrays equals the one from rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from labelop import schemas
from labelop.errors import SchemaMismatchError
from labelop.landing.rows import predictions_array


def columns(**given: Any) -> dict[str, Any]:
    """Make three predictions, the last of them without a box."""
    values: dict[str, Any] = {
        "prediction_ids": ["p-1", "p-2", "p-3"],
        "labels": ["a", "b", "a"],
        "scores": np.array([0.9, 0.5, 0.1]),
        "drafts": np.array([True, False, True]),
        "boxes": np.array([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [np.nan] * 4]),
        "masks": ["04", None, None],
    }
    return values | given


@pytest.mark.parametrize("labels", [["a", "b", "a"], pa.array(["a", "b", "a"]).dictionary_encode()])
def test_arrays_give_what_rows_give(labels: Any) -> None:
    """Types, nulls and row limits are those of the same predictions written as dicts."""
    found = predictions_array(np.array([2, 0, 1]), **columns(labels=labels))
    names = [field.name for field in schemas.PREDICTION]
    rows = [
        ("p-1", "a", 0.9, True, 0.0, 1.0, 2.0, 3.0, "04"),
        ("p-2", "b", 0.5, False, 4.0, 5.0, 6.0, 7.0, None),
        ("p-3", "a", 0.1, True, None, None, None, None, None),
    ]
    structs = [dict(zip(names, row, strict=True)) for row in rows]
    expected = pa.array(
        [structs[:2], [], structs[2:]], type=schemas.table("prelabels").schema.field("predictions").type
    )
    assert found.equals(expected)
    found.validate(full=True)


def test_no_predictions_are_an_empty_list_per_row() -> None:
    """Rows without predictions have a list, not a null."""
    none = columns(
        prediction_ids=[], labels=[], scores=np.empty(0), drafts=np.empty(0, bool), boxes=np.empty((0, 4)), masks=[]
    )
    assert predictions_array(np.array([0, 0]), **none).to_pylist() == [[], []]


def test_columns_of_unequal_length_are_refused() -> None:
    """A column that is too short would shift every value behind it."""
    with pytest.raises(SchemaMismatchError, match="expected 3"):
        predictions_array(np.array([2, 1]), **columns(masks=[None]))
