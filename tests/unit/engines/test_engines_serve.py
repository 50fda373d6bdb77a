"""The loopback server: health, metadata, and every refusal by its status."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from labelop.catalog.cards import ModelCard
from labelop.egress.gate import encode_payload
from labelop.engines.base import close_engines
from labelop.engines.serve import main, run_in_thread
from labelop.engines.wire import HEADER
from labelop.settings import Settings
from tests.unit.engines.models import detector, packed, picture, segmenter


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a detector, a segmenter, and a model whose file has changed."""
    folder = tmp_path_factory.mktemp("served")
    cards = [detector(folder), segmenter(folder), broken(folder)]
    with run_in_thread({card.id: card for card in cards}, Settings()) as base:
        yield base


def broken(folder: Path) -> ModelCard:
    """Make a model whose file does not match its card."""
    card = detector(folder, "broken", seed=5)
    card.files["model"].write_bytes(b"changed")
    return card


def ask(url: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Send one plain request; answers status and JSON, or bytes with the JSON's length."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        size = answer.getheader(HEADER)
        return answer.status, json.loads(data if size is None else data[: int(size)])
    finally:
        connection.close()


def infer(url: str, model: str, *payloads: bytes, boxes: Any = None, **more: Any) -> tuple[int, Any]:
    """Send images to a model by the binary extension."""
    tail = packed(payloads)
    size = {"binary_data_size": len(tail)}
    inputs: list[Any] = [{"name": "image", "shape": [len(payloads)], "datatype": "BYTES", "parameters": size}]
    if boxes is not None:
        values = np.asarray(boxes, dtype=np.float32)
        inputs.append(
            {"name": "boxes", "shape": list(values.shape), "datatype": "FP32", "data": values.ravel().tolist()}
        )
    header = json.dumps({"inputs": inputs, **more}).encode()
    return ask(url, "POST", f"/v2/models/{model}/infer", header + tail, {HEADER: str(len(header))})


def png(pixels: Any) -> bytes:
    """Encode as PNG."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def test_health_and_metadata(url: str) -> None:
    """The server is live and ready and describes its models in the protocol's words."""
    assert ask(url, "GET", "/v2/health/live")[0] == 200
    assert ask(url, "GET", "/v2/health/ready")[0] == 200
    assert ask(url, "GET", "/v2")[1]["extensions"] == ["binary_tensor_data"]
    status, found = ask(url, "GET", "/v2/models/tiny-masks")
    assert status == 200
    assert [(i["name"], i["datatype"]) for i in found["inputs"]] == [("image", "BYTES"), ("boxes", "FP32")]
    assert [o["name"] for o in found["outputs"]] == ["masks", "scores"]
    assert len(found["parameters"]["model_digest"]) == 64


def test_model_readiness_opens_the_model(url: str) -> None:
    """A model is ready when it opens; one with changed weights is not, and one that is not served is unknown."""
    assert ask(url, "GET", "/v2/models/tiny-boxes/ready")[0] == 200
    assert ask(url, "GET", "/v2/models/broken/ready")[0] == 501
    assert ask(url, "GET", "/v2/models/none/ready")[0] == 404
    assert ask(url, "GET", "/v2/models/none")[0] == 404


def test_plain_json_answers(url: str) -> None:
    """A caller that does not ask for bytes gets numbers; JPEG and PNG are both taken."""
    status, found = infer(url, "tiny-boxes", encode_payload(picture()), png(picture(1)))
    assert status == 200
    assert {o["name"]: o["shape"] for o in found["outputs"]} == {"logits": [2, 7, 3], "boxes": [2, 7, 4]}
    assert len(found["outputs"][0]["data"]) == 42
    status, found = infer(url, "tiny-boxes", png(picture()), outputs=[{"name": "boxes"}])
    assert [o["name"] for o in found["outputs"]] == ["boxes"]


def test_a_segmenter_takes_boxes(url: str) -> None:
    """One image with prompts answers one mask per prompt."""
    status, found = infer(url, "tiny-masks", png(picture()), boxes=[[[1, 2, 20, 20], [3, 4, 9, 9]]])
    assert status == 200
    assert found["outputs"][0]["shape"] == [1, 2, 6, 8]


def bomb() -> bytes:
    """Build a PNG whose header claims a giant image."""
    data = bytearray(png(picture()))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    return bytes(data)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "no readable|not a readable"),
        (b"hello", "not a readable"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "not a readable"),
        (bomb(), "not a readable|pixels"),
        (encode_payload(picture())[:200], "not a readable"),
    ],
    ids=["empty", "text", "gif", "bomb", "cut"],
)
def test_payloads_that_are_no_images_are_refused(url: str, payload: bytes, words: str) -> None:
    """The server decodes for itself and trusts nothing: status 400 with a sentence."""
    status, found = infer(url, "tiny-boxes", payload)
    assert status == 400
    assert any(word in found["error"] for word in words.split("|"))


