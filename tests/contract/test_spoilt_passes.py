"""What goes wrong in a pass of several images: it costs the image that did it, or the server that is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from labelop.engines.base import Features, ModelInputs, RawOutputs
from labelop.engines.fixed import FixedEngine
from labelop.engines.prelabeller import ArmModels, with_engines
from labelop.errors import EngineResponseError, EngineUnavailableError
from tests.contract.test_prelabeller import item, with_fixed
from tests.unit.engines.models import classifier, detector, segmenter


class SpoilingEngine(FixedEngine):
    """Fails, or answers NaN, for images of one colour; neighbours in the batch suffer as they would in a library."""

    def __init__(self, card: Any, fault: str) -> None:
        super().__init__(card)
        self.fault = fault
        self.passes: list[int] = []

    def forward(self, inputs: ModelInputs) -> RawOutputs:
        """Answer, with the fault where an image is black."""
        self.passes.append(len(inputs.images))
        black = [i for i, image in enumerate(inputs.images) if not image.any()]
        if black and self.fault == "raise":
            raise EngineResponseError("out of memory", code="MODEL_FAILED")
        if self.fault == "away":
            raise EngineUnavailableError("nobody there")
        raw = {name: value.copy() for name, value in super().forward(inputs).items()}
        for i in black:
            raw["logits"][i] = np.nan
        return raw

    def encode(self, images: NDArray[np.uint8]) -> Features:
        """Answer, with the fault where an image is black."""
        self.passes.append(len(images))
        if self.fault == "raise" and not images.any(axis=(1, 2, 3)).all():
            raise EngineResponseError("out of memory", code="MODEL_FAILED")
        if self.fault == "away":
            raise EngineUnavailableError("nobody there")
        return super().encode(images)

    def prompt(self, features: Features, boxes: NDArray[np.float32]) -> RawOutputs:
        """Answer no numbers for a black image."""
        raw = {name: value.copy() for name, value in super().prompt(features, boxes).items()}
        if not features["mean"].any():
            raw["masks"][:] = np.nan
        return raw


@pytest.mark.parametrize(("fault", "reason"), [("raise", "MODEL_FAILED"), ("nan", "NON_FINITE")])
@pytest.mark.parametrize("task", ["detection", "classification", "segmentation"])
def test_a_failing_image_costs_itself_only(tmp_path: Path, fault: str, reason: str, task: str) -> None:
    """One black image fails with its code; its neighbours' predictions are those they have alone."""
    card = {"detection": detector, "classification": classifier, "segmentation": segmenter}[task](tmp_path)
    made = with_fixed(tmp_path, **{task: SpoilingEngine(card, fault)})
    black = item(9, pixels=np.zeros((8, 8, 3), np.uint8))
    results = made.prelabel([item(0), black, item(2)])
    assert [(r.outcome, r.reason) for r in results] == [("ok", None), ("failed", reason), ("ok", None)]
    assert results[0].predictions == with_fixed(tmp_path).prelabel([item(0)])[0].predictions


def test_a_lost_server_is_raised_and_not_landed(tmp_path: Path) -> None:
    """A retryable error decides nothing about images."""
    for task, card in {"detection": detector(tmp_path), "segmentation": segmenter(tmp_path)}.items():
        made = with_fixed(tmp_path, **{task: SpoilingEngine(card, "away")})
        with pytest.raises(EngineUnavailableError):
            made.prelabel([item(0)])


def test_the_segmenter_sees_the_images_of_a_pass_at_once(tmp_path: Path) -> None:
    """Eleven images are encoded in two passes, and their masks are those they have alone."""
    spy = SpoilingEngine(segmenter(tmp_path), "none")
    together = with_fixed(tmp_path, segmentation=spy).prelabel([item(seed) for seed in range(11)])
    assert spy.passes == [8, 3]
    alone = [with_fixed(tmp_path).prelabel([item(seed)])[0] for seed in range(11)]
    assert [one.predictions for one in together] == [one.predictions for one in alone]


def test_a_large_segmenter_sees_one_image_at_a_time(tmp_path: Path) -> None:
    """Inputs of a megapixel leave the processor's cache, and the features of eight would fill memory."""
    models = ArmModels(detector(tmp_path), replace(segmenter(tmp_path), width_px=1024, height_px=1024))
    spy, other = (SpoilingEngine(card, "none") for card in reversed(models.cards))
    with_engines(models, {one.card.id: one for one in (spy, other)}).prelabel([item(seed) for seed in range(3)])
    assert spy.passes == [1, 1, 1]


def test_nothing_found_is_empty_and_not_failed(tmp_path: Path) -> None:
    """An arm whose detector finds nothing says empty."""
    card = detector(tmp_path)
    assert card.postprocess is not None
    strict = replace(
        card, postprocess=replace(card.postprocess, min_score=1.0, draft_score=dict.fromkeys(card.classes, 1.0))
    )
    (result,) = with_engines(ArmModels(strict), {strict.id: FixedEngine(strict)}).prelabel([item(0)])
    assert (result.outcome, result.reason, result.predictions) == ("empty", None, ())
