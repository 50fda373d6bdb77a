"""Checks what a server says it serves, and what it answers, against the card: a lying server is a typed error.

Knows the protocol's words but neither its client library nor the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.engines.base import OUTPUTS, RawOutputs
from labelop.engines.transport import Reply
from labelop.errors import CatalogError, EngineResponseError

DIGEST_OUTPUT = "model_digest"
"""Output by which a server without answer parameters names its weights: BYTES, one row per image."""

RELEASE_INPUT = "release"
"""Input by which a server asks for the signed release of each image: BYTES, one row per image."""

SERVER_FAULTS = frozenset({"SERVER_FAILED", "SERVER_REFUSED", "BAD_ANSWER", "BAD_SHAPE"})
"""Codes of failures that say nothing of an image, unless its neighbours fared better."""

_HINT = "Give both sides the same catalog."
_EDGES = 4
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Description:
    """What a server says of a model that the client must act on."""

    proves_digest: bool
    """Whether the digest has to be asked for as the output `DIGEST_OUTPUT`."""
    wants_release: bool
    """Whether every image must come with its signed release."""


def check_description(card: ModelCard, said: Mapping[str, Any]) -> Description:
    """Compare a server's model metadata with the card, before any image is sent.

    Returns:
        What a request has to hold beside images and boxes.

    Raises:
        CatalogError: Another model is served under this id: digest, inputs, outputs or classes differ.
    """
    _check_digest(card, _object(said.get("parameters")).get("model_digest"))
    inputs, outputs = _shapes(said.get("inputs")), _shapes(said.get("outputs"))
    expected = {"image", "boxes"} if card.task == "segmentation" else {"image"}
    if (inputs and set(inputs) - {RELEASE_INPUT} != expected) or (
        outputs and not set(OUTPUTS[card.task]) <= set(outputs)
    ):
        raise CatalogError(
            f"Model {card.id}: the server takes {sorted(inputs)} and gives {sorted(outputs)}, "
            f"expected {sorted(expected)} and {sorted(OUTPUTS[card.task])}.",
            hint=_HINT,
        )
    last = (outputs.get("logits") or [-1])[-1]
    if type(last) is int and last > 0 and last != _columns(card):
        raise CatalogError(
            f"Model {card.id}: the server's model has {last} scores a row, the card's has {_columns(card)}.", hint=_HINT
        )
    return Description(DIGEST_OUTPUT in outputs, RELEASE_INPUT in inputs)


def read_answer(card: ModelCard, answer: Reply, images: int, prompts: int | None) -> RawOutputs:
    """Check an answer.

    Args:
        card: The model that was asked.
        answer: What came back.
        images: Images that were sent.
        prompts: Boxes that were sent with the image, None unless to a segmenter.

    Returns:
        The raw tensors.

    Raises:
        CatalogError: The answer names other weights.
        EngineResponseError: A tensor is missing, cut, of another type, or of another model's shape.
    """
    message = _object(answer.message)
    _check_digest(card, _object(message.get("parameters")).get("model_digest"))
    raw: dict[str, NDArray[np.float32]] = {}
    for name in OUTPUTS[card.task]:
        value = _tensor(card, answer, name)
        if value is None or value.dtype != np.float32 or value.ndim == 0 or len(value) != images:
            form = None if value is None else (value.dtype.name, value.shape)
            raise EngineResponseError(
                f"Model {card.id}: output {name} is {form}, expected float32 for {images} images.", code="BAD_SHAPE"
            )
        raw[name] = value
    if DIGEST_OUTPUT in _shapes(message.get("outputs")):
        for claimed in _digests(card, _tensor(card, answer, DIGEST_OUTPUT), images):
            _check_digest(card, claimed)
    _check_shapes(card, {name: value.shape for name, value in raw.items()}, prompts)
    return raw


def _check_shapes(card: ModelCard, found: Mapping[str, tuple[int, ...]], prompts: int | None) -> None:
    if card.task == "segmentation":
        masks, scores = found["masks"], found["scores"]
        fits = len(masks) == _EDGES and masks[:2] == scores == (masks[0], prompts) and 0 not in masks[2:]
    elif card.task == "classification":
        fits = found["logits"][1:] == (_columns(card),)
    else:
        logits, boxes = found["logits"], found["boxes"]
        fits = (
            len(logits) == len(boxes) == _EDGES - 1 and logits[1:] == (boxes[1], _columns(card)) and boxes[2] == _EDGES
        )
    if not fits:
        what = f"{len(card.classes)} classes" if prompts is None else f"{prompts} boxes"
        raise EngineResponseError(
            f"Model {card.id} answered the shapes {dict(found)}, which is no {card.family} of {what}.", code="BAD_SHAPE"
        )


def _check_digest(card: ModelCard, claimed: Any) -> None:
    if claimed not in (None, card.digest):
        raise CatalogError(
            f"Model {card.id}: the server runs digest {str(claimed)[:80]}, the card is {card.digest}.", hint=_HINT
        )


def _digests(card: ModelCard, proof: Any, images: int) -> set[str]:
    """Read the output `DIGEST_OUTPUT`: bytes, or text where it came as JSON data."""
    if proof is None:
        return set()
    # of another type or length nothing is looked at: `bytes` takes a number for a size, and makes that many
    fits = proof.dtype == np.object_ and proof.size <= images
    values = proof.reshape(-1).tolist() if fits else []
    texts = [one.decode("ascii", "replace") if isinstance(one, bytes) else one for one in values]
    if not fits or not all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in texts):
        raise EngineResponseError(
            f"Model {card.id}: output {DIGEST_OUTPUT} is {(proof.dtype.name, proof.shape)} and no digest, expected "
            f"BYTES of 64 hex digits for {images} images.",
            code="BAD_ANSWER",
        )
    return set(texts)


def _columns(card: ModelCard) -> int:
    # plain DETR has one more class: no object
    return len(card.classes) + (card.family == "detr")


def _tensor(card: ModelCard, answer: Reply, name: str) -> Any:
    try:
        return answer.tensor(name)
    except Exception as error:
        # the client raises its own class, struct.error and several of Python's for data that is cut or garbled
        raise EngineResponseError(
            f"Model {card.id}: output {name} does not fit its shape: {error}.", code="BAD_SHAPE"
        ) from error


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _shapes(listed: Any) -> dict[str, list[Any]]:
    """Read names and shapes of described tensors; what has no name is left out."""
    tensors = [_object(one) for one in listed] if isinstance(listed, list) else []
    return {
        one["name"]: one["shape"] if isinstance(one.get("shape"), list) else []
        for one in tensors
        if isinstance(one.get("name"), str)
    }
