"""What every server of this project does with a request: decode encoded images, run the model, give raw tensors.

Shared so that the small loopback server and the Triton one answer alike. Knows no server, no policy and no table.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.catalog.cards import ModelCard
from labelop.engines.base import OUTPUTS, Engine, ImageArray, ModelInputs, RawOutputs
from labelop.engines.wire import WireError

MAX_IMAGES = 64
"""Most images in one request."""
MAX_PIXELS = 64_000_000
"""Largest image taken."""

EDGES = 4
"""Numbers that make a box."""


def output_shapes(card: ModelCard) -> dict[str, list[int]]:
    """Give the shape of each output of a card, batch first, -1 where it varies."""
    shapes = {"masks": [-1, -1, -1, -1], "scores": [-1, -1], "boxes": [-1, -1, EDGES], "logits": [-1, -1, -1]}
    if card.task == "classification":
        shapes["logits"] = [-1, len(card.classes)]
    return {name: shapes[name] for name in OUTPUTS[card.task]}


def infer(
    engine: Engine, payloads: Sequence[bytes], boxes: NDArray[np.float32] | None, wanted: Sequence[str] = ()
) -> RawOutputs:
    """Answer one request.

    Args:
        engine: The model.
        payloads: JPEG or PNG images, one for a segmenter.
        boxes: Prompts of a segmenter, shape (1, b, 4), xyxy pixels of the model's frame; None for other tasks.
        wanted: Outputs asked for; empty for all.

    Raises:
        WireError: The request does not fit the model, or a payload is no image.
        EngineError: The model failed.
    """
    card = engine.card
    if not payloads or (boxes is not None) != (card.task == "segmentation"):
        raise WireError(f"model {card.id} takes the inputs {_expected(card)}, with at least one image")
    if len(payloads) > MAX_IMAGES:
        raise WireError(f"{len(payloads)} images in one request; at most {MAX_IMAGES} are taken")
    unknown = set(wanted) - set(OUTPUTS[card.task])
    if unknown:
        raise WireError(f"model {card.id} has no output {sorted(unknown)}; it has {list(OUTPUTS[card.task])}")
    if boxes is not None:
        _check_boxes(boxes, len(payloads))
    images = np.stack([engine.preprocess(decode(payload)) for payload in payloads])
    raw = engine.forward(ModelInputs(images, None if boxes is None else boxes[0]))
    return {name: raw[name] for name in wanted or OUTPUTS[card.task]}


def _check_boxes(boxes: NDArray[np.float32], images_count: int) -> None:
    if boxes.ndim != EDGES - 1 or boxes.shape[0] != 1 or boxes.shape[2] != EDGES or images_count != 1:
        raise WireError(f"boxes have the shape {boxes.shape} for {images_count} images, expected (1, b, 4) and one")
    if not boxes.shape[1]:
        raise WireError("there are no boxes, expected is one or more")
    if not np.isfinite(boxes).all():
        raise WireError("a box has an edge that is no finite FP32 number of pixels")


def _expected(card: ModelCard) -> list[str]:
    return ["boxes", "image"] if card.task == "segmentation" else ["image"]


def decode(payload: bytes) -> ImageArray:
    """Decode a payload; the sender is not trusted, so this is a full check of its own.

    Raises:
        WireError: It is no readable JPEG or PNG, or too large.
    """
    try:
        # a warning is no reason to refuse: filters are of the whole process, and others import in it meanwhile
        with Image.open(io.BytesIO(payload), formats=("JPEG", "PNG")) as image:
            size = image.size
            if size[0] * size[1] <= MAX_PIXELS:
                return np.asarray(image.convert("RGB"))
    except Exception as error:
        # Pillow raises many classes for hostile bytes; all of them mean that this is no image
        raise WireError(f"an image is not a readable JPEG or PNG ({type(error).__name__})") from error
    raise WireError(f"an image has {size[0]} x {size[1]} pixels; at most {MAX_PIXELS} are taken")
