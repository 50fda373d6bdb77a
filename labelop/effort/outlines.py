"""How a corrected mask differs from its draft: overlap, overlap of the rims, clicks and vertices.

Formulas: `measures.md` 1.2 and section 7. Wraps pycocotools' run lengths and SciPy's morphology, both loaded when a
mask has changed. Knows no table and no tool.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labelop.labels import Polygon

Mask = NDArray[np.bool_]
"""bool, shape (height, width)."""

_RIM_SHARE = 0.02
"""Width of the compared rim as a share of the image's diagonal."""


def mask_iou_matrix(before: Sequence[str], after: Sequence[str], width_px: int, height_px: int) -> NDArray[np.float64]:
    """Compute intersection over union of every pair of masks.

    Args:
        before: n masks as COCO compressed run lengths of the full image.
        after: m masks, the same way.
        width_px: Width of the upright image.
        height_px: Height of the upright image.

    Returns:
        float64, shape (n, m), each 0..1.
    """
    from pycocotools import mask as coco  # noqa: PLC0415 - only changed masks need it

    if not before or not after:
        return np.zeros((len(before), len(after)))
    sides = [
        [{"size": [height_px, width_px], "counts": counts.encode("ascii")} for counts in side]
        for side in (before, after)
    ]
    return np.asarray(coco.iou(*sides, [0] * len(after)), dtype=np.float64)


def rim_px(width_px: int, height_px: int) -> int:
    """Tell how wide the rim is that Boundary IoU compares: 2 % of the diagonal, at least 1 pixel."""
    return max(1, round(_RIM_SHARE * math.hypot(width_px, height_px)))


def boundary_iou(before: Mask, after: Mask, rim: int) -> float:
    """Compare two masks within `rim` pixels of their contours only.

    BIoU = |(G_d & G) & (P_d & P)| / |(G_d & G) | (P_d & P)| (Cheng et al., arXiv 2103.16562): a ragged edge shows here
    that hardly changes the overlap of a large object. Distances count along rows, columns and diagonals, and the edge
    of the image is part of a contour, as in the published code.

    Args:
        before: bool, shape (height, width).
        after: bool, the same shape.
        rim: Width of the compared rim, pixels; see `rim_px`.

    Returns:
        0..1; 1 when both are empty.
    """
    rims = [_rim(mask, rim) for mask in (before, after)]
    union = int((rims[0] | rims[1]).sum())
    return int((rims[0] & rims[1]).sum()) / union if union else 1.0


def changed_regions(before: Mask, after: Mask) -> int:
    """Count the connected regions in which two masks differ; what a 3 x 3 square does not fit into is no region.

    The clicks that a correction takes when the tool counted none: one in each region that was wrong.
    """
    from scipy import ndimage  # noqa: PLC0415 - only changed masks need it

    square = np.ones((3, 3), dtype=np.bool_)
    _, count = ndimage.label(ndimage.binary_opening(before ^ after, square), square)
    return int(count)


def changed_vertices(before: Polygon, after: Polygon, tolerance_px: float) -> int:
    """Count the vertices that were moved, added or removed between two outlines.

    Args:
        before: Outline of the draft.
        after: Outline of the label.
        tolerance_px: A vertex that is no farther than this from one before did not move, pixels.

    Returns:
        The larger of the numbers of vertices without a counterpart on either side: each of them is one operation.
    """
    left = list(before)
    fresh = 0
    for x, y in after:
        near = [one for one in left if max(abs(one[0] - x), abs(one[1] - y)) <= tolerance_px]
        if near:
            left.remove(min(near, key=lambda one: (math.dist(one, (x, y)), one)))
        else:
            fresh += 1
    return max(len(left), fresh)


def _rim(mask: Mask, width: int) -> Mask:
    from scipy import ndimage  # noqa: PLC0415 - only changed masks need it

    inside = ndimage.distance_transform_cdt(np.pad(mask, 1), "chessboard")[1:-1, 1:-1]
    return np.asarray(mask & (inside <= width))
