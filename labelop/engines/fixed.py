"""A deterministic engine without a model: tests of everything around engines need answers, not intelligence.

Never chosen by a card; a test hands it in. Knows no library that runs models.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.engines.base import Features, ModelInputs, RawOutputs
from labelop.engines.model import ModelEngine

_QUERIES = 6
_MASK_SIDE = 16


class FixedEngine(ModelEngine):
    """Answers from a hash of the pixels: equal images give equal answers, whatever batch they are in."""

    name = "fixed"

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)

    def _pass(self, inputs: ModelInputs) -> RawOutputs:
        draws = [_draw(image) for image in inputs.images]
        if self.card.task == "classification":
            return {"logits": np.stack([d.normal(0, 2, len(self.card.classes)) for d in draws]).astype(np.float32)}
        outputs = len(self.card.classes) + (self.card.family == "detr")
        logits = np.stack([d.normal(0, 2, (_QUERIES, outputs)) for d in draws])
        centres = np.stack([d.uniform(0.2, 0.8, (_QUERIES, 2)) for d in draws])
        sizes = np.stack([d.uniform(0.05, 0.3, (_QUERIES, 2)) for d in draws])
        return {
            "logits": logits.astype(np.float32),
            "boxes": np.concatenate([centres, sizes], axis=2).astype(np.float32),
        }

    def _encode(self, images: NDArray[np.uint8]) -> Features:
        return {"mean": images.mean(axis=(1, 2), dtype=np.float32)}

    def _prompt(self, features: Features, boxes: NDArray[np.float32]) -> RawOutputs:  # noqa: ARG002 - no image is looked at
        """Fill each box's middle."""
        x = (np.arange(_MASK_SIDE) + 0.5) * self.card.width_px / _MASK_SIDE
        y = (np.arange(_MASK_SIDE) + 0.5) * self.card.height_px / _MASK_SIDE
        inside_x = (x >= boxes[:, :1]) & (x <= boxes[:, 2:3])
        inside_y = (y >= boxes[:, 1:2]) & (y <= boxes[:, 3:4])
        masks = np.where(inside_y[:, :, None] & inside_x[:, None, :], 4.0, -4.0).astype(np.float32)
        return {"masks": masks[None], "scores": np.ones((1, len(boxes)), dtype=np.float32)}


def _draw(image: NDArray[np.uint8]) -> np.random.Generator:
    seed = hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
    return np.random.default_rng(int.from_bytes(seed[:8], "big"))
