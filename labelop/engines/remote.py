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
from labelop.engines import leaving
from labelop.engines.answers import DIGEST_OUTPUT, Description, check_description, read_answer
from labelop.engines.base import OUTPUTS, RawOutputs
from labelop.engines.breaker import CircuitBreaker
from labelop.engines.reach import HINT, open_transport, told
from labelop.engines.transport import Question, RefusedError, Travelled
from labelop.errors import EngineError, EngineResponseError, EngineUnavailableError

T = TypeVar("T")

ATTEMPTS = 3
"""Tries per request, the first included."""
TIMEOUT_SECONDS = 60.0
"""Longest wait for one answer, from the first byte sent to the last one read."""
REQUESTS = 4
"""Most requests under way at once, over all threads of one client."""

_PAUSE_SECONDS = 0.2
_DOUBLINGS = 6
"""How often a pause doubles at most; then it is as long as a circuit rests."""


@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """What one request brought back."""

    raw: RawOutputs
    """The raw tensors of the model's task."""
    sent_bytes: int
    """Sizes of the request's bodies or messages, one for each try."""
    received_bytes: int
    """Sizes of the answers' bodies or messages."""


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
        self._transport = open_transport(endpoint, compress=compress)
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

        A server that says it is not ready is asked again until all tries' time is over.

        Raises:
            CatalogError, SettingsError, EngineUnavailableError, EngineTimeoutError: As `forward`.
        """
        for card in cards:
            self._try(card, partial(self._describe, card), patient=True)

    def forward(
        self,
        card: ModelCard,
        released: Sequence[Released],
        boxes: NDArray[np.float32] | None = None,
        travelled: Travelled | None = None,
    ) -> RemoteAnswer:
        """Send released images through a model.

        Args:
            card: The model; the server must run the same digest when it names one.
            released: Images, one for a segmenter.
            boxes: Prompts of a segmenter, shape (b, 4), xyxy pixels of the model's frame.
            travelled: Where the bytes of every try are added up, also when none of them succeeds.

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
            leaving.hold_to_pixels(one)
        images = [one.payload for one in released]
        prompts = None if boxes is None else np.ascontiguousarray(boxes[None], dtype=np.float32)

        moved = Travelled() if travelled is None else travelled

        def ask(seconds: float) -> RawOutputs:
            started = self._clock()
            said = self._describe(card, seconds)
            names = [*OUTPUTS[card.task], *([DIGEST_OUTPUT] if said.proves_digest else [])]
            tokens = [one.token for one in released] if said.wants_release else []
            left = max(0.001, seconds - (self._clock() - started))
            reply = self._transport.infer(Question(card.id, images, prompts, names, tokens), left, moved)
            return read_answer(card, reply, len(released), None if boxes is None else len(boxes))

        raw = self._try(card, ask)
        return RemoteAnswer(raw, moved.sent_bytes, moved.received_bytes)

    def ready(self) -> bool:
        """Ask whether the server answers; False when it does not."""
        try:
            with self._slots:
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
        try:
            # a server may load a model when it is asked for readiness, or at the first answer
            self._asked(partial(self._transport.ready, card.id, seconds))
        except RefusedError as error:
            if error.kind != "not_ready" or said is not None:
                raise
            # one that is loading and one that nobody knows look alike, unless the server itself is still starting
            self._asked(partial(self._transport.ready, None, seconds))
        self._described[card.digest] = described
        return described

    def _asked(self, call: Callable[[], Any]) -> Any:
        """Ask what the protocol lets a server go without; its answers are checked all the same."""
        try:
            return call()
        except RefusedError as error:
            if error.kind in {"not_served", "bad_input"}:
                return None
            if error.kind == "failed":
                # no image was sent yet, so none is at fault
                raise self._undescribed(f"(status {error.status}): {error.text}") from error
            raise
        except ValueError as error:
            raise self._undescribed(f"readably: {error}") from error

    def _undescribed(self, why: str) -> EngineUnavailableError:
        return EngineUnavailableError(f"The server at {self.endpoint} does not describe its models {why}.", hint=HINT)

    def _try(self, card: ModelCard, call: Callable[[float], T], *, patient: bool = False) -> T:
        """Ask until there is an answer; a patient caller waits for a server that is loading until the deadline."""
        where = f"Model {card.id} at {self.endpoint}"
        end = self._clock() + self._attempts * self._timeout_seconds
        attempt, loading = 0, False
        while True:
            attempt += 1
            queued = self._clock()
            with self._slots:
                end += self._clock() - queued  # whoever held the slot had that time, not this request
                try:
                    return self._heard(where, call, min(self._timeout_seconds, max(0.001, end - self._clock())))
                except EngineError as error:
                    closed = "circuit" in error.context
                    loading = patient and ("loading" in error.context or (loading and closed))
                    # an open circuit is no try: it ends the request at once
                    if not error.retryable or (closed and not loading):
                        raise
                    # full jitter: many workers that lost one server must not come back together
                    pause = random.uniform(0, _PAUSE_SECONDS * 2 ** min(attempt, _DOUBLINGS))  # noqa: S311 - no secret
                    pause += error.context.get("after_seconds") or 0.0
                    if (attempt >= self._attempts and not loading) or self._clock() + pause >= end:
                        raise
            self._pause(pause)

    def _heard(self, where: str, call: Callable[[float], T], seconds: float) -> T:
        """Ask once, if the circuit lets it, and tell it how that went."""
        self._breaker.enter(where)
        try:
            with told(where, self._timeout_seconds):
                answered = call(seconds)
        except EngineError as error:
            # a server that fails at everything is as good as none; one that refuses a request has answered it
            if error.retryable or isinstance(error, EngineResponseError):
                self._breaker.failed(error.message)
            else:
                self._breaker.succeeded()
            raise
        except BaseException:
            # the server answered with a fault of the set-up, or this process is being stopped
            self._breaker.succeeded()
            raise
        self._breaker.succeeded()
        return answered
