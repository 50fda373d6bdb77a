"""Predictions of one image as columns: they land as Arrow arrays, and become objects only for who asks for one.

An image has about a hundred predictions, most below the draft score; objects for all of them cost more than decoding
the image did. Knows no engine and no table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from labelop.geometry import Box, BoxArray
from labelop.labels import Prediction


@dataclass(frozen=True, slots=True, eq=False)
class PredictionColumns(Sequence[Prediction]):
    """Predictions of one image, read like a tuple of `Prediction`."""

    prediction_ids: Sequence[str]
    """Content-derived ids."""
    labels: Sequence[str]
    """Class names."""
    scores: NDArray[np.float64]
    """Shape (n,), 0..1."""
    drafts: NDArray[np.bool_]
    """Shape (n,), whether a reviewer is shown it."""
    boxes: BoxArray
    """Shape (n, 4), xyxy pixels of the upright image; NaN for a label of the whole image."""
    masks: Sequence[str | None]
    """COCO compressed run lengths, or None."""

    @classmethod
    def of(cls, predictions: Sequence[Prediction]) -> PredictionColumns:
        """Turn objects into columns."""
        if isinstance(predictions, PredictionColumns):
            return predictions
        nowhere = (np.nan,) * 4
        return cls(
            [p.prediction_id for p in predictions],
            [p.label for p in predictions],
            np.array([p.score for p in predictions], dtype=np.float64),
            np.array([p.draft for p in predictions], dtype=np.bool_),
            np.array([p.box.xyxy if p.box else nowhere for p in predictions], dtype=np.float64).reshape(-1, 4),
            [p.mask_rle for p in predictions],
        )

    def joined(self, other: PredictionColumns) -> PredictionColumns:
        """Put another image part's predictions behind these."""
        return PredictionColumns(
            [*self.prediction_ids, *other.prediction_ids],
            [*self.labels, *other.labels],
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.drafts, other.drafts]),
            np.concatenate([self.boxes, other.boxes]),
            [*self.masks, *other.masks],
        )

    def __len__(self) -> int:
        return len(self.prediction_ids)

    @overload
    def __getitem__(self, at: int) -> Prediction: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Prediction, ...]: ...

    def __getitem__(self, at: int | slice) -> Prediction | tuple[Prediction, ...]:
        if isinstance(at, slice):
            return tuple(self[i] for i in range(*at.indices(len(self))))
        edges = self.boxes[at].tolist()
        return Prediction(
            prediction_id=self.prediction_ids[at],
            label=self.labels[at],
            score=float(self.scores[at]),
            draft=bool(self.drafts[at]),
            box=None if np.isnan(edges[0]) else Box(*edges),
            mask_rle=self.masks[at],
        )

    def __iter__(self) -> Iterator[Prediction]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))
