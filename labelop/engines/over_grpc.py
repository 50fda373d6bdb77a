"""Open Inference Protocol v2 over gRPC, by the protocol's stubs that tritonclient brings.

The only module that knows gRPC. One channel serves all threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
import numpy as np
from tritonclient.grpc import InferResult, service_pb2, service_pb2_grpc
from tritonclient.utils import serialize_byte_tensor

from labelop.engines.transport import MAX_ANSWER_BYTES, Kind, Question, RefusedError, Reply, Travelled

T = TypeVar("T")

_KINDS: dict[grpc.StatusCode, Kind] = {
    grpc.StatusCode.INVALID_ARGUMENT: "bad_input",
    grpc.StatusCode.NOT_FOUND: "not_served",
    grpc.StatusCode.PERMISSION_DENIED: "not_admitted",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "busy",
    grpc.StatusCode.UNAUTHENTICATED: "not_admitted",
    grpc.StatusCode.UNIMPLEMENTED: "not_served",
}
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    # tries are counted and jittered by the engine, for both transports alike
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    # a rested breaker's probe must find a server that has come back
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
)


class GrpcTransport:
    """A channel to one server.

    Args:
        endpoint: `grpc://host:port`, or `grpcs://host:port` for TLS.
        compress: Send messages as gzip.
    """

    def __init__(self, endpoint: str, *, compress: bool = False) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme == "grpcs":
            self._channel = grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(), options=_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(parts.netloc, options=_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._packing = grpc.Compression.Gzip if compress else grpc.Compression.NoCompression

    def ready(self, model: str | None, timeout_seconds: float) -> None:
        """Ask for readiness; see `Transport.ready`."""
        if model is None:
            said = _ask(lambda: self._stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=timeout_seconds))
        else:
            asked = service_pb2.ModelReadyRequest(name=model)
            said = _ask(lambda: self._stub.ModelReady(asked, timeout=timeout_seconds))
        if not said.ready:
            raise RefusedError("not_ready", "NOT_READY", "the answer is: not ready")

    def describe(self, model: str, timeout_seconds: float) -> Any:
        """Ask for metadata; see `Transport.describe`."""
        asked = service_pb2.ModelMetadataRequest(name=model)
        said = _ask(lambda: self._stub.ModelMetadata(asked, timeout=timeout_seconds))
        return {"inputs": _tensors(said.inputs), "outputs": _tensors(said.outputs)}

    def infer(self, question: Question, timeout_seconds: float, travelled: Travelled) -> Reply:
        """Run a model; see `Transport.infer`."""
        asked = service_pb2.ModelInferRequest(model_name=question.model)
        texts = {"image": question.images, "release": [one.encode() for one in question.releases]}
        for name, values in texts.items():
            if values:
                rows = np.array([[one] for one in values], dtype=np.object_)
                asked.inputs.add(name=name, datatype="BYTES", shape=rows.shape)
                asked.raw_input_contents.append(serialize_byte_tensor(rows).item())
        if question.boxes is not None:
            asked.inputs.add(name="boxes", datatype="FP32", shape=question.boxes.shape)
            asked.raw_input_contents.append(question.boxes.astype("<f4").tobytes())
        for name in question.outputs:
            asked.outputs.add(name=name)
        travelled.sent_bytes += asked.ByteSize()
        travelled.requests_count += 1
        try:
            said = _ask(lambda: self._stub.ModelInfer(asked, timeout=timeout_seconds, compression=self._packing))
        except ConnectionError as error:
            if "failed to connect" in str(error):
                travelled.sent_bytes -= asked.ByteSize()
                travelled.requests_count -= 1
            raise
        travelled.received_bytes += said.ByteSize()
        message = {
            "parameters": {name: value.string_param for name, value in said.parameters.items()},
            "outputs": _tensors(said.outputs),
        }
        return Reply(message, InferResult(said).as_numpy)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _tensors(listed: Any) -> list[dict[str, Any]]:
    return [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in listed]


def _ask(call: Callable[[], T]) -> T:
    try:
        return call()
    except grpc.RpcError as error:
        # a call's error is also the call: both are asked by the same methods
        code, text = error.code(), str(error.details())
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        raise TimeoutError(text)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED):
        raise ConnectionError(text)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text:
        raise ValueError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    raise RefusedError(_KINDS.get(code, "failed"), code.name, text)
