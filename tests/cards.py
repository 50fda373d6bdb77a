"""A model card for tests that open no model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from labelop import ids
from labelop.catalog.cards import ModelCard


def make_card(model_id: str = "toy-small", **changes: Any) -> ModelCard:
    """Describe a detector of small pictures.

    Args:
        model_id: Its name; its digest follows from it.
        **changes: Fields that differ.
    """
    card = ModelCard(
        path=Path(f"{model_id}.yaml"),
        id=model_id,
        version="1",
        task="detection",
        family="rtdetr_v2",
        format="onnx",
        files={},
        folder=None,
        digests={},
        encoder_outputs=(),
        ontology="toys",
        classes=("ball", "cube"),
        width_px=32,
        height_px=32,
        scaled_decode=False,
        postprocess=None,
        licence="Apache-2.0",
        training_data=(),
        quality=(),
        reproduce="",
        parameters_count=None,
        size_bytes=None,
        digest=ids.digest_of(model_id),
    )
    return replace(card, **changes)
