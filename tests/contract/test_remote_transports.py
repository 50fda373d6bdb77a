"""The client over HTTP and over gRPC, against servers that fail: the same faults are the same errors."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labelop.engines import over_http
from labelop.engines.breaker import CircuitBreaker
from labelop.engines.remote import RemoteEngine
from labelop.errors import (
    CatalogError,
    EngineResponseError,
    EngineTimeoutError,
    EngineUnavailableError,
    LabelopError,
    ModelInputError,
    SettingsError,
)
from tests.contract.doubles import Says, ask, double, http_server, released
from tests.loopback import nobody_there
from tests.unit.engines.models import QUERIES, detector


@pytest.fixture(params=["http", "grpc"])
def kind(request: pytest.FixtureRequest) -> str:
    """Name each transport."""
    if request.param == "grpc":
        pytest.importorskip("grpc")
    return str(request.param)


def test_bytes_are_booked(kind: str, tmp_path: Path) -> None:
    """What travelled is at least the payload one way, and the tensors the other."""
    with double(kind, Says()) as (url, _):
        found = ask(url, tmp_path)
    assert len(released(tmp_path).payload) < found.sent_bytes < len(released(tmp_path).payload) + 1000
    assert QUERIES * 7 * 4 < found.received_bytes < QUERIES * 7 * 4 + 1000


def test_a_busy_server_is_tried_again(kind: str, tmp_path: Path) -> None:
    """Two refusals and then an answer cost two pauses."""
    pauses: list[float] = []
    with double(kind, Says(refusal="busy"), Says(refusal="busy"), Says()) as (url, asked):
        ask(url, tmp_path, pause=pauses.append)
    assert (len(asked), len(pauses)) == (3, 2)


@pytest.mark.parametrize(
    ("refusal", "error", "tries"),
    [
        ("busy", EngineUnavailableError, 3),
        ("bad_input", ModelInputError, 1),
        ("not_admitted", SettingsError, 1),
        ("not_served", CatalogError, 1),
        ("failed", EngineResponseError, 1),
    ],
)
def test_each_refusal_has_its_error(
    kind: str, tmp_path: Path, refusal: str, error: type[LabelopError], tries: int
) -> None:
    """Only what may change is tried again; the error carries the server's sentence."""
    with double(kind, Says(refusal=refusal)) as (url, asked), pytest.raises(error, match="because"):
        ask(url, tmp_path)
    assert len(asked) == tries


@pytest.mark.parametrize(
    "says",
    [
        Says({"logits": [1, QUERIES, 5], "boxes": [1, QUERIES, 4]}),
        Says({"logits": [2, QUERIES, 3], "boxes": [2, QUERIES, 4]}),
        Says({"logits": [1, QUERIES, 3]}),
        Says(datatype="INT32"),
        Says(cut=4),
        Says(cut=QUERIES * 4 * 4),
    ],
    ids=["classes", "count", "missing", "type", "cut", "half"],
)
def test_answers_that_do_not_fit_are_errors(kind: str, tmp_path: Path, says: Says) -> None:
    """Another model's shapes, another type, and half an answer are one error, and are not asked for again."""
    with double(kind, says) as (url, asked), pytest.raises(EngineResponseError) as caught:
        ask(url, tmp_path)
    assert caught.value.context["code"] == "BAD_SHAPE"
    assert len(asked) == 1


def test_a_late_answer_is_a_timeout(kind: str, tmp_path: Path) -> None:
    """An answer that does not come in time ends the try, and the tries end."""
    late = threading.Event()
    with double(kind, Says(wait=late)) as (url, asked):
        with pytest.raises(EngineTimeoutError, match="did not answer"):
            ask(url, tmp_path, timeout_seconds=1.0, attempts=2, clock=lambda: 0.0)
        late.set()
        assert len(asked) == 2


