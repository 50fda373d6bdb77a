"""The HTTP client against servers that refuse, lie or vanish in ways only HTTP has; see also test_remote_transports."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labelop.egress.audit import AuditLog
from labelop.egress.gate import Gate
from labelop.engines import over_http
from labelop.engines.remote import RemoteEngine
from labelop.engines.wire import HEADER
from labelop.errors import (
    CatalogError,
    EngineResponseError,
    EngineUnavailableError,
    LabelopError,
    ModelInputError,
    PlacementForbiddenError,
    SettingsError,
)
from tests.contract.doubles import GOOD, Open, Raw, ask, http_answer, http_server, released
from tests.unit.engines.models import detector, picture


@contextmanager
def server(answer: Raw | None = None, said: Any = None) -> Iterator[tuple[str, list[tuple[str | None, bytes]]]]:
    """Serve one answer again and again; a good one when None."""
    with http_server(lambda: answer or http_answer(GOOD), said) as served:
        yield served


def test_the_request_says_nothing_of_the_image(tmp_path: Path) -> None:
    """Neither image id, level nor run travel with the pixels."""
    with server() as (url, seen):
        engine = RemoteEngine(url)
        gate = Gate(Open(), AuditLog(tmp_path / "a.jsonl"), "cloud")
        engine.forward(detector(tmp_path), [gate.release(picture(), "image-id-1", "confidential", "run-id-1")])
        engine.close()
    assert not any(word in seen[0][1] for word in (b"image-id-1", b"confidential", b"run-id-1"))


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [
        (429, EngineUnavailableError, 3),
        (502, EngineUnavailableError, 3),
        (503, EngineUnavailableError, 3),
        (504, EngineUnavailableError, 3),
        (400, ModelInputError, 1),
        (401, SettingsError, 1),
        (403, SettingsError, 1),
        (404, CatalogError, 1),
        (501, CatalogError, 1),
        (500, EngineResponseError, 1),
    ],
)
def test_each_status_has_its_error(tmp_path: Path, status: int, kind: type[LabelopError], tries: int) -> None:
    """Only what may change is tried again, after growing, jittered pauses; the error carries the server's sentence."""
    pauses: list[float] = []
    with server((status, {}, b'{"error": "because"}')) as (url, seen), pytest.raises(kind, match="because"):
        ask(url, tmp_path, pause=pauses.append)
    assert (len(seen), len(pauses)) == (tries, tries - 1)
    assert all(pause <= most for pause, most in zip(pauses, (0.4, 0.8), strict=False))


DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"no json"),
        (200, {}, b"{}"),
        (200, {}, b"null"),
        (200, {HEADER: "many"}, b"{}"),
        (200, {HEADER: "-3"}, b"{}"),
        (200, {HEADER: "2"}, b"[]"),
        (200, {}, DEEP),
        (200, {}, b'{"outputs": 5}'),
        (200, {}, b'{"outputs": [{"name": "logits", "datatype": "FP32", "shape": [1, 99999999999, 9], "data": [1]}]}'),
        (
            200,
            {},
            b'{"outputs": [{"name": "logits", "datatype": "FP32", "shape": [1], "data": [1' + b"0" * 5000 + b"]}]}",
        ),
        (500, {}, b'{"error":' * 100_000),
        (500, {}, b'{"error": ["x"]}'),
        (204, {}, b""),
    ],
    ids=[
        "text",
        "empty",
        "null",
        "bad-header",
        "minus",
        "list",
        "deep",
        "number",
        "huge",
        "long",
        "deep-no",
        "no",
        "204",
    ],
)
def test_an_answer_that_is_none_is_one_error(tmp_path: Path, answer: Raw) -> None:
    """A lying server is one error of the tree, never a crash or a wrong tensor; deep nesting ended the run before."""
    with server(answer) as (url, _), pytest.raises(EngineResponseError):
        ask(url, tmp_path)


