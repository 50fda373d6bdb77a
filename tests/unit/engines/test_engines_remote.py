"""The client against servers that refuse, stall, lie or vanish."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelop.catalog.cards import ModelCard
from labelop.egress.audit import AuditLog
from labelop.egress.gate import Gate
from labelop.engines.remote import RemoteEngine
from labelop.engines.wire import HEADER
from labelop.errors import (
    CatalogError,
    EngineResponseError,
    EngineTimeoutError,
    EngineUnavailableError,
    LabelopError,
    ModelInputError,
    PlacementForbiddenError,
    SettingsError,
)
from tests.contract.doubles import Open, Raw, http_server, released
from tests.unit.engines.models import QUERIES, detector, picture

Answer = Callable[[], Raw]


@contextmanager
def server(answers: list[Answer]) -> Iterator[tuple[str, list[tuple[str | None, bytes]]]]:
    """Serve prepared answers, the last one again and again."""
    left = iter([*answers[:-1], *itertools.repeat(answers[-1], 100)])

    def infer() -> Raw:
        return next(left)()

    with http_server(infer) as served:
        yield served


def refusal(status: int, text: str = "because") -> Answer:
    """Answer with an error status."""
    return lambda: (status, {}, json.dumps({"error": text}).encode())


def tensors(shapes: dict[str, list[int]], *, datatype: str = "FP32", size: int | None = None, **more: Any) -> Answer:
    """Answer with zero tensors of given shapes."""

    def answer() -> tuple[int, dict[str, str], bytes]:
        counts = {name: 4 * int(np.prod(shape)) for name, shape in shapes.items()}
        outputs = [
            {"name": n, "datatype": datatype, "shape": s, "parameters": {"binary_data_size": size or counts[n]}}
            for n, s in shapes.items()
        ]
        header = json.dumps({"model_name": "m", "outputs": outputs, **more}).encode()
        return 200, {HEADER: str(len(header))}, header + bytes(sum(counts.values()))

    return answer


GOOD = tensors({"logits": [1, QUERIES, 3], "boxes": [1, QUERIES, 4]})


def ask(url: str, card: ModelCard, folder: Path, **options: Any) -> tuple[Any, list[float]]:
    """Send one image; answers what came back and the pauses taken."""
    pauses: list[float] = []
    engine = RemoteEngine(url, pause=pauses.append, **options)
    try:
        return engine.forward(card, [released(folder)]), pauses
    finally:
        engine.close()


def test_a_good_answer_is_read_and_measured(tmp_path: Path) -> None:
    """Tensors come back in their shapes, with the sizes of both bodies."""
    with server([GOOD]) as (url, seen):
        answer, _ = ask(url, detector(tmp_path), tmp_path)
    assert answer.raw["boxes"].shape == (1, QUERIES, 4)
    assert answer.sent_bytes == len(seen[0][1])
    assert answer.received_bytes > QUERIES * 7 * 4
    assert released(tmp_path).payload in seen[0][1]


def test_the_request_says_nothing_of_the_image(tmp_path: Path) -> None:
    """Neither image id, level nor run travel with the pixels."""
    with server([GOOD]) as (url, seen):
        engine = RemoteEngine(url)
        gate = Gate(Open(), AuditLog(tmp_path / "a.jsonl"), "cloud")
        engine.forward(detector(tmp_path), [gate.release(picture(), "image-id-1", "confidential", "run-id-1")])
        engine.close()
    assert not any(word in seen[0][1] for word in (b"image-id-1", b"confidential", b"run-id-1"))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_tried_again(tmp_path: Path, status: int) -> None:
    """Two refusals and then an answer cost two growing, jittered pauses."""
    with server([refusal(status), refusal(status), GOOD]) as (url, seen):
        _, pauses = ask(url, detector(tmp_path), tmp_path)
    assert (len(seen), len(pauses)) == (3, 2)
    assert pauses[0] <= 0.4
    assert pauses[1] <= 0.8


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [
        (503, EngineUnavailableError, 3),
        (400, ModelInputError, 1),
        (401, SettingsError, 1),
        (403, SettingsError, 1),
        (404, CatalogError, 1),
        (501, CatalogError, 1),
        (500, EngineResponseError, 1),
    ],
)
def test_each_refusal_has_its_error(tmp_path: Path, status: int, kind: type[LabelopError], tries: int) -> None:
    """Only what may change is tried again; the error carries the server's sentence."""
    with server([refusal(status)]) as (url, seen), pytest.raises(kind, match="because"):
        ask(url, detector(tmp_path), tmp_path)
    assert len(seen) == tries


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    """A refused connection is retryable and names the model."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(EngineUnavailableError, match="tiny-boxes"):
        ask(f"http://127.0.0.1:{port}", detector(tmp_path), tmp_path)
    engine = RemoteEngine(f"http://127.0.0.1:{port}")
    assert engine.ready() is False


def test_a_server_that_stalls_is_too_late(tmp_path: Path) -> None:
    """A connection that is taken and never answered ends by time."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(EngineTimeoutError, match="did not answer"):
            ask(url, detector(tmp_path), tmp_path, timeout_seconds=0.05, attempts=2)