def test_a_huge_answer_is_not_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger than any answer may be is refused, not held in memory."""
    monkeypatch.setattr(over_http, "MAX_ANSWER_BYTES", 100_000)
    if kind == "grpc":
        from labelop.engines import over_grpc  # noqa: PLC0415 - an extra

        others = [option for option in over_grpc._OPTIONS if option[0] != "grpc.max_receive_message_length"]
        monkeypatch.setattr(over_grpc, "_OPTIONS", (*others, ("grpc.max_receive_message_length", 100_000)))
    huge = Says({"logits": [1, 50_000, 3], "boxes": [1, 50_000, 4]})
    with double(kind, huge) as (url, asked), pytest.raises(EngineResponseError, match="an answer of more than"):
        ask(url, tmp_path)
    assert len(asked) == 1


@contextmanager
def cutting(port: int, most_bytes: int) -> Iterator[int]:
    """Stand between client and server and drop the connection inside the answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=pump, args=(client, server, None), daemon=True).start()
            pump(server, client, most_bytes)

    def pump(source: socket.socket, target: socket.socket, most: int | None) -> None:
        left = most
        try:
            while left != 0 and (data := source.recv(4096)):
                part = data if left is None else data[:left]
                target.sendall(part)
                left = None if left is None else left - len(part)
            for one in (source, target):
                one.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_a_connection_dropped_inside_an_answer_is_tried_again(kind: str, tmp_path: Path) -> None:
    """Each try ends as unavailable and the last one is raised."""
    large = Says({"logits": [1, 5000, 3], "boxes": [1, 5000, 4]})
    with (
        double(kind, large) as (url, _),
        cutting(int(url.rpartition(":")[2]), 20_000) as port,
        pytest.raises(EngineUnavailableError),
    ):
        ask(f"{kind}://127.0.0.1:{port}", tmp_path, attempts=2, timeout_seconds=10)


def test_nobody_there_opens_the_circuit(kind: str, tmp_path: Path) -> None:
    """Refused connections are retryable, and after enough of them nothing is asked."""
    breaker = CircuitBreaker(failures=3)
    with nobody_there() as port:
        engine = RemoteEngine(f"{kind}://127.0.0.1:{port}", breaker=breaker, pause=lambda _: None)
        assert not engine.ready()
        with pytest.raises(EngineUnavailableError, match="tiny-boxes"):
            engine.open([detector(tmp_path)])
    with pytest.raises(EngineUnavailableError, match="was not asked"):
        engine.open([detector(tmp_path)])
    engine.close()


@pytest.mark.parametrize(("after", "tries"), [("2", 3), ("100", 2), ("900", 1), ("soon", 3)])
def test_retry_after_is_heard_within_the_deadline(tmp_path: Path, after: str, tries: int) -> None:
    """A pause is as long as the server asks; one that would end after the deadline is not begun."""
    now, pauses = [0.0], []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    busy = http_server(lambda: (503, {"Retry-After": after}, b"{}"))
    with busy as (url, seen), pytest.raises(EngineUnavailableError):
        ask(url, tmp_path, pause=pause, clock=lambda: now[0])
    assert len(seen) == tries
    assert now[0] <= 180
    assert after == "soon" or all(seconds >= float(after) for seconds in pauses)


def test_a_redirect_is_refused_and_not_followed(tmp_path: Path) -> None:
    """Images go to the address that was agreed on; the message says where they should have gone, without the query."""
    with http_server(lambda: (200, {}, b"")) as (elsewhere, lured):
        there = {"Location": f"{elsewhere}/v2?token=secret"}
        with http_server(lambda: (307, there, b"")) as (url, seen), pytest.raises(SettingsError) as caught:
            ask(url, tmp_path)
    assert (len(seen), len(lured)) == (1, 0)
    assert elsewhere in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_without_tls_is_a_fault_of_the_address(tmp_path: Path) -> None:
    """TLS to a server that speaks http is said at once, and tried once."""
    with http_server(lambda: (200, {}, b"")) as (url, seen), pytest.raises(SettingsError, match="reached safely"):
        ask(url.replace("http:", "https:"), tmp_path)
    assert seen == []
