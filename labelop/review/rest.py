"""JSON over HTTP with one server, held to what a client may rely on: bounded, repeated only where that does no harm.

The token travels in a header, never in an address; redirects are not followed, so it reaches no other host, and what
the environment says of proxies is not heard. Knows no labelling tool.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from labelop.egress.address import shown
from labelop.errors import ReviewFormatError, ReviewServerError, ReviewServerRefusedError
from labelop.review.annotation_forms import shown as shown_text
from labelop.strict_text import read_json

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Largest answer that is read."""
TRIES = 5
"""Times a request is made that may be repeated."""
FIRST_SECONDS, MOST_SECONDS = 0.5, 30.0
"""Longest first rest between two tries, and longest of all; drawn evenly from nothing up (full jitter)."""

_CONNECT_SECONDS = 10.0
_BUSY = 429
_LATER = frozenset({408, _BUSY, 500, 502, 503, 504})
_NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Rest:
    """A server's JSON interface.

    Args:
        url: Its address, http(s).
        token: Sent as `Authorization: Token ...`.
        timeout_seconds: Longest wait for a whole answer.
        sleep: Rests; a test hands in its own.
        draw: Gives a number of seconds between two, even.
        transport: Replaces the network in tests.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_seconds: float = 60.0,
        sleep: Callable[[float], object] = time.sleep,
        draw: Callable[[float, float], float] = random.uniform,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name = shown(url)
        self._timeout_seconds = timeout_seconds
        self._sleep, self._draw = sleep, draw
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Token {token}", "Accept": "application/json", "Accept-Encoding": "identity"},
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None, *, seconds: float | None = None) -> Any:
        """Ask, again and again while the server is busy or away.

        Raises:
            ReviewServerError: It stays so.
            ReviewServerRefusedError: It refuses.
            ReviewFormatError: It does not answer in JSON.
        """
        return self._repeated("GET", path, params=params, seconds=seconds)

    def delete(self, path: str) -> None:
        """Remove something; that it is gone already is as good.

        Raises:
            ReviewServerError: Nobody answered, so it may still be there.
            ReviewServerRefusedError: The server refuses.
        """
        self._repeated("DELETE", path, accepted=frozenset({404}))

    def post(self, path: str, body: Any, *, seconds: float | None = None) -> Any:
        """Change something; repeated only while it is sure that the server did nothing.

        Raises:
            ReviewServerError: It is not known whether the server did it: the caller has to look.
            ReviewServerRefusedError: The server refuses.
        """
        content = json.dumps(body, allow_nan=False).encode()
        return self._repeated("POST", path, content=content, seconds=seconds, is_safe=False)

    def _repeated(self, method: str, path: str, *, is_safe: bool = True, **request: Any) -> Any:
        for tried in range(1, TRIES + 1):
            try:
                return self._once(method, path, **request)
            except _Again as again:
                if tried == TRIES or not (is_safe or again.did_nothing):
                    raise again.error from again.__cause__
                rest = self._draw(0.0, min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** (tried - 1)))
                self._sleep(max(rest, min(again.wait_seconds, MOST_SECONDS)))
        raise AssertionError  # the last try returns or raises

    def _once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        seconds: float | None = None,
        accepted: frozenset[int] = frozenset(),
    ) -> Any:
        limit = seconds or self._timeout_seconds
        where = f"{method} {path} of {self.name}"
        deadline = time.monotonic() + limit
        try:
            with self._client.stream(
                method,
                path,
                params=params,
                content=content,
                headers={"Content-Type": "application/json"} if content is not None else None,
                timeout=httpx.Timeout(limit, connect=min(limit, _CONNECT_SECONDS)),
            ) as answer:
                body = _whole(answer, deadline, where)
        except httpx.HTTPError as error:
            lost = ReviewServerError(
                f"{where} got no whole answer: {type(error).__name__}.",
                hint="See that the server runs and that LABELOP_LABEL_STUDIO_URL is its address.",
            )
            raise _Again(lost, did_nothing=isinstance(error, _NEVER_ARRIVED)) from error
        if answer.status_code in _LATER:
            busy = ReviewServerError(f"{where} was answered with {answer.status_code}: {_said(body)}.")
            raise _Again(
                busy, did_nothing=answer.status_code == _BUSY, wait_seconds=_wait(answer.headers.get("Retry-After"))
            )
        if answer.status_code in accepted:
            return None
        if not answer.is_success:
            hint = "The token is not good for this." if answer.status_code in {401, 403} else ""
            raise ReviewServerRefusedError(f"{where} was answered with {answer.status_code}: {_said(body)}.", hint=hint)
        try:
            return read_json(body, MAX_ANSWER_BYTES) if body else None
        except ValueError as error:
            raise ReviewFormatError(f"The answer to {where} {shown_text(str(error))}.") from error


class _Again(Exception):  # noqa: N818 - never leaves this module
    """A request that may go well another time."""

    def __init__(self, error: ReviewServerError, *, did_nothing: bool, wait_seconds: float = 0.0) -> None:
        super().__init__(error)
        self.error = error
        self.did_nothing = did_nothing
        self.wait_seconds = wait_seconds


def _whole(answer: httpx.Response, deadline: float, where: str) -> bytes:
    """Read an answer within its time and size; the client itself bounds the wait for the next byte only."""
    parts: list[bytes] = []
    size = 0
    for part in answer.iter_bytes():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise ReviewServerRefusedError(f"The answer to {where} has more than {MAX_ANSWER_BYTES} bytes.")
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer drips in")
        parts.append(part)
    return b"".join(parts)


def _wait(text: str | None) -> float:
    """Read Retry-After in seconds; a date, which none of these servers writes, counts as nothing."""
    return float(text) if text and text.isascii() and text.isdigit() else 0.0


def _said(body: bytes) -> str:
    try:
        found = read_json(body, MAX_ANSWER_BYTES)
    except ValueError:
        return "no JSON"
    if not isinstance(found, dict):
        return "no reason"
    return shown_text(str(found.get("validation_errors") or found.get("detail") or "no reason"))
