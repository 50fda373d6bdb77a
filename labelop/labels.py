"""The nouns of labelling: what a model proposes and what a person accepts.

Knows no file format and no table; formats convert at the rim (`review/`, `ingest/`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from labelop.geometry import Box


@dataclass(frozen=True, slots=True)
class Ontology:
    """Class names a reviewer may choose from."""

    box_classes: tuple[str, ...]
    """Classes of objects, in the order of the model cards."""
    image_classes: tuple[str, ...]
    """Classes of the whole image; empty when there are none."""


@dataclass(frozen=True, slots=True)
class Keypoint:
    """One named point of an object."""

    name: str
    """Its name in the skeleton, for example `left_eye`; unique within the object."""
    x: float
    """Pixels of the upright image."""
    y: float
    """Pixels of the upright image."""
    visible: bool = True
    """False where it is hidden; a point that is not there at all is left out."""


Polygon = tuple[tuple[float, float], ...]
"""Vertices x, y of a closed outline, pixels of the upright image; the first is not repeated."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One draft label of a model."""

    prediction_id: str
    """Content-derived id, unique within the store."""
    label: str
    """Class name of the ontology."""
    score: float
    """Model confidence, 0..1."""
    draft: bool
    """Whether a reviewer is shown it; the others are landed so that precision and recall can be computed."""
    box: Box | None = None
    """Where it is, pixels of the upright image; None for a label of the whole image."""
    mask_rle: str | None = None
    """COCO compressed run lengths (column-major) of the full upright image, or None."""
    polygon: Polygon = ()
    """Vertices the mask was drawn from, where an outline is corrected by its vertices."""
    keypoints: tuple[Keypoint, ...] = ()
    """Points of the object, where it is labelled by points."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.score) and 0.0 <= self.score <= 1.0):
            raise ValueError(f"prediction {self.prediction_id}: score is {self.score}, expected 0..1")


@dataclass(frozen=True, slots=True)
class AcceptedLabel:
    """One label after review, or an imported truth."""

    label_id: str
    """Content-derived id, unique within its review."""
    label: str
    """Class name of the ontology."""
    box: Box | None = None
    """Where it is, pixels of the upright image; None for a label of the whole image."""
    mask_rle: str | None = None
    """COCO compressed run lengths of the full upright image, or None."""
    prediction_id: str | None = None
    """The prediction it came from when the tool told us (lineage), else None."""
    polygon: Polygon = ()
    """Vertices the mask was drawn from, where an outline is corrected by its vertices."""
    keypoints: tuple[Keypoint, ...] = ()
    """Points of the object, where it is labelled by points."""
    clicks_count: int | None = None
    """Corrective clicks on its mask that the tool counted; None when it did not."""
