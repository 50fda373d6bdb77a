"""Edit scripts of many images at once, boxes only, as columns: a hundred thousand images in a fraction of a second.

The same scripts as `script.edit_script` gives one image at a time. Knows arrays, no table and no tool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.geometry import BoxArray

Whole = NDArray[np.int64]
Real = NDArray[np.float64]

OPS = ("accept", "relabel", "adjust", "adjust_relabel", "delete", "add")
"""Names of the operations by their number in `EditColumns.op`."""


@dataclass(frozen=True, slots=True)
class BoxColumns:
    """Boxes of many images, one image after the other, each image's in the order of their ids."""

    boxes: BoxArray
    """float64, shape (n, 4), xyxy pixels of the upright image."""
    classes: Whole
    """int64, shape (n,): the same number for the same class name, in drafts and labels alike."""
    starts: Whole
    """int64, shape (images + 1,): image k has the boxes from starts[k] up to starts[k + 1]."""

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.classes.shape != (count,):
            raise ValueError(
                f"boxes {self.boxes.shape} and classes {self.classes.shape}: expected shapes (n, 4) and (n,)"
            )
        if not np.isfinite(self.boxes).all() or not (self.boxes[:, 2:] > self.boxes[:, :2]).all():
            raise ValueError("every box needs finite edges and an area")
        starts = self.starts
        if starts.ndim != 1 or not len(starts) or starts[0] != 0 or starts[-1] != count or (np.diff(starts) < 0).any():
            raise ValueError(f"starts must rise from 0 to the {count} boxes")

    @property
    def images_count(self) -> int:
        """How many images there are."""
        return len(self.starts) - 1


@dataclass(frozen=True, slots=True)
class EditColumns:
    """Edits of many images, image by image: one for each draft in order, then one for each added label."""

    image: Whole
    """int64, shape (k,): number of the image."""
    draft: Whole
    """int64, shape (k,): index into the drafts; -1 for add."""
    label: Whole
    """int64, shape (k,): index into the labels; -1 for delete."""
    op: NDArray[np.int8]
    """int8, shape (k,): index into `OPS`."""
    iou: Real
    """float64, shape (k,): overlap of draft and label, 0..1; NaN without one of them."""
    drags_count: NDArray[np.int8]
    """int8, shape (k,): mouse drags of an adjustment, else 0."""
    model_seconds: Real
    """float64, shape (k,): modelled seconds of the operation."""
    redrawn: NDArray[np.bool_]
    """bool, shape (k,): deleted, or added, where nearly the same box was added, or deleted; with lineage only."""


def edit_scripts(
    drafts: BoxColumns,
    labels: BoxColumns,
    *,
    origins: Whole | None = None,
    lineage: NDArray[np.bool_] | None = None,
    params: EffortParameters = DEFAULTS,
) -> EditColumns:
    """Find the cheapest edits of each image, from its drafts to its accepted labels.

    Args:
        drafts: What reviewers were shown.
        labels: What they accepted, for the same images.
        origins: int64, shape (labels,): index of the draft a label came from, -1 for none; read for images with
            lineage. The first of two labels that name one draft is its correction.
        lineage: bool, shape (images,): whether the tool kept lineage; no image when None.
        params: Thresholds and seconds.

    Returns:
        All edits, the same as `edit_script` finds for each image alone.

    Raises:
        ValueError: The two are not about the same number of images, or a shape is not as said.
    """
    # Numba takes a second to import, and longer to compile the first time
    from labelop.effort.kernel import pair_boxes  # noqa: PLC0415

    images, count = drafts.images_count, len(labels.boxes)
    if labels.images_count != images:
        raise ValueError(f"drafts of {images} images but labels of {labels.images_count}")
    origin = np.full(count, -1, dtype=np.int64) if origins is None else origins
    known = np.zeros(images, dtype=np.bool_) if lineage is None else lineage
    if origin.shape != (count,) or known.shape != (images,):
        raise ValueError(f"origins {origin.shape} and lineage {known.shape}: expected {(count,)} and {(images,)}")
    most = len(drafts.boxes) + count
    indices, reals, codes = np.empty((3, most), np.int64), np.empty((2, most)), np.empty((3, most), np.int8)
    limits = np.array([params.tau_match, params.tau_same, params.drag_tolerance_px])
    seconds = np.array(
        [
            params.accept_box_seconds,
            params.adjust_one_drag_seconds,
            params.adjust_two_drags_seconds,
            params.relabel_seconds,
            params.delete_seconds,
            params.add_box_seconds,
        ]
    )
    out = (indices, reals, codes)
    written = pair_boxes(_arrays(drafts), _arrays(labels), _whole(origin), known, limits, seconds, out)
    return EditColumns(
        image=indices[0, :written],
        draft=indices[1, :written],
        label=indices[2, :written],
        op=codes[0, :written],
        iou=reals[0, :written],
        drags_count=codes[1, :written],
        model_seconds=reals[1, :written],
        redrawn=codes[2, :written].astype(np.bool_),
    )


def _arrays(side: BoxColumns) -> tuple[Real, Whole, Whole]:
    return np.ascontiguousarray(side.boxes, dtype=np.float64), _whole(side.classes), _whole(side.starts)


def _whole(values: Any) -> Whole:
    return np.ascontiguousarray(values, dtype=np.int64)
