"""Open Inference Protocol v2 over HTTP with binary tensors.

Messages are written and read by tritonclient; the connection is that of the HTTP library it brings, because its own
call hides `Retry-After`, the sizes on the wire and how large an answer is before all of it is in memory.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import threading
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlsplit

import gevent
import numpy as np
from geventhttpclient import HTTPClient
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from labelop.engines.transport import MAX_ANSWER_BYTES, Kind, Question, RefusedError, Reply

_LENGTH = "Inference-Header-Content-Length"
_CONNECT_SECONDS = 5.0
_BLOCK_BYTES = 1 << 16
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
    """Connections to one server, one per thread.

    Args:
        endpoint: Base URL, http or https.
        compress: Send bodies as gzip.
    """

    def __init__(self, endpoint: str, *, compress: bool = False) -> None:
        self._parts = urlsplit(endpoint)
        self._compress = compress
        self._local = threading.local()
        self._clients: list[Any] = []
        self._lock = threading.Lock()

    def ready(self, model: str | None, timeout_seconds: float) -> None:
        """Ask for readiness; see `Transport.ready`."""
        self._call("GET", "/v2/health/ready" if model is None else f"{_path(model)}/ready", timeout_seconds)

    def describe(self, model: str, timeout_seconds: float) -> Any:
        """Ask for metadata; see `Transport.describe`."""
        _, body = self._call("GET", _path(model), timeout_seconds)
        return json.loads(body)

    def infer(self, question: Question, timeout_seconds: float) -> Reply:
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
        said, answer = self._call("POST", f"{_path(question.model)}/infer", timeout_seconds, body, headers)
        length = said.get(_LENGTH)
        found = InferenceServerClient.parse_response_body(answer, header_length=None if length is None else int(length))
        return Reply(found.get_response(), found.as_numpy, len(body), len(answer))

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for client in self._clients:
                client.close()
            self._clients.clear()
            self._local = threading.local()

    def _call(
        self, method: str, path: str, timeout_seconds: float, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[Any, bytes]:
        """Send one request; answers the response's headers and body."""
        try:
            # the client's own timeout starts anew with each byte: a server that drips would never be late
            with gevent.Timeout(timeout_seconds, TimeoutError("too late")):
                path = self._parts.path.rstrip("/") + path
                response = self._client(timeout_seconds).request(method, path, body, headers or {})
                answer = _read(response)
        except HTTPException as error:
            # a connection that broke off inside an answer, or bytes that are no HTTP
            self._forget()
            raise ConnectionError(str(error) or type(error).__name__) from error
        except (OSError, ValueError):
            self._forget()
            raise
        if response.status_code != HTTPStatus.OK:
            raise _refusal(response, answer)
        return response, answer

    def _client(self, timeout_seconds: float) -> Any:
        # gevent's sockets belong to their thread
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = HTTPClient(
                self._parts.hostname or "",
                port=self._parts.port,
                ssl=self._parts.scheme == "https",
                connection_timeout=min(_CONNECT_SECONDS, timeout_seconds),
                network_timeout=timeout_seconds,
            )
            with self._lock:
                self._clients.append(client)
        return client

    def _forget(self) -> None:
        """Drop this thread's connection: what is left in it belongs to a request that is over."""
        client, self._local.client = getattr(self._local, "client", None), None
        if client is not None:
            with self._lock, suppress(ValueError):
                self._clients.remove(client)
            client.close()


def _path(model: str) -> str:
    return f"/v2/models/{quote(model, safe='')}"


def _input(name: str, value: NDArray[Any], datatype: str) -> Any:
    tensor = InferInput(name, list(value.shape), datatype)
    tensor.set_data_from_numpy(value, binary_data=True)
    return tensor


def _read(response: Any) -> bytes:
    blocks, size = [], 0
    while block := response.read(_BLOCK_BYTES):
        size += len(block)
        if max(size, response.content_length or 0) > MAX_ANSWER_BYTES:
            raise ValueError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        blocks.append(block)
    if response.get("Content-Encoding", "identity") != "identity":
        raise ValueError("an answer that is packed, though nobody asked for that")
    return b"".join(blocks)


def _refusal(response: Any, body: bytes) -> RefusedError:
    status: int = response.status_code
    text = body[:1000].decode("utf-8", "replace")
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(body)["error"])
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        # images go to the address that was agreed on and to no other; a query may hold a secret
        to = urlsplit(str(response.get("Location")))._replace(query="", fragment="").geturl()
        return RefusedError("redirected", str(status), to)
    return RefusedError(_KINDS.get(status, "failed"), str(status), text, _after(response.get("Retry-After")))


def _after(value: Any) -> float | None:
    """Read `Retry-After`, seconds or a date; what is neither says nothing."""
    text = str(value or "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (when.astimezone(dt.UTC) - dt.datetime.now(dt.UTC)).total_seconds())
