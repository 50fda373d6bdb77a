"""A small Open Inference Protocol v2 server: the cloud arm of the demo, and what a real one must answer.

Takes encoded images, decodes and prepares them, and answers the raw model outputs; reading those is the caller's,
so that one card gives equal predictions in both placements. Knows no policy, no dataset and no table.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labelop.catalog.cards import ModelCard, load_catalog
from labelop.egress.far_end import FarEnd, add_options, open_far_end
from labelop.engines.answers import RELEASE_INPUT
from labelop.engines.base import Engine, RawOutputs, open_engine
from labelop.engines.payload import EDGES, infer, output_shapes
from labelop.engines.wire import HEADER, InferRequest, WireError, parse_request, write_response
from labelop.errors import EngineUnavailableError, LabelopError, ModelInputError, ReleaseRefusedError
from labelop.settings import Settings, load_settings

MAX_BODY_BYTES = 256 * 1024 * 1024
"""Largest request taken."""

_START_SECONDS = 20.0
_SET_UP_FAULTS = frozenset({"UNKNOWN_KEY", "NOT_YET_VALID"})
_CODINGS: dict[str, int | None] = {"identity": None, "gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def create_app(
    catalog: Mapping[str, ModelCard], settings: Settings | None = None, far_end: FarEnd | None = None
) -> Starlette:
    """Build the server over the models of a catalog; engines open at their first use.

    Args:
        catalog: Cards by model id; no other model is served.
        settings: For the engines' threads; read from the environment when None.
        far_end: Asked before an image is decoded: then every image needs its signed release. None for no check.
    """
    answers = _Answers(catalog, settings or load_settings(), far_end)
    return Starlette(
        routes=[
            Route("/v2", answers.about),
            Route("/v2/health/live", answers.healthy),
            Route("/v2/health/ready", answers.healthy),
            Route("/v2/models/{name}", answers.describe),
            Route("/v2/models/{name}/ready", answers.ready),
            Route("/v2/models/{name}/infer", answers.infer, methods=["POST"]),
        ]
    )


class _Answers:
    """The endpoints over one catalog."""

    def __init__(self, catalog: Mapping[str, ModelCard], settings: Settings, far_end: FarEnd | None) -> None:
        self._catalog = catalog
        self._settings = settings
        self._far_end = far_end

    async def healthy(self, _: Request) -> Response:
        return JSONResponse({})

    async def about(self, _: Request) -> Response:
        return JSONResponse({"name": "labelop", "version": "2", "extensions": ["binary_tensor_data"]})

    async def describe(self, request: Request) -> Response:
        card = self._catalog.get(request.path_params["name"])
        return (
            _unknown(request) if card is None else JSONResponse(_metadata(card, with_release=self._far_end is not None))
        )

    async def ready(self, request: Request) -> Response:
        card = self._catalog.get(request.path_params["name"])
        if card is None:
            return _unknown(request)
        try:
            await run_in_threadpool(open_engine, card, self._settings)
        except LabelopError as error:
            return JSONResponse({"error": error.message}, 503 if error.retryable else 501)
        return JSONResponse({})

    async def infer(self, request: Request) -> Response:
        card = self._catalog.get(request.path_params["name"])
        if card is None:
            return _unknown(request)
        try:
            parsed = parse_request(await _body(request), request.headers.get(HEADER))
            engine = await run_in_threadpool(open_engine, card, self._settings)
        except WireError as error:
            return JSONResponse({"error": str(error)}, 400)
        except LabelopError as error:
            # the model cannot be opened here: no other request will fare better
            return JSONResponse({"error": error.message}, 501)
        try:
            raw = await run_in_threadpool(_infer, engine, parsed, self._far_end)
        except (WireError, ModelInputError, ReleaseRefusedError) as error:
            # a key or a clock that does not fit will fit for no image; anything else is this request's fault
            is_set_up = isinstance(error, ReleaseRefusedError) and error.code in _SET_UP_FAULTS
            return JSONResponse({"error": str(error)}, 403 if is_set_up else 400)
        except LabelopError as error:
            return JSONResponse({"error": error.message}, 503 if error.retryable else 500)
        answer, size = write_response(card.id, card.version, raw, parsed, {"model_digest": card.digest})
        headers = {} if size is None else {HEADER: str(size)}
        kind = "application/json" if size is None else "application/octet-stream"
        return Response(answer, media_type=kind, headers=headers)


def _unknown(request: Request) -> Response:
    return JSONResponse({"error": f"model {request.path_params['name']!r} is not served"}, 404)


def _metadata(card: ModelCard, *, with_release: bool) -> dict[str, object]:
    # one image a row, as a batching server counts them
    inputs: list[dict[str, object]] = [{"name": "image", "datatype": "BYTES", "shape": [-1, 1]}]
    if with_release:
        inputs.append({"name": RELEASE_INPUT, "datatype": "BYTES", "shape": [-1, 1]})
    if card.task == "segmentation":
        inputs.append({"name": "boxes", "datatype": "FP32", "shape": [1, -1, EDGES]})
    return {
        "name": card.id,
        "versions": [card.version],
        "platform": f"{card.format}_{card.family}",
        "inputs": inputs,
        "outputs": [{"name": n, "datatype": "FP32", "shape": shape} for n, shape in output_shapes(card).items()],
        "parameters": {"model_digest": card.digest},
    }


async def _body(request: Request) -> bytes:
    coding = request.headers.get("content-encoding", "identity")
    if coding not in _CODINGS:
        raise WireError(f"the request is coded as {coding[:40]!r}; {', '.join(_CODINGS)} are taken")
    bits = _CODINGS[coding]
    unpack = None if bits is None else zlib.decompressobj(bits)
    blocks, size = [], 0
    async for block in request.stream():
        try:
            # one byte more than fits: what is too large is found out without unpacking it all
            part = block if unpack is None else unpack.decompress(block, MAX_BODY_BYTES - size + 1)
        except zlib.error as error:
            raise WireError(f"the request cannot be unpacked: {error}") from error
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise WireError(f"the request is larger than {MAX_BODY_BYTES} bytes")
        blocks.append(part)
    if unpack is not None and not unpack.eof:
        raise WireError("the request cannot be unpacked: it ends too early")
    return b"".join(blocks)


def _infer(engine: Engine, request: InferRequest, far_end: FarEnd | None) -> RawOutputs:
    taken = {"image", "boxes"} | ({RELEASE_INPUT} if far_end else set())
    if not {*request.blobs, *request.floats} <= taken:
        raise WireError(f"model {engine.card.id} takes no inputs but {', '.join(sorted(taken))}")
    if far_end is not None:
        far_end.check_all(request.blobs.get("image", []), request.blobs.get(RELEASE_INPUT, []))
    return infer(engine, request.blobs.get("image", []), request.floats.get("boxes"), request.wanted)


@contextmanager
def run_in_thread(
    catalog: Mapping[str, ModelCard],
    settings: Settings | None = None,
    *,
    port: int = 0,
    far_end: FarEnd | None = None,
) -> Iterator[str]:
    """Serve a catalog on a loopback port for as long as the context lasts.

    Args:
        catalog: Cards by model id.
        settings: For the engines' threads; read from the environment when None.
        port: The port, or 0 for a free one.
        far_end: Asked before an image is decoded; see `create_app`.

    Yields:
        The base URL, for example `http://127.0.0.1:40123`.

    Raises:
        EngineUnavailableError: The server did not start.
    """
    with socket.create_server(("127.0.0.1", port)) as listener:
        server = _server(create_app(catalog, settings, far_end))
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="inference-server", daemon=True
        )
        thread.start()
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not server.started:
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise EngineUnavailableError("The loopback inference server did not start.")
                thread.join(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(_START_SECONDS)


def _server(app: Starlette) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=2
        )
    )


def main(arguments: list[str] | None = None) -> int:
    """Serve the catalog of the settings until stopped: `python -m labelop.engines.serve --port N`."""
    parser = argparse.ArgumentParser(
        prog="python -m labelop.engines.serve", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 for a free one")
    add_options(parser)
    options = parser.parse_args(arguments)
    settings = load_settings()
    try:
        catalog = load_catalog(settings.catalog)
        far_end = open_far_end(settings.public_keys, options)
        with socket.create_server((options.host, options.port)) as listener:
            host, port = listener.getsockname()[:2]
            print(f"serving {', '.join(catalog)} on http://{host}:{port}", file=sys.stderr, flush=True)  # noqa: T201
            _server(create_app(catalog, settings, far_end)).run(sockets=[listener])
    except (LabelopError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
