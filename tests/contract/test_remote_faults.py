"""The client against servers that are late, lie, answer half, or serve another model; and how it spares a dead one."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelop.catalog.cards import ModelCard
from labelop.engines.breaker import CircuitBreaker
from labelop.engines.remote import RemoteEngine
from labelop.errors import (
    CatalogError,
    EngineResponseError,
    EngineTimeoutError,
    EngineUnavailableError,
    LabelopError,
)
from tests.contract.doubles import GOOD, Shapes, ask, http_answer, http_server, released
from tests.unit.engines.models import QUERIES, classifier, detector, segmenter


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (detector, {"logits": [1, QUERIES, 5], "boxes": [1, QUERIES, 4]}),
        (detector, {"logits": [1, QUERIES, 3], "boxes": [1, QUERIES + 1, 4]}),
        (detector, {"logits": [1, QUERIES, 3], "boxes": [1, QUERIES, 5]}),
        (detector, {"logits": [1, 3], "boxes": [1, 4]}),
        (classifier, {"logits": [1, 1000]}),
        (classifier, {"logits": [1, 1, 3]}),
        (segmenter, {"masks": [1, 1, 6, 8], "scores": [1, 1]}),
        (segmenter, {"masks": [1, 2, 0, 8], "scores": [1, 2]}),
        (segmenter, {"masks": [1, 2, 6, 8], "scores": [1, 3]}),
    ],
)
def test_another_models_shapes_are_an_error(make: Callable[[Path], ModelCard], shapes: Shapes, tmp_path: Path) -> None:
    """An answer that no model of the card could give is refused before anybody reads it."""
    card = make(tmp_path)
    boxes = np.array([[1, 1, 9, 9], [2, 2, 8, 8]], dtype=np.float32) if card.task == "segmentation" else None
    serving = http_server(lambda: http_answer(shapes))
    with serving as (url, _), pytest.raises(EngineResponseError, match="shape") as caught:
        ask(url, tmp_path, card, boxes=boxes)
    assert caught.value.context["code"] == "BAD_SHAPE"


@pytest.mark.parametrize("cut", [1, 4, 60, QUERIES * 7 * 4])
def test_half_an_answer_is_an_error(tmp_path: Path, cut: int) -> None:
    """Tensors that end before their announced size are refused, wherever they end."""
    with http_server(lambda: http_answer(GOOD, cut=cut)) as (url, _), pytest.raises(EngineResponseError):
        ask(url, tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        {"parameters": {"model_digest": "f" * 64}},
        {"outputs": [{"name": "logits", "shape": [-1, 1000]}]},
        {"inputs": [{"name": "pixels", "shape": [-1, 3, 224, 224]}]},
        {"outputs": [{"name": "logits", "shape": [-1, 300, 80]}, {"name": "boxes", "shape": [-1, 300, 4]}]},
    ],
    ids=["digest", "outputs", "inputs", "classes"],
)
def test_another_model_is_found_out_before_an_image_leaves(tmp_path: Path, said: Any) -> None:
    """What a server says of a model is held against the card, and nothing is sent when they differ."""
    with http_server(lambda: http_answer(GOOD), said) as (url, seen):
        with pytest.raises(CatalogError, match="tiny-boxes"):
            ask(url, tmp_path)
        assert seen == []


DIGEST_SAID = {"outputs": [{"name": name, "shape": [-1, -1]} for name in ("logits", "boxes", "model_digest")]}


def proven(datatype: str, data: list[Any]) -> tuple[int, dict[str, str], bytes]:
    """Answer as a good detector does, with a digest as JSON data."""
    outputs = [
        {"name": name, "datatype": "FP32", "shape": shape, "data": [0.0] * int(np.prod(shape))}
        for name, shape in GOOD.items()
    ]
    outputs.append({"name": "model_digest", "datatype": datatype, "shape": [len(data), 1], "data": data})
    return 200, {}, json.dumps({"outputs": outputs}).encode()


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("INT64", [10**15]),
        ("INT64", [-1]),
        ("BOOL", [True]),
        ("FP32", [1.0]),
        ("BYTES", [10**15]),
        ("BYTES", ["abc"]),
        ("BYTES", [None]),
        ("BYTES", ["f" * 64] * 2),
    ],
)
def test_a_digest_that_is_none_is_an_unreadable_answer(tmp_path: Path, datatype: str, data: list[Any]) -> None:
    """A number was taken for the size of a block of memory: 10**15 ended the command in a MemoryError."""
    with http_server(lambda: proven(datatype, data), DIGEST_SAID) as (url, _):
        with pytest.raises(EngineResponseError) as caught:
            ask(url, tmp_path)
        assert caught.value.context["code"] in {"BAD_ANSWER", "BAD_SHAPE"}


def test_a_digest_in_json_is_read_like_one_in_bytes(tmp_path: Path) -> None:
    """The right one was refused as unreadable when it came as text; a wrong one is another model."""
    card = detector(tmp_path)
    with http_server(lambda: proven("BYTES", [card.digest]), DIGEST_SAID) as (url, _):
        assert ask(url, tmp_path, card).raw["boxes"].shape == (1, QUERIES, 4)
    wrong = http_server(lambda: proven("BYTES", ["f" * 64]), DIGEST_SAID)
    with wrong as (url, _), pytest.raises(CatalogError, match="the server runs digest ffff"):
        ask(url, tmp_path, card)


@pytest.mark.parametrize("said", [None, [], {"outputs": "many", "inputs": [1], "parameters": 3}])
def test_metadata_that_says_nothing_changes_nothing(tmp_path: Path, said: Any) -> None:
    """A server without usable metadata is used; its answers are checked all the same."""
    with http_server(lambda: http_answer(GOOD), said) as (url, seen):
        assert ask(url, tmp_path).raw["boxes"].shape == (1, QUERIES, 4)
        assert len(seen) == 1


def test_an_answer_that_drips_is_too_late(tmp_path: Path) -> None:
    """A server that sends a byte now and then is late by the whole answer's time, not by the byte's."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            one, _ = listener.accept()
            with one:
                one.recv(65536)
                one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not stop.wait(0.02):
                    try:
                        one.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(EngineTimeoutError, match="did not answer"):
            ask(
                f"http://127.0.0.1:{listener.getsockname()[1]}",
                tmp_path,
                timeout_seconds=0.3,
                attempts=1,
            )
        stop.set()
        thread.join(5)


