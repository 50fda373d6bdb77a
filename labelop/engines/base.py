"""What every engine is: pixels in, raw tensors out, and one shared way to prepare and to read them.

Preparation and reading live here and not in the engines, so that a model gives equal predictions wherever it runs.
Knows no library that runs models, no placement and no table.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.catalog.cards import ModelCard, verify
from labelop.engines.postprocess import Detections, read_class_scores, read_detections
from labelop.errors import ModelInputError
from labelop.settings import Settings

ImageArray = NDArray[np.uint8]
"""uint8 RGB, shape (height, width, 3), upright."""

RawOutputs = Mapping[str, NDArray[np.float32]]
"""Tensor name to float32 array, batch first."""

OUTPUTS: dict[str, tuple[str, ...]] = {
    "detection": ("logits", "boxes"),
    "classification": ("logits",),
    "segmentation": ("masks", "scores"),
}
"""Raw tensors an engine answers with, by task."""

_CHANNELS = 3
_EDGES = 4


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """One forward pass."""

    images: NDArray[np.uint8]
    """Images in the model's frame, shape (n, height, width, 3)."""
    boxes: NDArray[np.float32] | None = None
    """Prompts of a segmenter, shape (b, 4), xyxy pixels of the model's frame; None for other tasks."""


@runtime_checkable
class Engine(Protocol):
    """A loaded model. Safe to call from several threads."""

    @property
    def card(self) -> ModelCard:
        """The model it runs."""
        ...

    @property
    def name(self) -> str:
        """Kind of engine, for the `engine` column."""
        ...

    def preprocess(self, image: ImageArray) -> ImageArray:
        """Bring one image into the model's frame."""
        ...

    def forward(self, inputs: ModelInputs) -> RawOutputs:
        """Run the model; answers the tensors of `OUTPUTS[card.task]`.

        Raises:
            ModelInputError: The input does not have the model's shape.
            EngineError: The model failed.
        """
        ...

    def postprocess(self, raw: RawOutputs, index: int, width_px: int, height_px: int) -> Detections:
        """Read the raw output of one image of the batch in that image's own frame."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class ModelEngine:
    """Base of the engines: everything but the forward pass."""

    name = "model"

    def __init__(self, card: ModelCard) -> None:
        self.card = card

    def preprocess(self, image: ImageArray) -> ImageArray:
        """Stretch to the card's input size, bilinear with antialias.

        Args:
            image: uint8 RGB, shape (height, width, 3), upright.

        Returns:
            uint8, shape (card.height_px, card.width_px, 3).

        Raises:
            ModelInputError: The image is empty, not uint8 or not three-channel.
        """
        return stretch(image, self.card)

    def postprocess(self, raw: RawOutputs, index: int, width_px: int, height_px: int) -> Detections:
        """Read one image's raw output: boxes of a detector, or class scores on the whole image.

        Raises:
            EngineResponseError: A value is not finite, or a tensor has a wrong shape.
            ValueError: The card is a segmenter's; its masks are read by `masks.py`.
        """
        if self.card.task == "segmentation":
            raise ValueError("masks have no detections")
        if self.card.task == "classification":
            scores = read_class_scores(self.card, raw, index)
            whole = np.tile(np.array([0.0, 0.0, width_px, height_px]), (len(scores), 1))
            return Detections(whole, scores, np.arange(len(scores)))
        return read_detections(self.card, raw, index, width_px, height_px)

    def close(self) -> None:
        """Free the model; the default holds nothing."""

    def _check(self, inputs: ModelInputs) -> None:
        """Refuse inputs that are not of the card's form.

        Raises:
            ModelInputError: Shape or type differ.
        """
        form = (self.card.height_px, self.card.width_px, _CHANNELS)
        if inputs.images.dtype != np.uint8 or inputs.images.shape[1:] != form or not len(inputs.images):
            raise ModelInputError(
                f"Model {self.card.id} got images of shape {inputs.images.shape} and type {inputs.images.dtype}, "
                f"expected (n, {form[0]}, {form[1]}, 3) and uint8."
            )
        if (self.card.task == "segmentation") != (inputs.boxes is not None):
            raise ModelInputError(f"Model {self.card.id} is for {self.card.task}; box prompts do not fit the task.")
        if inputs.boxes is not None and (len(inputs.images), *inputs.boxes.shape) != (1, len(inputs.boxes), _EDGES):
            raise ModelInputError(
                f"Model {self.card.id} got {len(inputs.images)} images with boxes of shape {inputs.boxes.shape}, "
                "expected 1 image and (b, 4)."
            )


def stretch(image: ImageArray, card: ModelCard) -> ImageArray:
    """Stretch one image to the input size of a card; see `ModelEngine.preprocess`."""
    if image.dtype != np.uint8 or image.ndim != _CHANNELS or image.shape[2] != _CHANNELS or 0 in image.shape:
        raise ModelInputError(
            f"Model {card.id} got an image of shape {image.shape} and type {image.dtype}, expected (h, w, 3) and uint8."
        )
    size = (card.width_px, card.height_px)
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


_OPEN: dict[tuple[str, int], Engine] = {}
_OPEN_LOCK = threading.Lock()


def open_engine(card: ModelCard, settings: Settings) -> Engine:
    """Open the engine of a card; one per distinct card and process, its files checked before the first use.

    Raises:
        CatalogError: A file of the card is missing or not allowed.
        DigestMismatchError: A file is not the one the card pins.
        MissingExtraError: The format needs a library that is not installed.
        ModelLoadError: The files are no model of this family.
    """
    key = (card.digest, settings.engine_threads)
    with _OPEN_LOCK:
        engine = _OPEN.get(key)
        if engine is None:
            verify(card)
            engine = _OPEN[key] = _load(card, settings.engine_threads)
        return engine


def close_engines() -> None:
    """Free every engine this process has open."""
    with _OPEN_LOCK:
        for engine in _OPEN.values():
            engine.close()
        _OPEN.clear()


def _load(card: ModelCard, threads: int) -> Engine:
    # imported here: each of these pulls in a heavy library, and a process needs at most one of them
    if card.format == "huggingface":
        from labelop.engines.folder import FolderEngine  # noqa: PLC0415

        return FolderEngine(card, threads)
    from labelop.engines.graph import GraphEngine  # noqa: PLC0415

    return GraphEngine(card, threads)
