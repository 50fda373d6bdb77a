"""Runs a model behind an Open Inference Protocol v2 server; takes released images and nothing else.

The only module that knows the protocol's client library. Knows no policy: a `Released` is the proof that one agreed.
"""

from __future__ import annotations

import gzip
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import gevent
import numpy as np
import tritonclient.http as protocol
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from labelop.catalog.cards import ModelCard
from labelop.egress.gate import Released
from labelop.engines.answers import DIGEST_OUTPUT, check_description, read_answer
from labelop.engines.base import OUTPUTS, RawOutputs
from labelop.engines.breaker import CircuitBreaker
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
"""Longest wait for one answer, from the first byte sent to the last one read."""
REQUESTS = 4
"""Most requests under way at once, over all threads of one client."""

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
    """Size of the request's body as sent."""
    received_bytes: int
    """Size of the answer's body."""


class RemoteEngine:
    """Client of one server; safe to call from several threads.

    Args:
        endpoint: Base URL, http or https.
        placement: The only placement whose releases it sends.
        timeout_seconds: Longest wait for one answer.
        attempts: Tries per request.
        requests: Most requests under way at once; further threads wait.
        compress: Send bodies as gzip; for other payloads than JPEG, which it does not make smaller.
        breaker: Stops asking a dead server; one with the usual limits when None.
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
        requests: int = REQUESTS,
        compress: bool = False,
        breaker: CircuitBreaker | None = None,
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
        self._compress = compress
        self._breaker = breaker or CircuitBreaker()
        self._slots = threading.BoundedSemaphore(requests)
        self._pause = pause
        self._described: dict[str, bool] = {}
        self._first: dict[str, float] = {}
        self._quickest: dict[str, float] = {}
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
        # one image a row: a server that batches counts rows
        inputs = [_input("image", np.array([[one.payload] for one in released], dtype=np.object_), "BYTES")]
        if boxes is not None:
            inputs.append(_input("boxes", np.ascontiguousarray(boxes[None], dtype=np.float32), "FP32"))
        answer, sent = self._try(card, inputs)
        raw, received = read_answer(card, answer, len(released), None if boxes is None else len(boxes))
        return RemoteAnswer(raw, sent, received)

    @property
    def cold_start_seconds(self) -> float:
        """Seconds that the first answer of each model took more than its quickest later one; 0 before there is one."""
        with self._lock:
            return sum(first - self._quickest[model] for model, first in self._first.items())

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

    def _try(self, card: ModelCard, inputs: list[Any]) -> tuple[Any, int]:
        where = f"Model {card.id} at {self.endpoint}"
        for attempt in range(1, self._attempts + 1):
            with self._slots:
                self._breaker.enter(where)  # an open circuit is no try: it ends the request at once
                try:
                    answered = self._ask(where, card, inputs)
                except EngineError as error:
                    if not error.retryable:
                        self._breaker.succeeded()
                        raise
                    self._breaker.failed()
                    if attempt == self._attempts:
                        raise
                except BaseException:
                    # the server answered with a fault of the set-up, or this process is being stopped
                    self._breaker.succeeded()
                    raise
                else:
                    self._breaker.succeeded()
                    return answered
            # full jitter: many workers that lost one server must not come back together
            self._pause(random.uniform(0, _PAUSE_SECONDS * 2**attempt))  # noqa: S311 - no secret
        raise AssertionError("unreachable: attempts is at least 1")

    def _ask(self, where: str, card: ModelCard, inputs: list[Any]) -> tuple[Any, int]:
        started = time.perf_counter()
        try:
            # the client's own timeout starts anew with each byte: a server that drips would never be late
            with gevent.Timeout(self._timeout_seconds, TimeoutError("too late")):
                names = [*OUTPUTS[card.task], *([DIGEST_OUTPUT] if self._describe(card) else [])]
                outputs = [protocol.InferRequestedOutput(name, binary_data=True) for name in names]
                sent = self._size(inputs, outputs)
                coding = "gzip" if self._compress else None
                answer = self._client().infer(card.id, inputs, outputs=outputs, request_compression_algorithm=coding)
        except InferenceServerException as error:
            raise self._refusal(where, error) from error
        except TimeoutError as error:
            self._forget()
            raise EngineTimeoutError(f"{where} did not answer within {self._timeout_seconds} seconds.") from error
        except (OSError, HTTPException) as error:
            # the second is a connection that broke off inside an answer
            self._forget()
            raise EngineUnavailableError(
                f"{where} cannot be reached: {error}.", hint="Is the inference server running?"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise EngineResponseError(f"{where} answered something unreadable: {error}.", code="BAD_ANSWER") from error
        self._note(card.id, time.perf_counter() - started)
        return answer, sent

    def _describe(self, card: ModelCard) -> bool:
        """Check once what the server says of the model; answers whether it proves its digest by an output."""
        if card.digest not in self._described:
            try:
                said = self._client().get_model_metadata(card.id)
            except InferenceServerException as error:
                if str(error.status() or "") in _BUSY:
                    raise
                said = {}  # the protocol lets a server go without metadata; its answers are checked all the same
            self._described[card.digest] = check_description(card, said if isinstance(said, dict) else {})
        return self._described[card.digest]

    def _size(self, inputs: list[Any], outputs: list[Any]) -> int:
        body, _ = protocol.InferenceServerClient.generate_request_body(inputs, outputs=outputs)
        return len(gzip.compress(body) if self._compress else body)

    def _note(self, model: str, seconds: float) -> None:
        with self._lock:
            self._first.setdefault(model, seconds)
            self._quickest[model] = min(seconds, self._quickest.get(model, seconds))

    def _forget(self) -> None:
        """Drop this thread's connection: what is left in it belongs to a request that is over."""
        client, self._local.client = getattr(self._local, "client", None), None
        if client is not None:
            with self._lock, suppress(ValueError):
                self._clients.remove(client)
            client.close()

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