@pytest.mark.parametrize(
    "said", [DEEP, b"no json", b" " * (over_http.MAX_TEXT_BYTES + 1)], ids=["deep", "text", "huge"]
)
def test_metadata_that_cannot_be_read_is_no_fault_of_an_image(tmp_path: Path, said: bytes) -> None:
    """Before anything is sent the server is found unusable, retryably, and no more of its words is read than fits."""
    with server(said=said) as (url, seen), pytest.raises(EngineUnavailableError, match="does not describe its models"):
        ask(url, tmp_path)
    assert seen == []


@pytest.mark.parametrize(
    ("to", "shown"), [("http://[x", "cannot be read"), ("http://me:pw@host/a?b=pw", "http://host/a")]
)
def test_a_redirect_is_told_without_its_secrets(tmp_path: Path, to: str, shown: str) -> None:
    """An address that is none ended the run with a foreign error before; a name and password are left out."""
    with server((302, {"Location": to}, b"")) as (url, _), pytest.raises(SettingsError) as caught:
        ask(url, tmp_path)
    assert shown in str(caught.value)
    assert "pw" not in str(caught.value)


def test_a_date_outside_the_calendar_says_nothing(tmp_path: Path) -> None:
    """A `Retry-After` that no calendar has ended the run before."""
    never = {"Retry-After": "Fri, 31 Dec 9999 23:59:59 -1200"}
    with server((503, never, b"{}")) as (url, seen), pytest.raises(EngineUnavailableError):
        ask(url, tmp_path)
    assert len(seen) == 3


def test_a_long_refusal_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Of an error page only the begin is read, and what is left of it is no answer to the next request."""
    page = json.dumps({"error": "because " * 100_000}).encode()
    with server((400, {}, page)) as (url, seen):
        engine = RemoteEngine(url)
        for _ in range(3):
            with pytest.raises(ModelInputError, match="because"):
                engine.forward(detector(tmp_path), [released(tmp_path)])
        engine.close()
    assert len(seen) == 3


def descriptors() -> int:
    """Count what this process holds open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_batches_leave_no_descriptor_behind(tmp_path: Path) -> None:
    """Each batch asks from new threads: their connections were kept, six descriptors a batch, until none was left."""
    card, one, open_now = detector(tmp_path), released(tmp_path), set[int]()
    with server() as (url, seen):
        engine = RemoteEngine(url)
        before = descriptors()
        for _ in range(12):
            with ThreadPoolExecutor(2) as pool:
                together = threading.Barrier(2)

                def work(meet: threading.Barrier = together) -> None:
                    meet.wait(10)
                    engine.forward(card, [one])

                for done in [pool.submit(work) for _ in range(2)]:
                    done.result()
            open_now.add(descriptors())
        engine.close()
        assert max(open_now) - min(open_now) <= 8, "at most one more connection, its loop, and the server's ends"
        assert descriptors() <= before + 4
    assert len(seen) == 24


def test_another_digest_ends_the_run(tmp_path: Path) -> None:
    """A server that names other weights is refused."""
    answer = http_answer(GOOD, parameters={"model_digest": "f" * 64})
    with server(answer) as (url, _), pytest.raises(CatalogError, match="ffff"):
        ask(url, tmp_path)


@pytest.mark.parametrize("thing", ["bytes", "elsewhere"])
def test_only_releases_for_this_placement_are_sent(tmp_path: Path, thing: str) -> None:
    """Bare bytes, and a release for another placement, never reach the network."""
    one: Any = b"payload" if thing == "bytes" else released(tmp_path, "elsewhere")
    with server() as (url, seen):
        with pytest.raises((PlacementForbiddenError, AttributeError)):
            RemoteEngine(url).forward(detector(tmp_path), [one])
        assert seen == []


@pytest.mark.parametrize("address", ["", "host:80", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """The message says which form is expected."""
    with pytest.raises(SettingsError, match="http, https, grpc, grpcs://host:port"):
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
    with server() as (url, seen):
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
            ask(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path, attempts=2)
