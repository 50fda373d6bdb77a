"""Open Inference Protocol v2 over HTTP with binary tensors.

Messages are written and read by tritonclient; the connection is that of the HTTP library it brings, because its own
call hides `Retry-After`, the sizes on the wire and how large an answer is before all of it is in memory.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from queue import Empty, LifoQueue
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import gevent
import numpy as np
from geventhttpclient import HTTPClient
from geventhttpclient.header import Headers
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from labelop.engines.transport import MAX_ANSWER_BYTES, Kind, Question, RefusedError, Reply, Travelled

_LENGTH = "Inference-Header-Content-Length"
_CONNECT_SECONDS = 5.0
_BLOCK_BYTES = 1 << 16
MAX_TEXT_BYTES = 1 << 20
"""Largest description of a model taken."""
_MAX_HEADERS_BYTES = 1 << 16
"""Largest head of an answer taken."""
_KINDS: dict[int, Kind] = {
    400: "bad_input",
    401: "not_admitted",
    403: "not_admitted",
    404: "not_served",
    429: "busy",
    501: "not_served",
    502: "busy",
    503: "busy",
    504: "busy",
}


class HttpTransport:
    """Connections to one server: as many as calls run at once, each kept for the next call, all closed with it.

    Args:
        endpoint: Base URL, http or https.
        compress: Send bodies as gzip.
    """

    def __init__(self, endpoint: str, *, compress: bool = False) -> None:
        self._parts = urlsplit(endpoint)
        self._compress = compress
        self._idle: LifoQueue[_Line] = LifoQueue()

    def ready(self, model: str | None, timeout_seconds: float) -> None:
        """Ask for readiness; see `Transport.ready`."""
        try:
            self._get("/v2/health/ready" if model is None else f"{_path(model)}/ready", timeout_seconds)
        except RefusedError as error:
            if error.kind == "bad_input":
                # nothing was put in that could be bad: this is how Triton says no
                raise RefusedError("not_ready", error.status, error.text or "not ready") from error
            raise

    def describe(self, model: str, timeout_seconds: float) -> Any:
        """Ask for metadata; see `Transport.describe`."""
        body = self._get(_path(model), timeout_seconds)
        try:
            return json.loads(body)
        except RecursionError as error:
            raise ValueError("JSON that is nested too deeply") from error

    def infer(self, question: Question, timeout_seconds: float, travelled: Travelled) -> Reply:
        """Run a model; see `Transport.infer`."""
        inputs = [_input("image", np.array([[one] for one in question.images], dtype=np.object_), "BYTES")]
        if question.releases:
            tokens = np.array([[one.encode()] for one in question.releases], dtype=np.object_)
            inputs.append(_input("release", tokens, "BYTES"))
        if question.boxes is not None:
            inputs.append(_input("boxes", question.boxes, "FP32"))
        outputs = [InferRequestedOutput(name, binary_data=True) for name in question.outputs]
        body, size = InferenceServerClient.generate_request_body(inputs, outputs=outputs)
        headers = {} if size is None else {_LENGTH: str(size)}
        if self._compress:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        asked = _Asked("POST", self._at(f"{_path(question.model)}/infer"), body, headers, MAX_ANSWER_BYTES)
        length, answer = self._call(asked, timeout_seconds, travelled)
        try:
            found = InferenceServerClient.parse_response_body(
                answer, header_length=None if length is None else int(length)
            )
            message = found.get_response()
        except Exception as error:
            # the client raises its own class, RecursionError and several others of Python's for what is no answer
            raise ValueError(str(error) or type(error).__name__) from error
        return Reply(message, found.as_numpy)

    def close(self) -> None:
        """Close every connection."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _get(self, path: str, timeout_seconds: float) -> bytes:
        return self._call(_Asked("GET", self._at(path), b"", {}, MAX_TEXT_BYTES), timeout_seconds, Travelled())[1]

    def _at(self, path: str) -> str:
        return self._parts.path.rstrip("/") + path

    def _call(self, asked: _Asked, timeout_seconds: float, travelled: Travelled) -> tuple[Any, bytes]:
        """Send one request; answers the length of the answer's JSON part, where it says so, and its body."""
        try:
            line = self._idle.get_nowait()
        except Empty:
            line = _Line(self._parts)
        try:
            return line.ask(asked, timeout_seconds, travelled)
        finally:
            self._idle.put(line)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request as it goes out."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    most_bytes: int
    """Largest answer taken."""


