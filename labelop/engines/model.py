"""The half of an engine that all engines share: preparing images, cutting passes, reading what comes out.

It lives here and not in the engines, so that a model gives equal predictions wherever it runs. Knows no library that
runs models.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import pass_images
from labelop.engines.base import Features, ImageArray, ModelInputs, RawOutputs
from labelop.engines.postprocess import Detections, read_class_scores, read_detections
from labelop.errors import EngineResponseError, ModelInputError

OUT_OF_MEMORY = "OUT_OF_MEMORY"
"""Reason code of a pass that did not fit into memory."""

_CHANNELS = 3
_EDGES = 4
_NO_MEMORY = re.compile(r"alloc|out of memory", re.IGNORECASE)
_log = logging.getLogger(__name__)


class ModelEngine:
    """Base of the engines: everything but the forward pass itself.

    Args:
        card: The model.
        most_images: Most images of one pass, at least 1; larger inputs are run in pieces. What `pass_images` says of
            the card when None.
        one_size: Whether every pass is filled up to that many: for what is compiled, tuned or recorded anew for each
            number of images.
    """

    name = "model"

    def __init__(self, card: ModelCard, most_images: int | None = None, *, one_size: bool = False) -> None:
        self.card = card
        self._one_size = one_size
        self._most = most_images or pass_images(card)
        self._halving = threading.Lock()

    @property
    def most_images(self) -> int:
        """Most images of one pass; see `Engine.most_images`."""
        return self._most

    def forward(self, inputs: ModelInputs) -> RawOutputs:
        """Run the model, in pieces of at most `most_images`; see `Engine.forward`."""
        self._check(inputs)
        if inputs.boxes is not None:
            return self.prompt(self.encode(inputs.images), inputs.boxes)
        return self._in_pieces(inputs.images, lambda images: self._pass(ModelInputs(images)))

    def encode(self, images: NDArray[np.uint8]) -> Features:
        """Run the encoder, in pieces of at most `most_images`; see `Engine.encode`."""
        self._check_images(images)
        self._check_task(segments=True)
        return self._in_pieces(images, self._encode)

    def prompt(self, features: Features, boxes: NDArray[np.float32]) -> RawOutputs:
        """Run the decoder; see `Engine.prompt`."""
        self._check_task(segments=True)
        counts = {len(value) for value in features.values()}
        if counts != {1} or boxes.shape != (len(boxes), _EDGES):
            raise ModelInputError(
                f"Model {self.card.id} got features of {sorted(counts)} images with boxes of shape {boxes.shape}, "
                "expected 1 image and (b, 4)."
            )
        return self._prompt(features, np.ascontiguousarray(boxes, dtype=np.float32))

    def _in_pieces(
        self, images: NDArray[np.uint8], run: Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.float32]]]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Run passes over pieces; one that does not fit into memory is halved, and so are all later ones."""
        found, at = [], 0
        while at < len(images):
            piece = images[at : at + self._piece(len(images) - at)]
            filled = self._filled(piece) if self._one_size else piece
            size = len(filled)
            try:
                answer = run(filled)
            except EngineResponseError as error:
                if size == 1 or error.context.get("code") != OUT_OF_MEMORY:
                    raise
                self._halve(size)
                continue
            at += len(piece)
            found.append(answer if size == len(piece) else {k: v[: len(piece)] for k, v in answer.items()})
        if len(found) == 1:
            return found[0]
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}

    def _halve(self, size: int) -> None:
        """Go on with half of a size that did not fit, and say so; once, where passes side by side met the same."""
        with self._halving:
            if size // 2 < self._most:
                self._most = size // 2
                _log.warning(
                    "model %s ran out of memory with %d images; going on with %d", self.card.id, size, self._most
                )

    def _piece(self, left: int) -> int:
        """Say how many of the images that are left the next pass takes."""
        return min(left, self._most)

    def _filled(self, piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Fill a pass up to `most_images` with black images; their answers are thrown away."""
        black = np.zeros((max(0, self._most - len(piece)), *piece.shape[1:]), np.uint8)
        return np.concatenate([piece, black]) if len(black) else piece

    def _pass(self, inputs: ModelInputs) -> RawOutputs:
        """Run one pass over checked images; what the engines differ in."""
        raise NotImplementedError

    def _encode(self, images: NDArray[np.uint8]) -> Features:
        """Run one pass of a segmenter's encoder over checked images; what the engines differ in."""
        raise NotImplementedError

    def _prompt(self, features: Features, boxes: NDArray[np.float32]) -> RawOutputs:
        """Run a segmenter's decoder on checked features of one image and its boxes; what the engines differ in."""
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
        self._check_images(inputs.images)
        self._check_task(segments=inputs.boxes is not None)

    def _check_images(self, images: NDArray[np.uint8]) -> None:
        form = (self.card.height_px, self.card.width_px, _CHANNELS)
        if images.dtype != np.uint8 or images.shape[1:] != form or not len(images):
            raise ModelInputError(
                f"Model {self.card.id} got images of shape {images.shape} and type {images.dtype}, "
                f"expected (n, {form[0]}, {form[1]}, 3) and uint8."
            )

    def _check_task(self, *, segments: bool) -> None:
        if (self.card.task == "segmentation") != segments:
            raise ModelInputError(f"Model {self.card.id} is for {self.card.task}; box prompts do not fit the task.")


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
