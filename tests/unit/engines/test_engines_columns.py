"""Predictions as columns, and masks encoded without drawing them, say what objects and pycocotools say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelop.engines.columns import PredictionColumns
from labelop.engines.masks import encode_logits, encode_mask, upsample
from labelop.geometry import Box
from labelop.ids import numbered_ids, row_id
from labelop.labels import Prediction


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 90),
    st.integers(1, 70),
    st.integers(1, 4),
    st.sampled_from([-3.0, 0.0, 3.0]),
)
def test_masks_are_encoded_as_pycocotools_does(
    seed: int, width_px: int, height_px: int, count: int, mean: float
) -> None:
    """Run lengths of the part alone equal, character by character, those of the whole image."""
    random = np.random.default_rng(seed)
    side = tuple(random.integers(1, 20, 2))
    logits = random.normal(mean, 2, (count, *side)).astype(np.float32)
    expected = [encode_mask(upsample(one, width_px, height_px)) for one in logits]
    assert encode_logits(logits, width_px, height_px) == expected


def test_a_run_over_whole_columns_is_one_run() -> None:
    """A mask that fills the image from edge to edge has one run, also in an image with long runs."""
    logits = np.stack([np.full((4, 4), 5.0), np.full((4, 4), -5.0)]).astype(np.float32)
    assert encode_logits(logits, 3000, 2000) == [encode_mask(np.ones((2000, 3000), dtype=np.uint8)), None]


def test_columns_read_like_objects() -> None:
    """Objects turned into columns come back equal, by index, slice and iteration."""
    objects = (
        Prediction("p-1", "RBC", 0.5, draft=True, box=Box(1, 2, 3, 4), mask_rle="04"),
        Prediction("p-2", "outdoor", 0.25, draft=False),
    )
    columns = PredictionColumns.of(objects)
    assert columns == objects
    assert columns[1:] == objects[1:]
    assert columns[-1] == objects[-1]
    assert columns.joined(columns) == objects * 2
    assert PredictionColumns.of(columns) is columns
    assert hash(columns) == hash(objects)
    assert PredictionColumns.of(()) == ()
    with pytest.raises(IndexError):
        columns[2]


def test_numbered_ids_are_row_ids() -> None:
    """Ids made in one go equal those made one by one, past the first ten as well."""
    assert numbered_ids("p", "ab", "cd", count=12) == [row_id("p", "ab", "cd", number) for number in range(12)]
    assert numbered_ids("p", "ab", count=0) == []
