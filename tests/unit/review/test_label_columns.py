"""Labels of many reviews as columns are those of their rows."""

from __future__ import annotations

from dataclasses import replace

from labelop.geometry import Box
from labelop.labels import AcceptedLabel
from labelop.landing.rows import rows_to_table
from labelop.review.rows import label_columns, review_row

BOXED = AcceptedLabel("l-2", "cell", Box(1.0, 2.0, 3.5, 4.25), "rle", "p-1", clicks_count=3)
WHOLE = AcceptedLabel("l-1", "smear")


def test_columns_equal_the_rows() -> None:
    """Also of a review without labels, of labels out of order, without a box, and with clicks."""
    reviews = [[BOXED, WHOLE], [], [replace(BOXED, box=None, clicks_count=None)]]
    table = rows_to_table(
        "reviews",
        [
            review_row(
                review_id="r", dataset="d", dataset_version="v", image_id="i", arm="import", labels=one, tool="coco",
                source_digest="s", run_id="n",
            )
            for one in reviews
        ],
    )  # fmt: skip
    for name, column in label_columns(reviews).items():
        assert column.type == table[name].type
        assert column.to_pylist() == table[name].to_pylist()