@pytest.mark.parametrize(
    "answer",
    [
        tensors({"logits": [1, QUERIES, 3]}),
        tensors({"logits": [2, QUERIES, 3], "boxes": [2, QUERIES, 4]}),
        tensors({"logits": [1, QUERIES, 3], "boxes": [1, QUERIES, 4]}, datatype="INT32"),
        tensors({"logits": [1, QUERIES, 3], "boxes": [1, QUERIES, 4]}, size=4),
        lambda: (200, {}, b"no json"),
        lambda: (200, {}, b"{}"),
        lambda: (200, {HEADER: "many"}, b"{}"),
        lambda: (200, {HEADER: "2"}, b"[]"),
    ],
    ids=["missing", "other-count", "other-type", "other-size", "text", "empty", "bad-header", "list"],
)
def test_answers_that_do_not_fit_are_errors(tmp_path: Path, answer: Answer) -> None:
    """A lying server is one error of the tree, never a crash or a wrong tensor."""
    with server([answer]) as (url, _), pytest.raises(EngineResponseError):
        ask(url, detector(tmp_path), tmp_path)


def test_another_digest_ends_the_run(tmp_path: Path) -> None:
    """A server that names other weights is refused."""
    answer = tensors({"logits": [1, QUERIES, 3], "boxes": [1, QUERIES, 4]}, parameters={"model_digest": "f" * 64})
    with server([answer]) as (url, _), pytest.raises(CatalogError, match="ffff"):
        ask(url, detector(tmp_path), tmp_path)


@pytest.mark.parametrize("thing", ["bytes", "elsewhere"])
def test_only_releases_for_this_placement_are_sent(tmp_path: Path, thing: str) -> None:
    """Bare bytes, and a release for another placement, never reach the network."""
    one: Any = b"payload" if thing == "bytes" else released(tmp_path, "elsewhere")
    with server([GOOD]) as (url, seen):
        with pytest.raises((PlacementForbiddenError, AttributeError)):
            RemoteEngine(url).forward(detector(tmp_path), [one])
        assert seen == []


@pytest.mark.parametrize("address", ["", "host:80", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """The message says which form is expected."""
    with pytest.raises(SettingsError, match="http://host:port"):
        RemoteEngine(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_loopback_is_known(address: str) -> None:
    """This machine is told from others by its address."""
    assert RemoteEngine(address).is_loopback
    assert not RemoteEngine("https://models.example:443").is_loopback


def test_threads_have_their_own_connections(tmp_path: Path) -> None:
    """Several threads share one engine without mixing answers."""
    card, errors = detector(tmp_path), []
    one = released(tmp_path)
    with server([GOOD]) as (url, seen):
        engine = RemoteEngine(url)

        def work() -> None:
            try:
                for _ in range(5):
                    engine.forward(card, [one])
            except LabelopError as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.close()
    assert (errors, len(seen)) == ([], 20)


@pytest.mark.parametrize(
    "data",
    [b"hello\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", b"HTTP/1.1 502 X\r\n\r\n<html>"],
    ids=["no-http", "closed", "cut", "proxy"],
)
def test_a_broken_connection_is_unavailable(tmp_path: Path, data: bytes) -> None:
    """Bytes that are no answer, an answer that stops, and a proxy's page are tried again and then raised as such."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(8):
                try:
                    one, _ = listener.accept()
                except OSError:
                    return
                with one:
                    one.recv(65536)
                    one.sendall(data)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(EngineUnavailableError):
            ask(f"http://127.0.0.1:{listener.getsockname()[1]}", detector(tmp_path), tmp_path, attempts=2)
