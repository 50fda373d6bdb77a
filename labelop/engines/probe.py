"""Looks whether a model answers in numbers at all: one pass over a grey picture, before any image is waited for.

Constants of a graph may be numbers and what is computed from them not. OpenVINO takes the larger of NaN and a bound for
the bound, and gives predictions for such a model, so the default engine is asked, whatever engine would run it. Knows
no table.
"""

from __future__ import annotations

import numpy as np

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import ENGINES, EngineChoice
from labelop.engines.base import ModelInputs, RawOutputs, load_engine
from labelop.errors import CatalogError

_GREY = 128


def refuse_faulty_answers(card: ModelCard, threads: int) -> None:
    """Run a verified ONNX card once on the default engine; other formats have an engine that hides nothing.

    Raises:
        CatalogError: An answer holds values that are not finite.
        EngineError: The model cannot be loaded or run.
    """
    if card.format != "onnx":
        return
    engine = load_engine(card, threads, EngineChoice(ENGINES[card.format][0]))
    try:
        images = np.full((1, card.height_px, card.width_px, 3), _GREY, dtype=np.uint8)
        boxes = np.array([[0, 0, card.width_px, card.height_px]], dtype=np.float32)
        found: RawOutputs = engine.forward(ModelInputs(images, boxes if card.task == "segmentation" else None))
    finally:
        engine.close()
    for name, value in found.items():
        if not np.isfinite(value).all():
            raise CatalogError(
                f"Model {card.id}: its output {name} for a grey picture is not finite.",
                hint="Train or export the model again; such answers mean nothing, whatever engine gives them.",
            )
