"""Inference servers that answer what a test says, over HTTP and over gRPC."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelop.catalog.cards import ModelCard
from labelop.egress.audit import AuditLog
from labelop.egress.gate import Gate, Released
from labelop.engines.remote import RemoteEngine
from labelop.engines.wire import HEADER
from labelop.sensitivity.levels import Level
from tests.loopback import Handler, serving
from tests.unit.engines.models import QUERIES, detector, picture

Shapes = dict[str, list[int]]
Raw = tuple[int, dict[str, str], bytes]
"""Status, headers and body of an HTTP answer."""
GOOD: Shapes = {"logits": [1, QUERIES, 3], "boxes": [1, QUERIES, 4]}


class Open:
    """A policy that lets everything out, to any place."""

    digest = "o" * 64

    def allowed_placements(self, level: Level) -> frozenset[str]:
        """Answer with both placements for any level."""
        return frozenset({"cloud", "elsewhere"}) if level in Level else frozenset()


def released(folder: Path, placement: str = "cloud") -> Released:
    """Release one picture."""
    return Gate(Open(), AuditLog(folder / "audit.jsonl"), placement).release(picture(), "i", "public", "r")


def ask(url: str, folder: Path, card: ModelCard | None = None, *, boxes: Any = None, **options: Any) -> Any:
    """Send one image, to a detector when no card is given; a pause between tries takes no time."""
    engine = RemoteEngine(url, **({"pause": lambda _: None} | options))
    try:
        return engine.forward(card or detector(folder), [released(folder)], boxes)
    finally:
        engine.close()


@dataclass(frozen=True, slots=True)
class Says:
    """What a double does with a request, whatever it is reached by."""

    shapes: Shapes | None = None
    """Tensors of the answer, zeros; those of a good detector when None."""
    datatype: str = "FP32"
    """What it calls their type."""
    cut: int = 0
    """Bytes that are missing at the end."""
    refusal: str = ""
    """Kind of refusal instead of an answer."""
    wait: threading.Event | None = None
    """It answers when this is set."""


STATUS = {"busy": 429, "not_served": 404, "not_admitted": 401, "bad_input": 400, "failed": 500}
CODE = {
    "busy": "RESOURCE_EXHAUSTED",
    "not_served": "NOT_FOUND",
    "not_admitted": "UNAUTHENTICATED",
    "bad_input": "INVALID_ARGUMENT",
    "failed": "INTERNAL",
}


def as_http(says: Says) -> Raw:
    """Write it as an HTTP answer."""
    if says.wait is not None:
        says.wait.wait(20)
    if says.refusal:
        return STATUS[says.refusal], {}, b'{"error": "because"}'
    return http_answer(says.shapes or GOOD, cut=says.cut, datatype=says.datatype)


def http_answer(shapes: Shapes, *, cut: int = 0, datatype: str = "FP32", **more: Any) -> Raw:
    """Write an answer with tensors of given shapes, its last bytes cut off."""
    sizes = [4 * int(np.prod(shape)) for shape in shapes.values()]
    outputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
        for (name, shape), size in zip(shapes.items(), sizes, strict=True)
    ]
    header = json.dumps({"model_name": "m", "outputs": outputs, **more}).encode()
    body = header + bytes(sum(sizes))
    return 200, {HEADER: str(len(header))}, body[: len(body) - cut]


@contextmanager
def http_server(infer: Callable[[], Raw], said: Any = None) -> Iterator[tuple[str, list[tuple[str | None, bytes]]]]:
    """Serve metadata, bytes as they are, and answers; yields the address and the coding and body of each request."""
    seen: list[tuple[str | None, bytes]] = []

    class Answering(Handler):
        def do_GET(self) -> None:  # noqa: N802 - the name in the base class
            body = said if isinstance(said, bytes) else json.dumps(said or {"error": "none"}).encode()
            self.answer(404 if said is None else 200, body)

        def do_POST(self) -> None:  # noqa: N802
            seen.append((self.headers["Content-Encoding"], self.body()))
            status, headers, body = infer()
            self.answer(status, body, headers)

    with serving(Answering) as url:
        yield url, seen


@contextmanager
def double(kind: str, *says: Says) -> Iterator[tuple[str, list[bytes]]]:
    """Serve prepared answers, the last again and again, by http or grpc; yields the address and one entry a request."""
    asked: list[bytes] = []

    def following() -> Says:
        asked.append(b"")
        return says[min(len(asked), len(says)) - 1]

    if kind == "http":
        with http_server(lambda: as_http(following())) as (url, _):
            yield url, asked
        return
    import grpc  # noqa: PLC0415 - an extra
    from tritonclient.grpc import service_pb2, service_pb2_grpc  # noqa: PLC0415

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name in the protocol
            one = following()
            if one.wait is not None:
                one.wait.wait(20)
            if one.refusal:
                context.abort(getattr(grpc.StatusCode, CODE[one.refusal]), "because")
            answer = service_pb2.ModelInferResponse(model_name=request.model_name)
            shapes = one.shapes or GOOD
            for name, shape in shapes.items():
                answer.outputs.add(name=name, datatype=one.datatype, shape=shape)
            sizes = [4 * int(np.prod(shape)) for shape in shapes.values()]
            sizes[-1] -= one.cut
            answer.raw_output_contents.extend(bytes(size) for size in sizes)
            return answer

    server = grpc.server(ThreadPoolExecutor(8))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}", asked
    finally:
        server.stop(None).wait(10)
