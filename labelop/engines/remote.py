"""Runs a model behind an Open Inference Protocol v2 server; takes released images and nothing else.

The only module that knows the protocol's client library. Knows no policy: a `Released` is the proof that one agreed.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import tritonclient.http as protocol
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from labelop.catalog.cards import ModelCard
from labelop.egress.gate import Released
from labelop.engines.base import OUTPUTS, RawOutputs
from labelop.errors import (
    CatalogError,
    ConfigurationError,
    EngineError,
    EngineResponseError,
    EngineTimeoutError,
    EngineUnavailableError,
    ModelInputError,
    PlacementForbiddenError,
    SettingsError,
)

ATTEMPTS = 3
"""Tries per request, the first included."""
TIMEOUT_SECONDS = 60.0
"""Longest wait for one answer."""

_PAUSE_SECONDS = 0.2
_BUSY = frozenset({"429", "502", "503", "504"})
_NOT_SERVED = frozenset({"404", "501"})
_NOT_ADMITTED = frozenset({"401", "403"})


@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """What one request brought back."""

    raw: RawOutputs
    """The raw tensors of the model's task."""
    sent_bytes: int
    """Size of the request's body."""
    received_bytes: int
    """Size of the answer's body."""


class RemoteEngine:
    """Client of one server; safe to call from several threads.

    Args:
        endpoint: Base URL, http or https.
        placement: The only placement whose releases it sends.
        timeout_seconds: Longest wait for one answer.
        attempts: Tries per request.
        pause: Waits between tries; a test hands in its own.

    Raises:
        SettingsError: The endpoint is no URL.
    """

    name = "remote"

    def __init__(
        self,
        endpoint: str,
        *,
        placement: str = "cloud",
        timeout_seconds: float = TIMEOUT_SECONDS,
        attempts: int = ATTEMPTS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(
                f"Cloud endpoint {endpoint!r} is no address; http://host:port is expected.",
                hint="Set LABELOP_CLOUD_URL, or leave it empty for the loopback server.",
            )
        self.endpoint = endpoint
        self.placement = placement
        self.is_loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
        self._secure = parts.scheme == "https"
        self._address = parts.netloc + parts.path.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._attempts = attempts
        self._pause = pause
        self._local = threading.local()
        self._clients: list[Any] = []
        self._lock = threading.Lock()

    def forward(
        self, card: ModelCard, released: Sequence[Released], boxes: NDArray[np.float32] | None = None
    ) -> RemoteAnswer:
        """Send released images through a model.

        Args:
            card: The model; the server must run the same digest when it names one.
            released: Images, one for a segmenter.
            boxes: Prompts of a segmenter, shape (b, 4), xyxy pixels of the model's frame.

        Raises:
            PlacementForbiddenError: An image was released for another placement.
            CatalogError: The server has not this model, or another one under its name.
            SettingsError: The server does not admit this client.
            ModelInputError: The server refused the request.
            EngineResponseError: The answer is not what was asked for.
            EngineUnavailableError: Nobody answered, after every try.
            EngineTimeoutError: The answer came too late, after every try.
        """
        for one in released:
            # a runtime check beside the type: this is the last line before bytes leave
            if type(one) is not Released or one.placement != self.placement:
                raise PlacementForbiddenError(
                    f"An image without a release for {self.placement} reached the cloud engine."
                )
        inputs = [_input("image", np.array([one.payload for one in released], dtype=np.object_), "BYTES")]
        if boxes is not None:
            inputs.append(_input("boxes", np.ascontiguousarray(boxes[None], dtype=np.float32), "FP32"))
        outputs = [protocol.InferRequestedOutput(name, binary_data=True) for name in OUTPUTS[card.task]]
        body, _ = protocol.InferenceServerClient.generate_request_body(inputs, outputs=outputs)
        answer = self._try(card, inputs, outputs)
        raw, received = _read(card, answer, len(released))
        return RemoteAnswer(raw, len(body), received)

    def ready(self) -> bool:
        """Ask whether the server answers; False when it does not."""
        try:
            return bool(self._client().is_server_ready())
        except (InferenceServerException, OSError, HTTPException):
            return False

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for client in self._clients:
                client.close()
            self._clients.clear()
            self._local = threading.local()

    def _client(self) -> Any:
        # the client library is not thread safe, so each thread has its own
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = protocol.InferenceServerClient(
                self._address,
                ssl=self._secure,
                connection_timeout=min(5.0, self._timeout_seconds),
                network_timeout=self._timeout_seconds,
            )
            with self._lock:
                self._clients.append(client)
        return client

    def _try(self, card: ModelCard, inputs: list[Any], outputs: list[Any]) -> Any:
        for attempt in range(1, self._attempts + 1):
            try:
                return self._ask(card, inputs, outputs)
            except EngineError as error:
                if not error.retryable or attempt == self._attempts:
                    raise
            # full jitter: many workers that lost one server must not come back together
            self._pause(random.uniform(0, _PAUSE_SECONDS * 2**attempt))  # noqa: S311 - no secret
        raise AssertionError("unreachable: attempts is at least 1")

    def _ask(self, card: ModelCard, inputs: list[Any], outputs: list[Any]) -> Any:
        where = f"Model {card.id} at {self.endpoint}"
        try:
            return self._client().infer(card.id, inputs, outputs=outputs)
        except InferenceServerException as error:
            raise self._refusal(where, error) from error
        except TimeoutError as error:
            raise EngineTimeoutError(f"{where} did not answer within {self._timeout_seconds} seconds.") from error
        except (OSError, HTTPException) as error:
            # the second is a connection that broke off inside an answer
            raise EngineUnavailableError(
                f"{where} cannot be reached: {error}.", hint="Is the inference server running?"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise EngineResponseError(f"{where} answered something unreadable: {error}.", code="BAD_ANSWER") from error

    def _refusal(self, where: str, error: Any) -> EngineError | ConfigurationError:
        status, text = str(error.status() or ""), str(error.message() or "")[:300]
        if status in _BUSY:
            return EngineUnavailableError(f"{where} is not ready (status {status}): {text}.")
        # faults of the set-up end the run: as failures of single images they would be landed for good
        if status in _NOT_SERVED:
            return CatalogError(f"{where} is not served: {text}.", hint="Start the server with the same catalog.")
        if status in _NOT_ADMITTED:
            return SettingsError(f"{where} does not admit this client (status {status}): {text}.")
        if status == "400":
            return ModelInputError(f"{where} refused the request: {text}.", code="BAD_INPUT")
        return EngineResponseError(f"{where} failed (status {status}): {text}.", code="SERVER_FAILED")


def _input(name: str, value: NDArray[Any], datatype: str) -> Any:
    tensor = protocol.InferInput(name, list(value.shape), datatype)
    tensor.set_data_from_numpy(value, binary_data=True)
    return tensor


def _read(card: ModelCard, answer: Any, images: int) -> tuple[RawOutputs, int]:
    """Check an answer and measure it."""
    message = answer.get_response()
    claimed = (message.get("parameters") or {}).get("model_digest")
    if claimed not in (None, card.digest):
        raise CatalogError(
            f"Model {card.id}: the server runs digest {claimed}, the card is {card.digest}.",
            hint="Give both sides the same catalog.",
        )
    received = len(json.dumps(message, separators=(",", ":")))
    raw: dict[str, NDArray[np.float32]] = {}
    for name in OUTPUTS[card.task]:
        try:
            value = answer.as_numpy(name)
        except (ValueError, KeyError, TypeError) as error:
            raise EngineResponseError(
                f"Model {card.id}: output {name} does not fit its shape: {error}.", code="BAD_SHAPE"
            ) from error
        if value is None or value.dtype != np.float32 or value.ndim == 0 or len(value) != images:
            form = None if value is None else (value.dtype.name, value.shape)
            raise EngineResponseError(
                f"Model {card.id}: output {name} is {form}, expected float32 for {images} images.", code="BAD_SHAPE"
            )
        received += value.nbytes
        raw[name] = value
    return raw, received
