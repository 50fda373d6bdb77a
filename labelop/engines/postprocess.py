"""From raw model tensors to boxes and scores, in numpy, the same for every engine and placement.

Knows no engine. Boxes leave here in pixels of the upright image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.errors import EngineResponseError
from labelop.geometry import BoxArray, iou_matrix

BOX_DECIMALS = 2
"""Boxes are landed in hundredths of a pixel."""
SCORE_DECIMALS = 6
"""Scores are landed in millionths."""
NON_FINITE = "NON_FINITE"
"""Reason code of an output that holds NaN or infinity."""
BAD_SHAPE = "BAD_SHAPE"
"""Reason code of an output tensor that is missing or has a wrong shape."""

_TOP_PER_CLASS = 100


@dataclass(frozen=True, slots=True)
class Detections:
    """What a model found in one image, best score first."""

    boxes: BoxArray
    """float64, shape (n, 4), xyxy pixels of the upright image, inside it, rounded to `BOX_DECIMALS`."""
    scores: NDArray[np.float64]
    """Shape (n,), 0..1, rounded to `SCORE_DECIMALS`."""
    class_index: NDArray[np.int64]
    """Shape (n,), index into the card's classes."""


def read_detections(
    card: ModelCard, raw: Mapping[str, NDArray[np.float32]], index: int, width_px: int, height_px: int
) -> Detections:
    """Read one image of a detector's batch.

    Scores are sigmoids (softmax without the last class for plain DETR); each class keeps its 100 best, boxes of one
    class that overlap more than the card's `nms_iou` keep the better one, the image keeps `max_detections`.

    Args:
        card: A detector's card.
        raw: `logits` float32 (n, q, c) and `boxes` float32 (n, q, 4), cxcywh as shares 0..1 of the image.
        index: Which image of the batch.
        width_px: Width of that image, upright.
        height_px: Height of that image, upright.

    Raises:
        EngineResponseError: A value is not finite, or a tensor is missing or has a wrong shape.
    """
    assert card.postprocess is not None
    logits, boxes = tensor(raw, "logits", 3)[index], tensor(raw, "boxes", 3)[index]
    softmax = card.family == "detr"
    if logits.shape[1] != len(card.classes) + softmax or boxes.shape != (len(logits), 4):
        raise EngineResponseError(
            f"Model {card.id} answered logits {logits.shape} and boxes {boxes.shape} for {len(card.classes)} classes.",
            code=BAD_SHAPE,
        )
    require_finite(card, logits, boxes)
    wide = logits.astype(np.float64)
    probability = _softmax(wide)[:, :-1] if softmax else _sigmoid(wide)
    probability = np.round(probability, SCORE_DECIMALS)
    pixels = np.round(to_pixels(boxes.astype(np.float64), width_px, height_px), BOX_DECIMALS)
    usable = (pixels[:, 2] > pixels[:, 0]) & (pixels[:, 3] > pixels[:, 1])
    query, label = np.nonzero((probability >= card.postprocess.min_score) & usable[:, None])
    scores = probability[query, label]
    order = _canonical_order(scores, pixels[query], label)
    query, label, scores = query[order], label[order], scores[order]
    kept = _top_per_class(label, _TOP_PER_CLASS)
    query, label, scores = query[kept], label[kept], scores[kept]
    kept = suppress(pixels[query], label, card.postprocess.nms_iou)[: card.postprocess.max_detections]
    return Detections(pixels[query[kept]], scores[kept], label[kept].astype(np.int64))


def read_class_scores(card: ModelCard, raw: Mapping[str, NDArray[np.float32]], index: int) -> NDArray[np.float64]:
    """Read one image of a classifier's batch: softmax over the card's classes, in their order, rounded.

    Raises:
        EngineResponseError: A value is not finite, or the tensor is missing or has a wrong shape.
    """
    logits = tensor(raw, "logits", 2)[index]
    if logits.shape != (len(card.classes),):
        raise EngineResponseError(
            f"Model {card.id} answered logits {logits.shape} for {len(card.classes)} classes.", code=BAD_SHAPE
        )
    require_finite(card, logits)
    return np.round(_softmax(logits.astype(np.float64)), SCORE_DECIMALS)


def tensor(raw: Mapping[str, NDArray[np.float32]], name: str, dimensions: int) -> NDArray[np.float32]:
    """Take a tensor out of an answer.

    Raises:
        EngineResponseError: It is missing or has another number of dimensions.
    """
    found = raw.get(name)
    if found is None or found.ndim != dimensions:
        shape = None if found is None else found.shape
        raise EngineResponseError(
            f"Output {name} has the shape {shape}, expected {dimensions} dimensions.", code=BAD_SHAPE
        )
    return found


def to_pixels(boxes: BoxArray, width_px: int, height_px: int) -> BoxArray:
    """Turn cxcywh shares (n, 4) into xyxy pixels (n, 4), cut to the image."""
    half = boxes[:, 2:] / 2
    corners = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    size = np.array([width_px, height_px, width_px, height_px], dtype=np.float64)
    return np.asarray(np.clip(corners, 0.0, 1.0) * size)


def suppress(boxes: BoxArray, class_index: NDArray[np.int64], iou: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    Args:
        boxes: Shape (n, 4), best first.
        class_index: Shape (n,).
        iou: A box is dropped when a kept one of its class overlaps it more than this, or equals it.

    Returns:
        Indices of the kept boxes, ascending.
    """
    overlap = iou_matrix(boxes, boxes)
    # where a card lets all overlap, one object found twice is one all the same
    clash = ((overlap > iou) | (overlap >= 1)) & (class_index[:, None] == class_index[None, :])
    alive = np.ones(len(boxes), dtype=bool)
    # a box clashes with itself; only rows with another one can drop anything
    for i in np.flatnonzero(clash.sum(axis=1) > 1).tolist():
        if alive[i]:
            alive[i + 1 :] &= ~clash[i, i + 1 :]
    return np.flatnonzero(alive)


def _top_per_class(class_index: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    keep = [np.flatnonzero(class_index == c)[:most] for c in np.unique(class_index)]
    return np.sort(np.concatenate(keep)) if keep else np.empty(0, dtype=np.int64)


def _canonical_order(scores: NDArray[np.float64], boxes: BoxArray, class_index: NDArray[np.int64]) -> NDArray[np.int64]:
    # best first; equal scores are ordered by what they say, never by where the model happened to put them
    keys = (class_index, boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -scores)
    return np.asarray(np.lexsort(keys), dtype=np.int64)


def require_finite(card: ModelCard, *arrays: NDArray[np.float32]) -> None:
    """Refuse NaN and infinity in what a model answered.

    Raises:
        EngineResponseError: There is such a value.
    """
    if not all(np.isfinite(a).all() for a in arrays):
        raise EngineResponseError(f"Model {card.id} answered values that are not finite.", code=NON_FINITE)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))  # this form never overflows


def _softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    power = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(power / power.sum(axis=-1, keepdims=True))
