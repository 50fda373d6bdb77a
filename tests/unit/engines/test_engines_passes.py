"""Every model of an arm runs in passes of its own size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.engines.base import Features, ModelInputs, RawOutputs
from labelop.engines.fixed import FixedEngine
from labelop.engines.prelabeller import ArmModels, ImageItem, with_engines
from labelop.ids import sha256_hex
from tests.unit.engines.models import detector, picture, segmenter


class Wide(FixedEngine):
    """An engine whose passes are as large as a profile says; what it runs at once is noted."""

    def __init__(self, card: ModelCard, most_images: int) -> None:
        super().__init__(card)
        self._most = most_images
        self.passes: list[int] = []

    def _pass(self, inputs: ModelInputs) -> RawOutputs:
        self.passes.append(len(inputs.images))
        return super()._pass(inputs)

    def _encode(self, images: NDArray[np.uint8]) -> Features:
        self.passes.append(len(images))
        return super()._encode(images)


@pytest.mark.parametrize(("boxes", "masks"), [(12, 5), (2, 12), (1, 3)])
def test_every_model_gets_passes_of_its_own_size(tmp_path: Path, boxes: int, masks: int) -> None:
    """What a profile measured is what runs: more than the default, and beside models of another size.

    Fails where one number for all models cuts the passes.
    """
    models = ArmModels(detector(tmp_path), segmenter(tmp_path))
    one, other = Wide(detector(tmp_path), boxes), Wide(segmenter(tmp_path), masks)
    made = with_engines(models, {one.card.id: one, other.card.id: other})
    items = [ImageItem(sha256_hex(bytes([seed])), picture(seed), "public") for seed in range(12)]
    together = made.prelabel(items)
    assert (made.most_images, max(one.passes), max(other.passes)) == (max(boxes, masks), boxes, masks)
    usual = with_engines(models, {card.id: FixedEngine(card) for card in models.cards}).prelabel(items)
    assert [result.predictions for result in together] == [result.predictions for result in usual]
