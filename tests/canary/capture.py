"""Places that keep every byte they are sent: an inference server, a review server, and a sink for all others."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from labelop.catalog.cards import ModelCard
from labelop.egress.far_end import FarEnd
from labelop.engines import serve
from labelop.settings import Settings
from tests.fake_label_studio import FakeServer
from tests.loopback import Handler, serving


class Kept:
    """Everything that arrived, one entry per request: first line, headers and body."""

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._lock = threading.Lock()

    def add(self, *parts: bytes) -> None:
        """Keep one request."""
        with self._lock:
            self._entries.append(b"\n".join(parts))

    def all(self) -> list[bytes]:
        """Give what arrived so far."""
        with self._lock:
            return list(self._entries)


class _Recording:
    """An application that keeps what it is asked before the real one sees it, and fails now and then."""

    def __init__(self, app: Any, kept: Kept, fails_every: int) -> None:
        self._app = app
        self._kept = kept
        self._fails_every = fails_every
        self._count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = [name + b": " + value for name, value in scope["headers"]]
        self._kept.add(scope["raw_path"] + b"?" + scope["query_string"], *headers, body)
        if scope["method"] == "POST" and self._fails_every:
            self._count += 1
            if self._count % self._fails_every == 0:
                await send({"type": "http.response.start", "status": 503, "headers": []})
                await send({"type": "http.response.body", "body": b'{"error": "busy"}'})
                return

        async def again() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)


@contextmanager
def inference_server(
    catalog: Mapping[str, ModelCard], settings: Settings, far_end: FarEnd, *, fails_every: int = 0
) -> Iterator[tuple[str, Kept]]:
    """Run the real inference server of the cloud and keep every byte of every request.

    Args:
        catalog: Cards by model id.
        settings: For the engines.
        far_end: Checks releases, as in a real deployment.
        fails_every: Every so many passes are answered with 503, so that clients try again; 0 for none.
    """
    kept, real = Kept(), serve.create_app

    def recording(*args: Any) -> Any:
        return _Recording(real(*args), kept, fails_every)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "create_app", recording)
        with serve.run_in_thread(catalog, settings, far_end=far_end) as url:
            yield url, kept


@contextmanager
def sink() -> Iterator[tuple[str, Kept]]:
    """Serve one address that keeps whatever any library sends it: object store, telemetry, hub, lineage, proxy."""
    kept = Kept()

    class Keeping(Handler):
        def _keep(self) -> None:
            kept.add(self.requestline.encode(), bytes(self.headers), self.body())
            self.answer(200, b"{}")

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_CONNECT = do_PATCH = _keep  # noqa: N815

    with serving(Keeping) as url:
        yield url, kept


@contextmanager
def review_server(host: str) -> Iterator[tuple[str, Kept]]:
    """Serve what `labelop review push` needs of a Label Studio; 127.0.0.1 counts as on premises, 127.0.0.2 does not."""
    kept, fake, lock = Kept(), FakeServer(), threading.Lock()

    class Reviewing(Handler):
        def _keep(self) -> None:
            body = self.body()
            kept.add(self.requestline.encode(), bytes(self.headers), body)
            with lock:
                found = fake.answer(
                    httpx.Request(self.command, f"http://{host}{self.path}", headers=dict(self.headers), content=body)
                )
            self.answer(found.status_code, found.content)

        do_GET = do_POST = do_DELETE = _keep  # noqa: N815

    with serving(Reviewing, host) as url:
        yield url, kept
