"""A real Triton core on loopback: serves the catalog with the tensors of `labelop/engines/serve.py`.

Runs in an environment of its own (`make inference-server` makes it), because PyTriton needs an older NumPy than the
rest; of the library it imports cards and engines only. Requests that arrive together share one forward pass.
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from labelop.catalog.cards import ModelCard, load_catalog, verify
from labelop.egress.far_end import FarEnd, add_options, open_far_end
from labelop.engines.answers import DIGEST_OUTPUT, RELEASE_INPUT
from labelop.engines.base import Engine, ModelInputs
from labelop.engines.graph import GraphEngine
from labelop.engines.payload import EDGES, MAX_IMAGES, infer, output_shapes
from labelop.engines.wire import WireError
from labelop.errors import LabelopError, ModelInputError, ReleaseRefusedError
from labelop.settings import load_settings

_Rows = dict[str, np.ndarray[Any, Any]]


def main() -> int:
    """Serve the catalog of the settings until stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--port", type=int, default=8700, help="HTTP port; 0 takes a free one")
    parser.add_argument(
        "--grpc-port", type=int, help="gRPC port; 0 takes a free one; the one after a given HTTP port by default"
    )
    parser.add_argument("--wait-microseconds", type=int, default=2000, help="longest wait for a fuller batch")
    add_options(parser)
    given = parser.parse_args()
    port = given.port or _free_port(given.host)
    after = port + 1 if given.port else 0
    grpc_port = (after if given.grpc_port is None else given.grpc_port) or _free_port(given.host)
    logging.basicConfig(level=logging.WARNING)
    settings = load_settings()
    try:
        catalog = load_catalog(settings.catalog)
        far_end = open_far_end(settings.public_keys, given)
        engines = {card.id: _open(card, settings.engine_threads) for card in catalog.values() if card.format == "onnx"}
    except LabelopError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    config = TritonConfig(
        http_address=given.host,
        http_port=port,
        grpc_address=given.host,
        grpc_port=grpc_port,
        allow_metrics=False,
        log_verbose=0,
        exit_timeout_secs=5,
    )
    with Triton(config=config) as triton:
        for name, engine in engines.items():
            _bind(triton, name, engine, far_end, given.wait_microseconds)
        triton.run()
        where = f"http://{given.host}:{port} and grpc://{given.host}:{grpc_port}"
        print(f"serving {', '.join(engines)} on {where}", file=sys.stderr, flush=True)
        triton.serve()
    return 0


def _free_port(host: str) -> int:
    """Find a port, since Triton takes none of its own choice; it may be gone when Triton asks for it, which it says."""
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


def _open(card: ModelCard, threads: int) -> Engine:
    # onnxruntime whatever LABELOP_ENGINE says: this environment has neither the other engines nor the tables
    verify(card)
    return GraphEngine(card, threads)


def _bind(triton: Triton, name: str, engine: Engine, far_end: FarEnd | None, wait_microseconds: int) -> None:
    card = engine.card
    inputs = [Tensor(name="image", dtype=bytes, shape=(1,))]
    if far_end is not None:
        inputs.append(Tensor(name=RELEASE_INPUT, dtype=bytes, shape=(1,)))
    if card.task == "segmentation":
        inputs.append(Tensor(name="boxes", dtype=np.float32, shape=(-1, EDGES)))
    outputs = [Tensor(name=key, dtype=np.float32, shape=tuple(s[1:])) for key, s in output_shapes(card).items()]
    triton.bind(
        model_name=name,
        infer_func=_answering(engine, far_end),
        inputs=inputs,
        # PyTriton's answers have no parameters, so an output proves which weights gave them
        outputs=[*outputs, Tensor(name=DIGEST_OUTPUT, dtype=bytes, shape=(1,))],
        config=ModelConfig(
            batching=True,
            max_batch_size=MAX_IMAGES,
            batcher=DynamicBatcher(max_queue_delay_microseconds=wait_microseconds),
        ),
    )


def _answering(engine: Engine, far_end: FarEnd | None) -> Callable[[list[Any]], list[_Rows]]:
    """Make the function that answers a batch of requests, all images in one pass where the task allows."""
    card = engine.card

    def answer(requests: list[Any]) -> list[_Rows]:
        payloads = [_admitted(request, far_end) for request in requests]
        if card.task == "segmentation":
            parts = [
                _joined(
                    [_one(engine, image, boxes[None]) for image, boxes in zip(images, request["boxes"], strict=True)]
                )
                for images, request in zip(payloads, requests, strict=True)
            ]
        else:
            rows = _rows(engine, [one for images in payloads for one in images])
            ends = np.cumsum([len(images) for images in payloads])
            parts = [
                {key: value[end - len(images) : end] for key, value in rows.items()}
                for images, end in zip(payloads, ends, strict=True)
            ]
        return [part | {DIGEST_OUTPUT: _proof(card, len(images))} for part, images in zip(parts, payloads, strict=True)]

    return answer


def _admitted(request: Any, far_end: FarEnd | None) -> list[bytes]:
    """Read a request's images; one without a good release becomes no bytes, and so no image."""
    images = [bytes(row[0]) for row in request["image"]]
    if far_end is None:
        return images
    return [_if_good(far_end, image, bytes(row[0])) for image, row in zip(images, request[RELEASE_INPUT], strict=True)]


def _if_good(far_end: FarEnd, image: bytes, token: bytes) -> bytes:
    try:
        far_end.check(image, token.decode("ascii", "replace"))
    except ReleaseRefusedError:
        return b""  # counted and logged; Triton fails all requests of a batch together, so no error here
    return image


def _proof(card: ModelCard, count: int) -> np.ndarray[Any, Any]:
    return np.array([[card.digest.encode()]] * count, dtype=np.object_)


def _rows(engine: Engine, images: list[bytes]) -> _Rows:
    """Run one pass for all; when it fails, one per image, so that a bad image spoils its own row only."""
    try:
        return dict(infer(engine, images, None))
    except (WireError, LabelopError):
        return _joined([_one(engine, image, None) for image in images])


def _one(engine: Engine, image: bytes, boxes: np.ndarray[Any, Any] | None) -> _Rows:
    """Run one image; the row of one that cannot be read holds no numbers.

    Triton fails all requests of a batch together, so an error here would fail other people's images. Values that are
    not finite are what a client reads as one image's failure.
    """
    try:
        return dict(infer(engine, [image], boxes))
    except (WireError, ModelInputError):
        blank = np.zeros((1, engine.card.height_px, engine.card.width_px, 3), dtype=np.uint8)
        raw = engine.forward(ModelInputs(blank, None if boxes is None else boxes[0]))
        return {key: np.full_like(value, np.nan) for key, value in raw.items()}


def _joined(parts: list[_Rows]) -> _Rows:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


if __name__ == "__main__":
    sys.exit(main())
