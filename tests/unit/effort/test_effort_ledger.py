"""Rows of the ledger tell of outlines where outlines were corrected, and of boxes elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from labelop.effort.ledger import edit_rows
from labelop.geometry import Box
from labelop.ingest.masks import encode_mask
from labelop.labels import AcceptedLabel, Prediction
from labelop.review.rows import label_values

BOX = Box(10, 10, 60, 60)


def mask(*, hole: bool = False) -> str:
    """Paint the square of BOX into an image of 100 x 80 pixels, with or without a hole."""
    painted = np.zeros((80, 100), dtype=np.bool_)
    painted[10:60, 10:60] = True
    painted[30:40, 30:40] = not hole
    return encode_mask(painted)


def rows(label: AcceptedLabel, *, tool: str = "label_studio") -> list[dict[str, Any]]:
    """Write the edits of one review of one masked draft."""
    review: dict[str, Any] = {"review_id": "r", "batch_id": "b", "image_id": "i", "dataset": "d"}
    review |= {"dataset_version": "v", "arm": "local", "model_id": "m", "simulated": False, "tool": tool}
    draft = Prediction("p", "a", 0.9, draft=True, box=BOX, mask_rle=mask())
    return edit_rows(
        [review | {"labels": label_values([label])}], {("b", "i"): [draft]}, "run", sizes={("b", "i"): (100, 80)}
    )


def test_a_corrected_outline_is_told_as_one() -> None:
    """A mask that no model made is compared as a mask: overlaps of area and rim, clicks, seconds of outlines."""
    (row,) = rows(AcceptedLabel("a", "a", BOX, mask(hole=True), prediction_id="p"))
    assert (row["op"], row["clicks_count"], row["drags_count"]) == ("adjust", 1, 0)
    assert row["iou"] == pytest.approx(2400 / 2500)
    assert 0 < row["biou"] < row["iou"]
    assert (row["model_seconds"], row["scratch_seconds"]) == (5.0, 79.0)


def test_a_mask_stands_while_its_box_does() -> None:
    """Where masks are those of the model, the box is what was corrected, as drafts are shown."""
    (kept,) = rows(AcceptedLabel("a", "a", BOX, mask(), prediction_id="p"))
    (moved,) = rows(AcceptedLabel("a", "a", Box(20, 10, 70, 60), prediction_id="p"))
    assert [(r["op"], r["drags_count"], r["biou"], r["scratch_seconds"]) for r in (kept, moved)] == [
        ("accept", 0, None, 12.5),
        ("adjust", 1, None, 12.5),
    ]


def test_a_tool_with_lineage_tells_what_was_drawn_again() -> None:
    """A label that names no draft is an addition where the tool keeps lineage, and the draft's correction elsewhere."""
    told = rows(AcceptedLabel("a", "a", BOX))
    assert [(row["op"], row["redrawn"], row["scratch_seconds"]) for row in told] == [
        ("delete", True, None),
        ("add", True, 12.5),
    ]
    assert [row["op"] for row in rows(AcceptedLabel("a", "a", BOX), tool="coco")] == ["accept"]
