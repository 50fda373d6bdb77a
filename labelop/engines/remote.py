"""Runs a model behind an Open Inference Protocol v2 server; takes released images and nothing else.

Retries, limits and checks, for every transport alike. Knows no policy: a `Released` is the proof that one agreed.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.egress.gate import Released
from labelop.egress.release_token import refusal_in
from labelop.engines import leaving
from labelop.engines.answers import DIGEST_OUTPUT, Description, check_description, read_answer
from labelop.engines.base import OUTPUTS, RawOutputs
from labelop.engines.breaker import CircuitBreaker
from labelop.engines.transport import Question, RefusedError, Reply, Transport
from labelop.errors import (
    CatalogError,
    EngineError,
    EngineResponseError,
    EngineTimeoutError,
    EngineUnavailableError,
    LabelopError,
    MissingExtraError,
    ModelInputError,
    SettingsError,
)

T = TypeVar("T")

ATTEMPTS = 3
"""Tries per request, the first included."""
TIMEOUT_SECONDS = 60.0
"""Longest wait for one answer, from the first byte sent to the last one read."""
REQUESTS = 4
"""Most requests under way at once, over all threads of one client."""

_PAUSE_SECONDS = 0.2
_READY_HINT = "Is the inference server running?"
_TLS_FAULTS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")
"""Words of the TLS library for what no retry heals."""


@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """What one request brought back."""

    raw: RawOutputs
    """The raw tensors of the model's task."""
    sent_bytes: int
    """Size of the request's body or message."""
    received_bytes: int
    """Size of the answer's body or message."""


class RemoteEngine:
    """Client of one server; safe to call from several threads.

    Args:
        endpoint: Base URL: http or https for HTTP with binary tensors, grpc or grpcs for gRPC.
        placement: The only placement whose releases it sends.
        timeout_seconds: Longest wait for one answer; all tries of a request and the pauses between them end within
            `attempts` times that.
        attempts: Tries per request.
        requests: Most requests under way at once; further threads wait.
        compress: Send bodies as gzip; for other payloads than JPEG, which it does not make smaller.
        check: Looks at each release once more before it is sent, and raises `ReleaseRefusedError`; see `Gate.check`.
        breaker: Stops asking a dead server; one with the usual limits when None.
        pause: Waits between tries; a test hands in its own.
        clock: Monotonic seconds; a test hands in its own.

    Raises:
        SettingsError: The endpoint is no URL.
        MissingExtraError: The endpoint is gRPC, whose library is not installed.
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
        check: Callable[[Released], object] | None = None,
        breaker: CircuitBreaker | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = _transport(endpoint, compress=compress)
        self.endpoint = endpoint
        self.placement = placement
        self.is_loopback = urlsplit(endpoint).hostname in ("127.0.0.1", "::1", "localhost")
        self._timeout_seconds = timeout_seconds
        self._attempts = attempts
        self._check = check
        self._breaker = breaker or CircuitBreaker()
        self._slots = threading.BoundedSemaphore(requests)
        self._pause = pause
        self._clock = clock
        self._described: dict[str, Description] = {}

    def open(self, cards: Sequence[ModelCard]) -> None:
        """Wait until the server has loaded models, before any image is prepared for it.

        Raises:
            CatalogError, SettingsError, EngineUnavailableError, EngineTimeoutError: As `forward`.
        """
        for card in cards:
            self._try(card, partial(self._describe, card))

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
            SettingsError: The server does not admit this client, is elsewhere, or fails to prove who it is.
            ModelInputError: The server refused the request, or a release is not good for its image: then `code` begins
                with `RELEASE_`, and `refused` says where.
            EngineResponseError: The answer is not what was asked for.
            EngineUnavailableError: Nobody answered, after every try.
            EngineTimeoutError: The answer came too late, after every try.
        """
        for one in released:
            # runtime checks beside the type: these are the last lines before bytes leave
            leaving.hold_to_type(one, self.placement)
            if self._check is not None:
                leaving.look_again(self._check, one)
        images = [one.payload for one in released]
        prompts = None if boxes is None else np.ascontiguousarray(boxes[None], dtype=np.float32)

        def ask(seconds: float) -> Reply:
            started = self._clock()
            said = self._describe(card, seconds)
            names = [*OUTPUTS[card.task], *([DIGEST_OUTPUT] if said.proves_digest else [])]
            tokens = [one.token for one in released] if said.wants_release else []
            left = max(0.001, seconds - (self._clock() - started))
            return self._transport.infer(Question(card.id, images, prompts, names, tokens), left)

        reply = self._try(card, ask)
        raw = read_answer(card, reply, len(released), None if boxes is None else len(boxes))
        return RemoteAnswer(raw, reply.sent_bytes, reply.received_bytes)

    def ready(self) -> bool:
        """Ask whether the server answers; False when it does not."""
        try:
            self._transport.ready(None, self._timeout_seconds)
        except (RefusedError, OSError, ValueError):
            return False
        return True

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def _describe(self, card: ModelCard, seconds: float) -> Description:
        """Check once what the server says of a model and wait for it."""
        if card.digest in self._described:
            return self._described[card.digest]
        said = self._asked(partial(self._transport.describe, card.id, seconds))
        described = check_description(card, said if isinstance(said, dict) else {})
        # a server may load a model when it is asked for readiness, or at the first answer
        self._asked(partial(self._transport.ready, card.id, seconds))
        self._described[card.digest] = described
        return described

    def _asked(self, call: Callable[[], Any]) -> Any:
        """Ask what the protocol lets a server go without; its answers are checked all the same."""
        try:
            return call()
        except RefusedError as error:
            if error.kind in {"busy", "not_admitted", "redirected"}:
                raise
            return None

    def _try(self, card: ModelCard, call: Callable[[float], T]) -> T:
        where = f"Model {card.id} at {self.endpoint}"
        end = self._clock() + self._attempts * self._timeout_seconds
        attempt = 0
        while True:
            attempt += 1
            with self._slots:
                self._breaker.enter(where)  # an open circuit is no try: it ends the request at once
                try:
                    answered = self._once(where, call, min(self._timeout_seconds, max(0.001, end - self._clock())))
                except EngineError as error:
                    if not error.retryable:
                        self._breaker.succeeded()
                        raise
                    self._breaker.failed()
                    # full jitter: many workers that lost one server must not come back together
                    pause = random.uniform(0, _PAUSE_SECONDS * 2**attempt)  # noqa: S311 - no secret
                    pause += error.context.get("after_seconds") or 0.0
                    if attempt == self._attempts or self._clock() + pause >= end:
                        raise
                except BaseException:
                    # the server answered with a fault of the set-up, or this process is being stopped
                    self._breaker.succeeded()
                    raise
                else:
                    self._breaker.succeeded()
                    return answered
            self._pause(pause)

    def _once(self, where: str, call: Callable[[float], T], seconds: float) -> T:
        try:
            return call(seconds)
        except RefusedError as error:
            raise _refusal(where, error) from error
        except TimeoutError as error:
            raise EngineTimeoutError(f"{where} did not answer within {self._timeout_seconds} seconds.") from error
        except OSError as error:
            if any(words in str(error) for words in _TLS_FAULTS):
                raise SettingsError(
                    f"{where} cannot be reached safely: {error}.",
                    hint="Check the address in LABELOP_CLOUD_URL and the server's certificate.",
                ) from error
            raise EngineUnavailableError(f"{where} cannot be reached: {error}.", hint=_READY_HINT) from error
        except (ValueError, KeyError, TypeError) as error:
            raise EngineResponseError(f"{where} answered something unreadable: {error}.", code="BAD_ANSWER") from error


