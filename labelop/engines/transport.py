"""What a way to reach an inference server must do, so that retries, limits and checks are written once for all of them.

Knows no model, no policy and no library that talks to a network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

MAX_ANSWER_BYTES = 512 * 1024 * 1024
"""Largest answer taken; a segmenter's of some hundred boxes is a fifth of it."""

Kind = Literal["busy", "not_ready", "not_served", "not_admitted", "bad_input", "redirected", "failed"]


class RefusedError(Exception):
    """The server answered, but not with what was asked for.

    Args:
        kind: What it means.
        status: The transport's own word for it.
        text: The server's sentence.
        after_seconds: How long it asks to be left alone, None when it does not say.
    """

    def __init__(self, kind: Kind, status: str, text: str, after_seconds: float | None = None) -> None:
        super().__init__(kind, status, text, after_seconds)
        self.kind = kind
        self.status = status
        self.text = text[:300]
        self.after_seconds = after_seconds


@dataclass(frozen=True, slots=True)
class Question:
    """One request."""

    model: str
    """Id of the model."""
    images: Sequence[bytes]
    """Encoded images, one a row: a server that batches counts rows."""
    boxes: NDArray[np.float32] | None
    """Prompts of a segmenter, shape (1, b, 4), xyxy pixels of the model's frame; None for other tasks."""
    outputs: Sequence[str]
    """Names of the outputs wanted."""
    releases: Sequence[str] = ()
    """Signed release of each image, as the input `release`; empty for a server that does not ask for them."""


@dataclass(slots=True)
class Travelled:
    """Bytes on the wire, counted as they go: a try that fails has cost them too."""

    sent_bytes: int = 0
    """Bodies or messages of requests that may have reached the server; with gRPC before packing."""
    received_bytes: int = 0
    """Bodies or messages of answers, refusals included."""
    requests_count: int = 0
    """Requests that may have reached the server."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, not yet checked."""

    message: Mapping[str, Any]
    """`parameters` and `outputs` (name, datatype, shape) as the protocol's JSON writes them."""
    tensor: Callable[[str], Any]
    """Gives an output as an array, None when it is not there; raises anything when it does not fit its shape."""


class Transport(Protocol):
    """A way to one server; safe to call from several threads.

    Every call ends within `timeout_seconds`, dripping servers included, and raises `RefusedError`, `TimeoutError`,
    another `OSError` when the server cannot be reached, or `ValueError` when its answer cannot be read or is too large.
    """

    def ready(self, model: str | None, timeout_seconds: float) -> None:
        """Ask whether a model, or with None the server, can answer; returns when it can, else raises `not_ready`."""
        ...

    def describe(self, model: str, timeout_seconds: float) -> Any:
        """Ask for a model's metadata in the protocol's JSON form."""
        ...

    def infer(self, question: Question, timeout_seconds: float, travelled: Travelled) -> Reply:
        """Run a model; what travels for it is added up, whether it ends well or not."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