def test_a_dead_server_is_not_asked_again_until_a_probe(tmp_path: Path) -> None:
    """After the set number of failures nothing is sent; after the rest one call is, and its success ends that."""
    now, status = [0.0], [503]
    breaker = CircuitBreaker(failures=4, rest_seconds=10, clock=lambda: now[0])
    busy = json.dumps({"error": "busy"}).encode()

    def infer() -> tuple[int, dict[str, str], bytes]:
        return http_answer(GOOD) if status[0] == 200 else (status[0], {}, busy)

    with http_server(infer) as (url, seen):
        engine = RemoteEngine(url, breaker=breaker, pause=lambda _: None)
        card, one = detector(tmp_path), released(tmp_path)
        for expected in (3, 4, 4):
            with pytest.raises(EngineUnavailableError):
                engine.forward(card, [one])
            assert len(seen) == expected
        assert breaker.state == "open"
        now[0] = 10.0
        assert breaker.state == "half_open"
        with pytest.raises(EngineUnavailableError):
            engine.forward(card, [one])
        assert (len(seen), breaker.state) == (5, "open")
        now[0], status[0] = 20.0, 200
        engine.forward(card, [one])
        assert (len(seen), breaker.state) == (6, "closed")
        engine.close()


def test_no_more_requests_run_at_once_than_allowed(tmp_path: Path) -> None:
    """Eight threads share two slots."""
    lock, running, most = threading.Lock(), [0], [0]
    together = threading.Barrier(2)

    def infer() -> tuple[int, dict[str, str], bytes]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait(10)  # passes only when two are inside
        with lock:
            running[0] -= 1
        return http_answer(GOOD)

    failed: list[LabelopError] = []
    with http_server(infer) as (url, seen):
        engine, card, one = RemoteEngine(url, requests=2), detector(tmp_path), released(tmp_path)

        def work() -> None:
            try:
                engine.forward(card, [one])
            except LabelopError as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.close()
    assert (failed, len(seen), most[0]) == ([], 8, 2)


def test_a_packed_request_is_booked_at_its_packed_size(tmp_path: Path) -> None:
    """With compression the body is gzip, and what is booked is what was sent."""
    with http_server(lambda: http_answer(GOOD)) as (url, seen):
        found = ask(url, tmp_path, compress=True)
    [(coding, body)] = seen
    assert coding == "gzip"
    assert found.sent_bytes == len(body)
    assert released(tmp_path).payload in gzip.decompress(body)