def _transport(endpoint: str, *, compress: bool) -> Transport:
    parts = urlsplit(endpoint)
    if parts.hostname and parts.scheme in ("http", "https"):
        from labelop.engines.over_http import HttpTransport  # noqa: PLC0415 - one of two libraries is needed

        return HttpTransport(endpoint, compress=compress)
    if parts.hostname and parts.scheme in ("grpc", "grpcs"):
        try:
            from labelop.engines.over_grpc import GrpcTransport  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingExtraError(
                f"Cloud endpoint {endpoint!r} needs gRPC, which is not installed: {error}.",
                hint="Install labelop[grpc], or give the server's HTTP address.",
            ) from error
        return GrpcTransport(endpoint, compress=compress)
    raise SettingsError(
        f"Cloud endpoint {endpoint!r} is no address; http://host:port or grpc://host:port is expected.",
        hint="Set LABELOP_CLOUD_URL, or leave it empty for the loopback server.",
    )


def _refusal(where: str, error: RefusedError) -> LabelopError:
    said = f"(status {error.status}): {error.text}."
    code = refusal_in(error.text)
    facts = {"release_code": code, "refused": "refused_at_far_end"} if code else {}
    match error.kind:
        case "busy":
            return EngineUnavailableError(
                f"{where} is not ready {said}", hint=_READY_HINT, after_seconds=error.after_seconds
            )
        # faults of the set-up end the run: as failures of single images they would be landed for good
        case "not_served":
            return CatalogError(f"{where} is not served: {error.text}.", hint="Start the server with the same catalog.")
        case "not_admitted":
            return SettingsError(f"{where} does not admit this client {said}", **facts)
        case "redirected":
            return SettingsError(
                f"{where} is said to be elsewhere {said}", hint="Images go to LABELOP_CLOUD_URL only; check it."
            )
        case "bad_input":
            reason = f"RELEASE_{code}" if code else "BAD_INPUT"
            return ModelInputError(f"{where} refused the request: {error.text}.", code=reason, **facts)
        case "failed":
            return EngineResponseError(f"{where} failed {said}", code="SERVER_FAILED")
