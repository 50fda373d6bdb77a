"""What a far end costs when it fails: every try's bytes and every pass's seconds are somebody's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from labelop.engines.compose import ArmModels, ComposedArm
from labelop.engines.lanes import ImageItem, LocalLane, Ready
from labelop.engines.over_http import HttpTransport
from labelop.engines.remote import RemoteEngine
from labelop.engines.transport import Question, Travelled
from labelop.errors import EngineError, EngineResponseError, EngineUnavailableError
from tests.contract.doubles import GOOD, Raw, Says, ask, double, http_answer, http_server, released
from tests.loopback import nobody_there
from tests.unit.engines.models import detector, picture


def test_every_try_is_booked(tmp_path: Path) -> None:
    """Two refusals before an answer send the image three times; only the last was counted before."""
    said: list[Raw] = [(503, {}, b'{"error": "busy"}')] * 2
    with http_server(lambda: said.pop() if said else http_answer(GOOD)) as (url, seen):
        found = ask(url, tmp_path)
    assert len(seen) == 3
    assert found.sent_bytes == sum(len(body) for _, body in seen)
    assert found.received_bytes == len(http_answer(GOOD)[2]) + 2 * len(b'{"error": "busy"}')


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_request_that_fails_is_booked(tmp_path: Path, kind: str) -> None:
    """A server that fails has been sent the image all the same."""
    if kind == "grpc":
        pytest.importorskip("grpc")
    moved = Travelled()
    with double(kind, Says(refusal="failed")) as (url, _):
        engine = RemoteEngine(url)
        with pytest.raises(EngineResponseError):
            engine.forward(detector(tmp_path), [released(tmp_path)], None, moved)
        engine.close()
    assert moved.sent_bytes > len(released(tmp_path).payload)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_nothing_is_booked_where_nobody_was_reached(tmp_path: Path, kind: str) -> None:
    """A refused connection has carried nothing, however often it was tried."""
    if kind == "grpc":
        pytest.importorskip("grpc")
    card, moved = detector(tmp_path), Travelled()
    with nobody_there() as port:
        engine = RemoteEngine(f"{kind}://127.0.0.1:{port}", pause=lambda _: None)
        engine._describe = lambda *_: type("Said", (), {"proves_digest": False, "wants_release": False})  # type: ignore[assignment,method-assign]
        with pytest.raises(EngineUnavailableError):
            engine.forward(card, [released(tmp_path)], None, moved)
    engine.close()
    assert (moved.sent_bytes, moved.received_bytes) == (0, 0)


def test_a_connect_that_times_out_has_sent_nothing(tmp_path: Path) -> None:
    """A server that takes no connection has carried nothing; such a timeout counted as sent before."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as held:
        address = full.getsockname()
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        transport, moved = HttpTransport(f"http://127.0.0.1:{address[1]}"), Travelled()
        with pytest.raises(TimeoutError):
            transport.infer(Question("m", [released(tmp_path).payload], None, ["logits"]), 0.2, moved)
        transport.close()
    assert moved.sent_bytes == 0


def test_the_head_of_an_answer_has_an_end() -> None:
    """A server whose head never ends is refused by its size; it was read until the deadline before."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pour() -> None:
            one, _ = listener.accept()
            with one, suppress(OSError):
                one.recv(65536)
                one.sendall(b"HTTP/1.1 200 OK\r\n")
                while True:
                    one.sendall(b"X-More: and more\r\n" * 100)

        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        transport = HttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(ValueError, match="a head of more than 65536 bytes"):
            transport.describe("m", 20.0)
        transport.close()
        thread.join(10)
    assert not thread.is_alive()


def test_a_pass_whose_server_is_lost_tells_what_it_cost(tmp_path: Path) -> None:
    """The error carries what every image had cost until then: nobody else knows it."""
    lane = FailingLane(EngineUnavailableError("gone"))
    items = [ImageItem(str(number), picture(number), "public") for number in range(3)]
    with pytest.raises(EngineUnavailableError) as caught:
        ComposedArm(ArmModels(detector(tmp_path)), lane).prelabel(items)
    costs = caught.value.context["costs"]
    assert [(one.sent_bytes, one.received_bytes) for one in costs] == [(34, 3), (33, 2), (33, 2)]
    assert all(one.infer_seconds > 0 for one in costs)


class FailingLane(LocalLane):
    """A lane whose passes all fail, after 100 bytes went out and 7 came back."""

    def __init__(self, error: EngineError | None = None) -> None:
        super().__init__({})
        self.error = error or EngineResponseError("The model failed", code="SERVER_FAILED")
        self.passes: list[int] = []

    def run(self, card: Any, ready: Sequence[Ready], travelled: Travelled) -> Any:  # noqa: ARG002
        """Count the pass and fail."""
        self.passes.append(len(ready))
        travelled.sent_bytes += 100
        travelled.received_bytes += 7
        raise self.error

    def most_images(self, card: Any) -> int:  # noqa: ARG002
        """Take any number."""
        return 8


def test_a_pass_that_fails_is_paid_by_its_images(tmp_path: Path) -> None:
    """Each image bears its share of the pass for all and its own: such images cost nothing before."""
    lane = FailingLane()
    items = [ImageItem(str(number), picture(number), "public") for number in range(3)]
    results = ComposedArm(ArmModels(detector(tmp_path)), lane).prelabel(items)
    assert lane.passes == [3, 1, 1, 1]
    assert [(one.outcome, one.reason) for one in results] == [("failed", "SERVER_FAILED")] * 3
    assert sum(one.sent_bytes for one in results) == 400
    assert sum(one.received_bytes for one in results) == 28
    assert all(one.infer_seconds > 0 for one in results)
