"""Nested prelabel rows become flat frames, the form in which expectations are stated.

Knows the columns of `prelabels` and no check; what a check needs and the table does not say directly is added here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_UNREAD = frozenset({"failed", "withheld", "unreadable"})
_EDGES = ("x0_px", "y0_px", "x1_px", "y1_px")


def image_frame(
    prelabels: pa.Table, batch_image_ids: Mapping[str, Sequence[str]], levels: Mapping[str, str]
) -> pd.DataFrame:
    """Lay out what became of each image of each batch.

    Args:
        prelabels: Rows of the table `prelabels`.
        batch_image_ids: Ids of the images that went into each batch, by batch id.
        levels: Sensitivity level by image id; an image without one counts as restricted.

    Returns:
        One row per prelabel, then one per image that has none. `rows_count` is how often the image has a row in its
        batch, `planned` whether it went in (yes | no), `level_at_cloud` its level if it left the premises, else null;
        `unexplained_predictions_count` counts predictions of an image that was never read.
    """
    rows = prelabels.select(["batch_id", "image_id", "placement", "outcome"]).to_pylist()
    sizes = pc.fill_null(pc.list_value_length(prelabels["predictions"]), 0).to_pylist()
    counts = Counter((row["batch_id"], row["image_id"]) for row in rows)
    planned = {(batch, image) for batch, images in batch_image_ids.items() for image in images}
    missing = sorted(planned - counts.keys())
    keys = [(row["batch_id"], row["image_id"]) for row in rows]
    # withheld means that no byte of it was read; every other outcome may have left
    at_cloud = [row["placement"] != "onprem" and row["outcome"] != "withheld" for row in rows]
    none = [None] * len(missing)
    return pd.DataFrame(
        {
            "batch_id": [batch for batch, _ in keys + missing],
            "image_id": [image for _, image in keys + missing],
            "rows_count": [counts[key] for key in keys + missing],
            "planned": ["yes" if key in planned else "no" for key in keys + missing],
            "outcome": [row["outcome"] or "(null)" for row in rows] + none,
            "level_at_cloud": [
                levels.get(row["image_id"], "restricted") if left else None
                for row, left in zip(rows, at_cloud, strict=True)
            ]
            + none,
            "unexplained_predictions_count": [
                size if row["outcome"] in _UNREAD else 0 for row, size in zip(rows, sizes, strict=True)
            ]
            + [0] * len(missing),
        }
    )


def prediction_frame(prelabels: pa.Table) -> pd.DataFrame:
    """Lay out one row per prediction, with its batch, its image and the image's size in pixels.

    `edges_count` is how many of the four edges are finite numbers: 4 with a box, 0 without.
    """
    nested = prelabels["predictions"].combine_chunks()
    parents = prelabels.select(["batch_id", "image_id", "width_px", "height_px"]).take(pc.list_parent_indices(nested))
    flat = pc.list_flatten(nested)
    columns = {field.name: pc.struct_field(flat, field.name) for field in flat.type}
    frame: pd.DataFrame = pa.table({**{n: parents[n] for n in parents.column_names}, **columns}).to_pandas()
    edges = np.column_stack([frame[name].to_numpy(dtype=np.float64) for name in _EDGES])
    frame["edges_count"] = np.isfinite(edges).sum(axis=1)
    return frame.drop(columns=["mask_rle", "draft"])
