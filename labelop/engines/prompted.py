"""A box or clicks on one image become one mask; the image is encoded once, however often it is prompted.

The segmenter was made for boxes, so clicks stand for the box whose mask has found its edge best. Knows no table, no
tool and no address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labelop.engines.base import Engine, Features, ImageArray
from labelop.engines.embeddings import EmbeddingCache, EmbeddingKey
from labelop.engines.masks import read_masks, to_model_frame
from labelop.errors import EngineResponseError
from labelop.geometry import Box, BoxArray, boxes_to_array
from labelop.sensitivity.levels import Level

CLICK_SIDES = (0.06, 0.09, 0.13, 0.18, 0.25, 0.35, 0.5, 0.7)
"""Sides of the boxes that a click may stand for, as shares of the image's shorter edge."""
CLICK_RATIOS = (0.6, 1.0, 1.6)
"""Width by height of these boxes."""

_MARGIN = 1.0  # logits: a mask that hardly changes when the threshold moves by so much has found an edge


@dataclass(frozen=True, slots=True)
class Clicks:
    """What somebody pointed at; x, y in pixels of the upright image."""

    on: tuple[tuple[float, float], ...]
    """On the object."""
    off: tuple[tuple[float, float], ...] = ()
    """Beside it."""


@dataclass(frozen=True, slots=True)
class Mask:
    """What was found."""

    counts: str
    """COCO compressed run lengths of the full image."""
    score: float
    """How sure the model is of the edge, 0..1: share of the mask that is left under a stricter threshold."""


class Prompter:
    """Answers prompts on images by one segmenter; safe to call from several threads.

    Args:
        engine: The segmenter.
        cache: Keeps what the encoder said; in memory only when it has no folder.
    """

    def __init__(self, engine: Engine, cache: EmbeddingCache) -> None:
        self._engine = engine
        self._cache = cache
        self._lock = threading.Lock()

    def mask(
        self, image_id: str, size: tuple[int, int], prompt: Box | Clicks, pixels: Callable[[], ImageArray]
    ) -> Mask | None:
        """Find the mask of what a box holds or clicks point at.

        Args:
            image_id: SHA-256 of the original bytes.
            size: Width and height of the upright image.
            prompt: A box in pixels of the upright image, or clicks.
            pixels: Reads the image, shape (height, width, 3); asked only where nobody has encoded it.

        Returns:
            The mask; None where there is nothing.

        Raises:
            UnreadableImageError: The image cannot be read.
            EngineError: The model failed.
        """
        if isinstance(prompt, Clicks) and not prompt.on:
            return None
        features = self._features(image_id, pixels)
        boxes = [prompt] if isinstance(prompt, Box) else _around(prompt, size)
        masks = self._prompted(features, size, boxes_to_array(boxes))[0]
        best = 0 if isinstance(prompt, Box) else _steadiest(masks, prompt, size)
        if best is None:
            return None
        [counts] = read_masks({"masks": masks[None, best : best + 1]}, 1, *size)
        return None if counts is None else Mask(counts, _steadiness(masks[best]))

    def _features(self, image_id: str, pixels: Callable[[], ImageArray]) -> Features:
        key = EmbeddingKey(image_id, self._engine.card.digest, self._engine.name)
        with self._lock:  # of two who ask at once for a new image one encodes it and the other waits
            features = self._cache.get(key)
            if features is None:
                features = self._engine.encode(self._engine.preprocess(pixels())[None])
                # held in memory alone whatever the level: restricted is never written
                self._cache.put(key, features, Level.RESTRICTED)
        return features

    def _prompted(self, features: Features, size: tuple[int, int], boxes: BoxArray) -> NDArray[np.float32]:
        card = self._engine.card
        prompts = to_model_frame(boxes, size, (card.width_px, card.height_px))
        masks = self._engine.prompt(features, prompts)["masks"]
        if masks.shape[:2] != (1, len(boxes)):
            raise EngineResponseError(f"Output masks has the shape {masks.shape} for {len(boxes)} boxes.")
        return np.asarray(masks)


def _around(clicks: Clicks, size: tuple[int, int]) -> list[Box]:
    """List the boxes that clicks may stand for."""
    x, y = (sum(edges) / len(edges) for edges in zip(*clicks.on, strict=True))
    edges = [(share * min(size) / 2, ratio**0.5) for share in CLICK_SIDES for ratio in CLICK_RATIOS]
    boxes = [Box(x - half * r, y - half / r, x + half * r, y + half / r).clipped(*size) for half, r in edges]
    return [box for box in boxes if box is not None]


def _steadiest(masks: NDArray[np.float32], clicks: Clicks, size: tuple[int, int]) -> int | None:
    """Find the mask that agrees with most clicks, of these the one that has found its edge best.

    None where no mask holds a click on the object.
    """
    holds_on, holds_off = (_holding(masks, some, size) for some in (clicks.on, clicks.off))
    agrees = holds_on.sum(axis=1) - holds_off.sum(axis=1)
    holding = np.flatnonzero(holds_on.any(axis=1))
    return int(max(holding, key=lambda at: (agrees[at], _steadiness(masks[at])))) if len(holding) else None


def _holding(
    masks: NDArray[np.float32], clicks: Sequence[tuple[float, float]], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Say which masks hold which clicks, shape (masks, clicks)."""
    edges = np.array(masks.shape[:0:-1])  # width and height
    at = np.minimum((np.array(clicks).reshape(-1, 2) * edges / size).astype(int), edges - 1)
    return np.asarray(masks[:, at[:, 1], at[:, 0]] > 0)


def _steadiness(logits: NDArray[np.float32]) -> float:
    """Overlap of a mask taken strictly with the same taken loosely, 0..1."""
    return float((logits > _MARGIN).sum() / max(1, (logits > -_MARGIN).sum()))