def test_requests_that_do_not_fit_are_refused(url: str) -> None:
    """Missing images, prompts for a detector, several images for a segmenter, unknown outputs: status 400."""
    good = png(picture())
    assert infer(url, "tiny-boxes")[0] == 400
    assert infer(url, "tiny-boxes", good, boxes=[[[0, 0, 1, 1]]])[0] == 400
    assert infer(url, "tiny-masks", good)[0] == 400
    assert infer(url, "tiny-masks", good, good, boxes=[[[0, 0, 1, 1]]])[0] == 400
    assert infer(url, "tiny-masks", good, boxes=[[0, 0, 1, 1]])[0] == 400
    assert infer(url, "tiny-boxes", good, outputs=[{"name": "nothing"}])[0] == 400
    assert infer(url, "tiny-boxes", *([good] * 65))[0] == 400
    assert ask(url, "POST", "/v2/models/tiny-boxes/infer", b"{", {})[0] == 400
    assert ask(url, "POST", "/v2/models/tiny-boxes/infer", b"{}", {HEADER: "x"})[0] == 400
    assert infer(url, "none", good)[0] == 404


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        (np.zeros((1, 0, 4)), "no boxes"),
        ([[[1, 1, 3]]], "expected (1, b, 4)"),
        ([[[1e39, 1, 2, 2]]], "no finite"),
        ("[1" + "0" * 400 + ",1,1,1]", "no FP32 data"),
    ],
    ids=["none", "three-edges", "beyond-fp32", "beyond-double"],
)
def test_boxes_no_model_can_take_are_refused(url: str, boxes: Any, said: str) -> None:
    """No box was an inner error of the model, 400 digits one of the server, and an endless box was answered."""
    image = packed([png(picture())])
    shape, data = ([1, 1, 4], boxes) if isinstance(boxes, str) else (list(np.shape(boxes)), np.ravel(boxes).tolist())
    described = [
        {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(image)}},
        {"name": "boxes", "shape": shape, "datatype": "FP32", "data": "BOXES"},
    ]
    values = data if isinstance(data, str) else json.dumps(data)
    header = json.dumps({"inputs": described}).replace('"BOXES"', values).encode()
    status, found = ask(url, "POST", "/v2/models/tiny-masks/infer", header + image, {HEADER: str(len(header))})
    assert status == 400
    assert said in found["error"]


def test_a_model_that_cannot_open_is_not_served(url: str) -> None:
    """Changed weights are a fault of the set-up: status 501 with the reason, and the server lives on."""
    status, found = infer(url, "broken", png(picture()))
    assert status == 501
    assert "digest" in found["error"]
    assert ask(url, "GET", "/v2/health/live")[0] == 200


def test_the_port_is_free_again_afterwards(tmp_path: Path) -> None:
    """Leaving the context ends the server."""
    close_engines()
    card = detector(tmp_path)
    with run_in_thread({card.id: card}, Settings()) as url:
        assert ask(url, "GET", "/v2/health/live")[0] == 200
    with pytest.raises(OSError, match="refused"):
        ask(url, "GET", "/v2/health/live")


def test_a_broken_catalog_ends_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says what is wrong in one line and exits with 1."""
    monkeypatch.setenv("LABELOP_CATALOG", str(tmp_path / "none"))
    assert main(["--port", "0"]) == 1
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", b"no gzip"), ("gzip", gzip.compress(b"{}" * 99)[:-9]), ("br", b"x")],
    ids=["garbled", "cut", "unknown"],
)
def test_bodies_that_cannot_be_unpacked_are_refused(url: str, coding: str, body: bytes) -> None:
    """Garbled, cut and unknown codings are one sentence with status 400."""
    status, said = ask(url, "POST", "/v2/models/tiny-boxes/infer", body, {"Content-Encoding": coding})
    assert status == 400
    assert said["error"].startswith("the request")


def test_a_small_body_does_not_become_a_giant(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would unpack beyond the largest request is refused when it gets there."""
    monkeypatch.setattr("labelop.engines.serve.MAX_BODY_BYTES", 1000)
    body = gzip.compress(bytes(100_000))
    status, said = ask(url, "POST", "/v2/models/tiny-boxes/infer", body, {"Content-Encoding": "gzip"})
    assert (status, "larger" in said["error"]) == (400, True)
