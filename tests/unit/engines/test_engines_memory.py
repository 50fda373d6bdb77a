"""Memory that runs out makes passes smaller, and only where no smaller one is left is it an error."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import MOST_IMAGES
from labelop.engines.base import Features, ModelInputs, RawOutputs
from labelop.engines.model import OUT_OF_MEMORY, ModelEngine, failed
from labelop.errors import EngineResponseError
from tests.unit.engines.models import detector, segmenter


class Small(ModelEngine):
    """An engine with memory for a few images."""

    def __init__(self, card: ModelCard, room: int, problem: Exception, *, one_size: bool = False) -> None:
        super().__init__(card, one_size=one_size)
        self.room = room
        self.problem = problem
        self.tried: list[int] = []

    def _pass(self, inputs: ModelInputs) -> RawOutputs:
        self.tried.append(len(inputs.images))
        if len(inputs.images) > self.room:
            raise failed(self.card, "", self.problem)
        return {"logits": inputs.images[:, 0, :1, 0].astype(np.float32)}

    def _encode(self, images: NDArray[np.uint8]) -> Features:
        return self._pass(ModelInputs(images))


def images(card: ModelCard, count: int = MOST_IMAGES) -> ModelInputs:
    """Number a batch's images by their first pixel."""
    frames = np.zeros((count, card.height_px, card.width_px, 3), dtype=np.uint8)
    frames[:, 0, 0, 0] = range(count)
    return ModelInputs(frames)


def test_passes_of_one_size_are_filled(tmp_path: Path) -> None:
    """A compiler or a search per size sees one size only; used to see each rest of a batch, and gave up after eight."""
    engine = Small(detector(tmp_path), MOST_IMAGES, MemoryError(), one_size=True)
    for count in (1, 3, MOST_IMAGES, MOST_IMAGES + 2):
        assert engine.forward(images(engine.card, count))["logits"][:, 0].tolist() == [*range(count)]
    assert set(engine.tried) == {MOST_IMAGES}


def test_a_filled_pass_that_does_not_fit_is_halved(tmp_path: Path) -> None:
    """Of three images and five black ones a pass that is too large becomes one of four, and ends in an error at one."""
    engine = Small(detector(tmp_path), 4, MemoryError(), one_size=True)
    assert engine.forward(images(engine.card, 3))["logits"][:, 0].tolist() == [0, 1, 2]
    assert engine.tried == [8, 4]
    with pytest.raises(EngineResponseError):
        Small(detector(tmp_path, "other"), 0, MemoryError(), one_size=True).forward(images(engine.card, 3))


@pytest.mark.parametrize(
    "problem", [MemoryError(), RuntimeError("Failed to allocate 9 bytes"), RuntimeError("CUDA out of memory")]
)
def test_a_batch_is_halved_until_it_fits(tmp_path: Path, caplog: pytest.LogCaptureFixture, problem: Exception) -> None:
    """All images are answered in order, smaller passes are kept for later, and it is said."""
    engine = Small(detector(tmp_path), 2, problem)
    with caplog.at_level(logging.WARNING):
        assert engine.forward(images(engine.card))["logits"][:, 0].tolist() == [*range(MOST_IMAGES)]
    assert engine.tried == [8, 4, 2, 2, 2, 2]
    assert "tiny-boxes ran out of memory with 8 images; going on with 4" in caplog.text
    engine.tried.clear()
    engine.forward(images(engine.card, 3))
    assert engine.tried == [2, 1]


def test_passes_side_by_side_say_once_that_they_halve(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two lanes that meet the same want of memory wrote the same line twice, and one of a size long left behind."""
    both = threading.Barrier(2)

    class Wide(Small):
        def _pass(self, inputs: ModelInputs) -> RawOutputs:
            if len(inputs.images) == MOST_IMAGES:
                both.wait(20)
            return super()._pass(inputs)

    engine = Wide(detector(tmp_path), 2, MemoryError())
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(2) as pool:
        list(pool.map(engine.forward, [images(engine.card)] * 2))
    assert sorted(record.getMessage()[-1] for record in caplog.records) == ["2", "4"]


def test_an_encoder_that_runs_out_of_memory_is_halved_too(tmp_path: Path) -> None:
    """A segmenter's features come in order from smaller passes, and whoever asks next is told of the smaller size."""
    engine = Small(segmenter(tmp_path), 3, RuntimeError("bad allocation"))
    assert engine.encode(images(engine.card).images)["logits"][:, 0].tolist() == [*range(MOST_IMAGES)]
    assert (engine.tried, engine.most_images) == ([8, 4, 2, 2, 2, 2], 2)


def test_one_image_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    """Nothing is left to halve: the error carries its code."""
    engine = Small(detector(tmp_path), 0, MemoryError())
    with pytest.raises(EngineResponseError, match="tiny-boxes") as caught:
        engine.forward(images(engine.card))
    assert caught.value.context["code"] == OUT_OF_MEMORY
    assert engine.tried == [8, 4, 2, 1]


def test_other_failures_are_not_tried_again(tmp_path: Path) -> None:
    """A model that fails for another reason fails once."""
    engine = Small(detector(tmp_path), 0, RuntimeError("wrong axis"))
    with pytest.raises(EngineResponseError):
        engine.forward(images(engine.card))
    assert engine.tried == [8]