class _Line:
    """One connection in a thread of its own, since gevent's sockets and timers belong to the thread that made them.

    In a caller's thread each would leave an event loop with its descriptors behind when that thread ends.
    """

    def __init__(self, parts: SplitResult) -> None:
        self._parts = parts
        self._client: Any = None
        self._is_reached = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="http")

    def ask(self, asked: _Asked, timeout_seconds: float, travelled: Travelled) -> tuple[Any, bytes]:
        """Send one request; see `HttpTransport`."""
        return self._thread.submit(self._ask, asked, timeout_seconds, travelled).result()

    def close(self) -> None:
        """Close the connection and end the thread."""
        self._thread.submit(self._end).result()
        self._thread.shutdown()

    def _end(self) -> None:
        self._drop()
        gevent.get_hub().destroy(destroy_loop=True)

    def _ask(self, asked: _Asked, timeout_seconds: float, travelled: Travelled) -> tuple[Any, bytes]:
        response: Any = None
        self._is_reached = False
        try:
            # the client's own timeout starts anew with each byte: a server that drips would never be late
            with gevent.Timeout(timeout_seconds, TimeoutError("too late")):
                client = self._open(timeout_seconds)
                response = client.request(asked.method, asked.path, asked.body, dict(asked.headers))
                return _answer(response, asked.most_bytes, travelled)
        except HTTPException as error:
            # a connection that broke off inside an answer, or bytes that are no HTTP
            self._drop()
            raise ConnectionError(str(error) or type(error).__name__) from error
        except RefusedError:
            raise
        except BaseException:
            self._drop()
            raise
        finally:
            if self._is_reached:
                travelled.sent_bytes += len(asked.body)
                travelled.requests_count += 1
            if response is not None:
                response.release()  # what is left in it belongs to a request that is over

    def _open(self, timeout_seconds: float) -> Any:
        if self._client is None:
            client: Any = HTTPClient(
                self._parts.hostname or "",
                port=self._parts.port,
                ssl=self._parts.scheme == "https",
                connection_timeout=min(_CONNECT_SECONDS, timeout_seconds),
                network_timeout=timeout_seconds,
                headers_type=_Headers,
            )
            # a request that fails before it has a connection looks like one that fails later, a timeout above all
            pool = client._connection_pool  # noqa: SLF001 - the client has no other word for it
            connect = pool.get_socket

            def connected() -> Any:
                sock = connect()
                self._is_reached = True
                return sock

            pool.get_socket = connected
            self._client = client
        return self._client

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class _Headers(Headers):
    """The head of an answer, which may not grow for as long as a server sends."""

    _size = 0

    def add(self, key: str, value: Any) -> None:
        """Take one line of it."""
        self._size += len(key) + len(value)
        if self._size > _MAX_HEADERS_BYTES:
            raise ValueError(f"a head of more than {_MAX_HEADERS_BYTES} bytes")
        super().add(key, value)


def _path(model: str) -> str:
    return f"/v2/models/{quote(model, safe='')}"


def _input(name: str, value: NDArray[Any], datatype: str) -> Any:
    tensor = InferInput(name, list(value.shape), datatype)
    tensor.set_data_from_numpy(value, binary_data=True)
    return tensor


def _answer(response: Any, most_bytes: int, travelled: Travelled) -> tuple[Any, bytes]:
    if response.status_code != HTTPStatus.OK:
        text = response.read(_BLOCK_BYTES)
        travelled.received_bytes += len(text)
        raise _refusal(response, text)
    blocks, size = [], 0
    while block := response.read(_BLOCK_BYTES):
        size += len(block)
        travelled.received_bytes += len(block)
        if max(size, response.content_length or 0) > most_bytes:
            raise ValueError(f"an answer of more than {most_bytes} bytes")
        blocks.append(block)
    if response.get("Content-Encoding", "identity") != "identity":
        raise ValueError("an answer that is packed, though nobody asked for that")
    return response.get(_LENGTH), b"".join(blocks)


def _refusal(response: Any, body: bytes) -> RefusedError:
    status: int = response.status_code
    text = body[:1000].decode("utf-8", "replace")
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        text = str(json.loads(body)["error"])
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return RefusedError("redirected", str(status), _shown(str(response.get("Location"))))
    return RefusedError(_KINDS.get(status, "failed"), str(status), text, _after(response.get("Retry-After")))


def _shown(location: str) -> str:
    """Write where a redirect points to: images go nowhere but to the agreed address, and a query may hold a secret."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return "an address that cannot be read"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _after(value: Any) -> float | None:
    """Read `Retry-After`, seconds or a date; what is neither says nothing."""
    text = str(value or "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (when - dt.datetime.now(dt.UTC)).total_seconds())
