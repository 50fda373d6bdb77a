"""The protocol's messages: read back as written, and hostile ones refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelop.engines.wire import (
    InferRequest,
    WireError,
    parse_request,
    unpack_bytes,
    write_response,
)
from tests.unit.engines.models import packed


def message(tail: bytes = b"", **changes: Any) -> tuple[bytes, str]:
    """Build a request with one BYTES input in the tail; returns body and header length."""
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tail)}}
    header = json.dumps({"inputs": [tensor | changes]}).encode()
    return header + tail, str(len(header))


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_bytes_elements_come_back(blobs: list[bytes]) -> None:
    """Packing and unpacking are inverse, also for empty elements."""
    assert unpack_bytes(packed(blobs)) == blobs


def test_binary_and_json_inputs_are_read() -> None:
    """Bytes behind the header and numbers inside it become arrays in their shapes."""
    image = packed([b"one", b"two"])
    boxes = np.arange(8, dtype="<f4").tobytes()
    inputs = [
        {"name": "image", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(image)}},
        {"name": "boxes", "shape": [1, 2, 4], "datatype": "FP32", "parameters": {"binary_data_size": len(boxes)}},
        {"name": "more", "shape": [2], "datatype": "FP32", "data": [1, 2.5]},
    ]
    outputs = [{"name": "logits", "parameters": {"binary_data": True}}, {"name": "boxes"}]
    header = json.dumps({"id": "7", "inputs": inputs, "outputs": outputs}).encode()
    found = parse_request(header + image + boxes, str(len(header)))
    assert found.blobs == {"image": [b"one", b"two"]}
    assert found.floats["boxes"].shape == (1, 2, 4)
    assert found.floats["more"].tolist() == [1, 2.5]
    assert (found.wanted, found.binary, found.request_id) == (("logits", "boxes"), frozenset({"logits"}), "7")


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"inputs":[1]}', None),
        (b"[" * 200_000, None),
        (b'{"inputs":[]}', "-1"),
        (b'{"inputs":[]}', "9" * 30),
        (b'{"inputs":[]}', "99"),
        (b'{"inputs":[]}x', "13"),
        (b'{"inputs":[],"outputs":[1]}', None),
        (b'{"inputs":[{"name":"a","datatype":"FP32","shape":[1],"data":[NaN]}]}', None),
        (b'{"inputs":[{"name":"a","datatype":"FP32","shape":[2],"data":[1]}]}', None),
        (b'{"inputs":[{"name":"a","datatype":"FP32","shape":[1],"data":["x"]}]}', None),
        (b'{"inputs":[{"name":"a","datatype":"FP32","shape":[1],"data":[1' + b"0" * 400 + b"]}]}", None),
        (b'{"inputs":[{"name":"a","datatype":"FP32","shape":[0' + b",2147483647" * 7 + b'],"data":[]}]}', None),
        (b'{"inputs":[{"name":"a","datatype":"FP32","shape":[-1],"data":[1]}]}', None),
        (b'{"inputs":[{"name":"a","datatype":"FP32","shape":[true],"data":[1]}]}', None),
        (b'{"inputs":[{"name":"a","datatype":"INT64","shape":[1],"data":[1]}]}', None),
        (b'{"inputs":[{"name":"a","datatype":"BYTES","shape":[1],"data":["x"]}]}', None),
        message(b"\x01\x00"),
        message(b"\x09\x00\x00\x00abc"),
        message(packed([b"a", b"b"])),
        message(packed([b"a"]), parameters={"binary_data_size": 10**9}),
        message(b"abc", datatype="FP32"),
        message(packed([b"a"]), shape=[1, 2]),
    ],
)
def test_broken_messages_are_refused(body: bytes, length: str | None) -> None:
    """Every break of the protocol is one sentence and never a crash."""
    with pytest.raises(WireError):
        parse_request(body, length)


@pytest.mark.parametrize("binary", [frozenset({"logits"}), frozenset[str](), None])
def test_an_answer_has_the_form_it_was_asked_for(binary: frozenset[str] | None) -> None:
    """Outputs come as bytes where that was asked, as JSON elsewhere, and carry the same numbers."""
    value = np.array([[0.5, -2.0]], dtype=np.float32)
    body, size = write_response("m", "1", {"logits": value}, InferRequest("id-1", binary=binary), {"k": "v"})
    head = json.loads(body[:size])
    assert (head["model_name"], head["id"], head["parameters"]) == ("m", "id-1", {"k": "v"})
    assert head["outputs"][0]["shape"] == [1, 2]
    if binary == frozenset():
        assert size is None
        assert head["outputs"][0]["data"] == [0.5, -2.0]
    else:
        assert np.frombuffer(body[size:], "<f4").tolist() == [0.5, -2.0]
