"""The Open Inference Protocol v2 message form: tensors as JSON, or as bytes behind a JSON header.

Source: the protocol's REST API and its binary tensor data extension (`Inference-Header-Content-Length`,
`binary_data_size`). Knows no server, no client and no model.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = "Inference-Header-Content-Length"
"""HTTP header that says where the JSON ends and the tensors begin."""

_LENGTH = struct.Struct("<I")
_DIMENSIONS_MOST = 8
_DIGITS_MOST = 12


class WireError(Exception):
    """A message breaks the protocol; the text says how and goes back to the sender."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One parsed request."""

    request_id: str | None
    """Id the sender gave, or None."""
    floats: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """FP32 inputs by name, in their shapes."""
    blobs: dict[str, list[bytes]] = field(default_factory=dict)
    """BYTES inputs of shape (n,) or (n, 1) by name."""
    binary: frozenset[str] | None = frozenset()
    """Outputs wanted as bytes; None for all of them."""
    wanted: tuple[str, ...] = ()
    """Outputs asked for; empty for all."""


def parse_request(body: bytes, header_length: str | None) -> InferRequest:
    """Read a request.

    Args:
        body: The HTTP body.
        header_length: Value of the header `HEADER`, the length of the JSON part; None when all of it is JSON.

    Raises:
        WireError: The message breaks the protocol.
    """
    if header_length is not None and not (header_length.isdecimal() and len(header_length) <= _DIGITS_MOST):
        raise WireError(f"{HEADER} is {header_length[:40]!r}")
    end = len(body) if header_length is None else int(header_length)
    if end > len(body):
        raise WireError(f"{HEADER} is {end} for a body of {len(body)} bytes")
    try:
        message = json.loads(body[:end], parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the request header is not JSON: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("inputs"), list):
        raise WireError("the request has no list of inputs")
    binary, wanted = _outputs(message)
    request = InferRequest(message.get("id"), binary=binary, wanted=wanted)
    at = end
    for tensor in message["inputs"]:
        at = _read_input(request, tensor, body, at)
    if at != len(body):
        raise WireError(f"{len(body) - at} bytes are left behind the last tensor")
    return request


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _outputs(message: dict[str, Any]) -> tuple[frozenset[str] | None, tuple[str, ...]]:
    every = _parameters(message).get("binary_data_output") is True
    listed = message.get("outputs") or []
    if not isinstance(listed, list) or not all(isinstance(o, dict) and isinstance(o.get("name"), str) for o in listed):
        raise WireError("outputs is not a list of objects with a name")
    binary = frozenset(o["name"] for o in listed if _parameters(o).get("binary_data", every) is True)
    return (None if every and not listed else binary), tuple(o["name"] for o in listed)


def _parameters(message: dict[str, Any]) -> dict[str, Any]:
    found = message.get("parameters")
    return found if isinstance(found, dict) else {}


def _read_input(request: InferRequest, tensor: Any, body: bytes, at: int) -> int:
    """Read one input into the request; returns where the next one's bytes begin."""
    if not isinstance(tensor, dict):
        raise WireError("an input is not an object")
    name, kind, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
    if not isinstance(name, str) or name in request.floats or name in request.blobs:
        raise WireError(f"input name {name!r} is missing or used twice")
    if (
        not isinstance(shape, list)
        or len(shape) > _DIMENSIONS_MOST
        or not all(type(n) is int and 0 <= n < 1 << 31 for n in shape)
    ):
        raise WireError(f"input {name} has the shape {shape!r}")
    if kind not in ("FP32", "BYTES"):
        raise WireError(f"input {name} has the datatype {kind!r}; this server takes BYTES and FP32")
    size = _parameters(tensor).get("binary_data_size")
    if size is None:
        _read_json(request, name, kind, shape, tensor.get("data"))
        return at
    if type(size) is not int or not 0 <= size <= len(body) - at:
        raise WireError(f"input {name} claims {size!r} bytes; {len(body) - at} are left")
    data = body[at : at + size]
    if kind == "BYTES":
        blobs = unpack_bytes(data)
        _require_shape(name, [len(blobs)], shape)
        request.blobs[name] = blobs
    else:
        if size % 4:
            raise WireError(f"input {name} has {size} bytes, which is no whole number of FP32")
        _put_floats(request, name, np.frombuffer(data, dtype="<f4"), shape)
    return at + size


def _read_json(request: InferRequest, name: str, kind: str, shape: list[int], data: Any) -> None:
    if kind == "BYTES":
        raise WireError(f"input {name} is BYTES in JSON; images need the binary tensor data extension")
    try:
        # a number beyond FP32 becomes infinite, which the model's own check refuses with those that came so
        with np.errstate(over="ignore"):
            values = np.asarray(data, dtype=np.float32).reshape(-1)
    except (ValueError, TypeError, OverflowError) as error:
        raise WireError(f"input {name} holds no FP32 data: {error}") from error
    _put_floats(request, name, values, shape)


def _put_floats(request: InferRequest, name: str, values: NDArray[np.float32], shape: list[int]) -> None:
    if math.prod(shape) != values.size:
        raise WireError(f"input {name} has {values.size} values for the shape {shape}")
    try:
        request.floats[name] = values.astype(np.float32).reshape(shape)
    except ValueError as error:  # no value at all, in more places than an array can count
        raise WireError(f"input {name} has the shape {shape}: {error}") from error


def _require_shape(name: str, found: list[int], claimed: list[int]) -> None:
    # a server that batches sees one element a row
    if claimed not in (found, [*found, 1]):
        raise WireError(f"input {name} has the shape {claimed}, its data has {found}")


def unpack_bytes(data: bytes) -> list[bytes]:
    """Read BYTES elements.

    Raises:
        WireError: An element ends behind the data.
    """
    blobs, at = [], 0
    while at < len(data):
        if at + _LENGTH.size > len(data):
            raise WireError("a BYTES element has no length")
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + size > len(data):
            raise WireError("a BYTES element ends behind its tensor")
        blobs.append(data[at : at + size])
        at += size
    return blobs


def write_response(
    model: str,
    version: str,
    outputs: Mapping[str, NDArray[np.float32]],
    request: InferRequest,
    parameters: Mapping[str, str],
) -> tuple[bytes, int | None]:
    """Write an answer in the form its request asked for.

    Returns:
        The body and the length of its JSON part, None when all of it is JSON.
    """
    described: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name, value in outputs.items():
        entry: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(value.shape)}
        if request.binary is None or name in request.binary:
            tail.append(np.ascontiguousarray(value, dtype="<f4").tobytes())
            entry["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            entry["data"] = value.reshape(-1).tolist()
        described.append(entry)
    message: dict[str, Any] = {
        "model_name": model,
        "model_version": version,
        "parameters": dict(parameters),
        "outputs": described,
    }
    if request.request_id:
        message["id"] = request.request_id
    header = json.dumps(message, separators=(",", ":")).encode()
    return (header + b"".join(tail), len(header)) if tail else (header, None)
