"""What every engine is: pixels in, raw tensors out, and one shared way to prepare and to read them.

Preparation and reading live here and not in the engines, so that a model gives equal predictions wherever it runs.
Knows no library that runs models, no placement and no table.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.catalog.cards import ModelCard, verify
from labelop.catalog.choice import EngineChoice, choose_engine
from labelop.engines.postprocess import Detections, read_class_scores, read_detections
from labelop.errors import EngineResponseError, ModelInputError
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

OUT_OF_MEMORY = "OUT_OF_MEMORY"
"""Reason code of a pass that did not fit into memory."""
MOST_IMAGES = 8
"""Most images of one pass unless a profile says otherwise: larger batches gain nothing on a CPU and cost memory."""

_CHANNELS = 3
_EDGES = 4
_NO_MEMORY = re.compile(r"alloc|out of memory", re.IGNORECASE)
_log = logging.getLogger(__name__)


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
    """Base of the engines: everything but the forward pass itself.

    Args:
        card: The model.
        most_images: Most images of one pass, at least 1; larger inputs are run in pieces.
    """

    name = "model"

    def __init__(self, card: ModelCard, most_images: int = MOST_IMAGES) -> None:
        self.card = card
        self._most = most_images

    def forward(self, inputs: ModelInputs) -> RawOutputs:
        """Run the model, in pieces of at most `most_images`; see `Engine.forward`.

        A piece that does not fit into memory is halved, and so are all later ones of this engine.
        """
        self._check(inputs)
        if inputs.boxes is not None:
            return self._pass(inputs)
        images, found, at = inputs.images, [], 0
        while at < len(images):
            size = self._piece(len(images) - at)
            try:
                found.append(self._pass(ModelInputs(images[at : at + size])))
            except EngineResponseError as error:
                if size == 1 or error.context.get("code") != OUT_OF_MEMORY:
                    raise
                self._most = size // 2
                _log.warning(
                    "model %s ran out of memory with %d images; going on with %d", self.card.id, size, size // 2
                )
                continue
            at += size
        if len(found) == 1:
            return found[0]
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}

    def _piece(self, left: int) -> int:
        """Say how many of the images that are left the next pass takes."""
        return min(left, self._most)

    def _pass(self, inputs: ModelInputs) -> RawOutputs:
        """Run one pass over checked inputs; what the engines differ in."""
        raise NotImplementedError

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


def failed(card: ModelCard, where: str, error: Exception) -> EngineResponseError:
    """Say in one line that a pass failed, with a code of its own where memory was short."""
    text = str(error).splitlines()
    short = isinstance(error, MemoryError) or _NO_MEMORY.search(str(error))
    return EngineResponseError(
        f"Model {card.id} failed{where}: {text[0] if text else type(error).__name__}",
        code=OUT_OF_MEMORY if short else "MODEL_FAILED",
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


_OPEN: dict[tuple[object, ...], Engine] = {}
_CHOSEN: dict[tuple[object, ...], EngineChoice] = {}
_OPEN_LOCK = threading.Lock()


def open_engine(card: ModelCard, settings: Settings) -> Engine:
    """Open the engine of a card; one per distinct card and process, its files checked before the first use.

    Which engine that is, is told by `choose_engine`, once per process.

    Raises:
        CatalogError: A file of the card is missing or not allowed.
        DigestMismatchError: A file is not the one the card pins.
        MissingExtraError: The engine needs a library that is not installed.
        ModelLoadError: The files are no model of this family.
    """
    asked = (settings.store, settings.engine, settings.engine_precision, settings.engine_device)
    what = (card.digest, settings.engine_threads, settings.engine_compile, *asked)
    with _OPEN_LOCK:
        choice = _CHOSEN.get(what)
        if choice is None:
            choice = _CHOSEN[what] = choose_engine(card, settings)
            _log.info("model %s runs on %s: %s", card.id, choice.label, choice.reason)
        key = (card.digest, settings.engine_threads, choice.key)
        engine = _OPEN.get(key)
        if engine is None:
            verify(card)
            engine = _OPEN[key] = load_engine(card, settings.engine_threads, choice)
        return engine


def close_engines() -> None:
    """Free every engine this process has open, and forget which were chosen."""
    with _OPEN_LOCK:
        for engine in _OPEN.values():
            engine.close()
        _OPEN.clear()
        _CHOSEN.clear()


def load_engine(card: ModelCard, threads: int, choice: EngineChoice) -> Engine:
    """Load a card whose files are verified into an engine of its own; see `open_engine`."""
    # imported here: each of these pulls in a heavy library, and a process needs at most one of them
    if choice.engine == "torch":
        from labelop.engines.folder import FolderEngine  # noqa: PLC0415

        return FolderEngine(card, threads, choice)
    if choice.engine == "openvino":
        from labelop.engines.vino import VinoEngine  # noqa: PLC0415

        return VinoEngine(card, threads, choice)
    from labelop.engines.graph import GraphEngine  # noqa: PLC0415

    return GraphEngine(card, threads, choice)
