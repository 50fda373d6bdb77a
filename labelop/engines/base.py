"""What every engine is, pixels in and raw tensors out, and the way to open the one that fits.

Knows no library that runs models, no placement and no table.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard, verify
from labelop.catalog.choice import EngineChoice, choose_engine
from labelop.engines.postprocess import Detections
from labelop.settings import Settings

ImageArray = NDArray[np.uint8]
"""uint8 RGB, shape (height, width, 3), upright."""

RawOutputs = Mapping[str, NDArray[np.float32]]
"""Tensor name to float32 array, batch first."""

Features = Mapping[str, NDArray[np.float32]]
"""What a segmenter's encoder says of images: tensor name to float32 array, batch first; names are the engine's own."""

OUTPUTS: dict[str, tuple[str, ...]] = {
    "detection": ("logits", "boxes"),
    "classification": ("logits",),
    "segmentation": ("masks", "scores"),
}
"""Raw tensors an engine answers with, by task."""

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

    @property
    def most_images(self) -> int:
        """Most images of one pass: as was measured, else by the size of its inputs; fewer once memory ran out."""
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

    def encode(self, images: NDArray[np.uint8]) -> Features:
        """Run a segmenter's encoder on images in the model's frame, shape (n, height, width, 3).

        An image's features do not depend on the images beside it.

        Raises:
            ModelInputError: The images have another shape, or the model is no segmenter.
            EngineError: The model failed.
        """
        ...

    def prompt(self, features: Features, boxes: NDArray[np.float32]) -> RawOutputs:
        """Run a segmenter's decoder on one image's features and all its boxes.

        Args:
            features: What `encode` of this engine answered for the image, see `features_of`.
            boxes: Shape (b, 4), xyxy pixels of the model's frame.

        Returns:
            `masks` (1, b, h, w), logits, and `scores` (1, b).

        Raises:
            ModelInputError: The features are not one image's, or the boxes are none.
            EngineError: The model failed.
        """
        ...

    def postprocess(self, raw: RawOutputs, index: int, width_px: int, height_px: int) -> Detections:
        """Read the raw output of one image of the batch in that image's own frame."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


def features_of(features: Features, index: int) -> Features:
    """Take one image's features out of those of several, as `Engine.prompt` wants them."""
    return {name: value[index : index + 1] for name, value in features.items()}


_OPEN: dict[tuple[object, ...], Engine] = {}
_CHOSEN: dict[tuple[object, ...], EngineChoice] = {}
_OPEN_LOCK = threading.Lock()


def chosen_engine(card: ModelCard, settings: Settings) -> EngineChoice:
    """Tell which engine a card runs on in this process, and why; `choose_engine` is asked once.

    Raises:
        MissingExtraError: The engine, or the device it was to use, is not here.
        SettingsError: No engine of ours computes as the settings say.
    """
    asked = (settings.store, settings.engine, settings.engine_precision, settings.engine_device)
    what = (card.digest, settings.engine_threads, settings.engine_compile, *asked)
    with _OPEN_LOCK:
        choice = _CHOSEN.get(what)
        if choice is None:
            choice = _CHOSEN[what] = choose_engine(card, settings)
            _log.info("model %s runs on %s: %s", card.id, choice.label, choice.reason)
        return choice


def open_engine(card: ModelCard, settings: Settings, choice: EngineChoice | None = None) -> Engine:
    """Open the engine of a card; one per distinct card and process, its files checked before the first use.

    Args:
        card: The model.
        settings: Threads, and what `chosen_engine` goes by.
        choice: The engine; that of `chosen_engine` when None.

    Raises:
        CatalogError: A file of the card is missing or not allowed; or the model answers no finite numbers, where the
            engine would hide it and nobody has compared its answers here.
        DigestMismatchError: A file is not the one the card pins.
        MissingExtraError: The engine needs a library that is not installed.
        ModelLoadError: The files are no model of this family.
    """
    choice = choice or chosen_engine(card, settings)
    key = (card.digest, settings.engine_threads, choice.key)
    with _OPEN_LOCK:
        engine = _OPEN.get(key)
        if engine is None:
            verify(card)
            if choice.engine == "openvino" and not choice.measured:
                from labelop.engines.probe import refuse_faulty_answers  # noqa: PLC0415 - loads engines itself

                refuse_faulty_answers(card, settings.engine_threads)
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
