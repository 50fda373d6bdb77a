"""How long the client waits for a server, and when it gives up on one; by a clock and a transport of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelop.engines.breaker import CircuitBreaker
from labelop.engines.remote import RemoteEngine
from labelop.engines.transport import Kind, Question, RefusedError, Reply
from labelop.errors import EngineResponseError, EngineUnavailableError, LabelopError
from tests.contract.doubles import GOOD, released
from tests.unit.engines.models import detector


class Server:
    """A transport to a server that does as it is told, with a clock that only pauses move."""

    def __init__(self, **does: Callable[[], Any]) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self._does = does

    def _do(self, what: str, default: Any = None) -> Any:
        self.asked.append(what)
        return self._does[what]() if what in self._does else default

    def ready(self, model: str | None, _: float) -> None:
        """Answer for a model, or as the server."""
        self._do("ready" if model else "server_ready")

    def describe(self, _: str, __: float) -> Any:
        """Describe a model."""
        return self._do("describe", {})

    def infer(self, question: Question, _: float, __: object) -> Reply:
        """Answer with zeros."""
        self._do("infer")
        tensors = {name: np.zeros([len(question.images), *GOOD[name][1:]], np.float32) for name in GOOD}
        return Reply({}, tensors.get)

    def close(self) -> None:
        """Have nothing to close."""

    def engine(self, **options: Any) -> RemoteEngine:
        """Make a client of this server."""

        def pause(seconds: float) -> None:
            self.now += seconds

        breaker = CircuitBreaker(clock=lambda: self.now)
        given: dict[str, Any] = {"pause": pause, "clock": lambda: self.now, "breaker": breaker} | options
        engine = RemoteEngine("http://127.0.0.1:1", **given)
        engine._transport = self
        return engine


def refusing(kind: Kind, until: Callable[[], bool] = lambda: False) -> Callable[[], None]:
    """Refuse until something holds."""

    def answer() -> None:
        if not until():
            raise RefusedError(kind, "0", "because")

    return answer


@pytest.mark.parametrize("what", ["ready", "describe"])
@pytest.mark.parametrize("kind", ["busy", "not_ready"])
def test_a_server_that_is_loading_is_waited_for(tmp_path: Path, what: str, kind: Kind) -> None:
    """A model that takes two minutes to load is there in the end; three quick tries gave it up before."""
    server = Server()
    server._does[what] = refusing(kind, lambda: server.now > 120)
    server.engine().open([detector(tmp_path)])
    assert 120 < server.now < 150, "no pause is longer than a circuit rests"
    assert len(server.asked) < 60


def test_a_server_that_never_gets_ready_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    """The wait ends with all tries' time, and whoever comes next is told at once."""
    server = Server(ready=refusing("not_ready"))
    engine = server.engine()
    with pytest.raises(EngineUnavailableError, match=r"not ready|was not asked"):
        engine.open([detector(tmp_path)])
    assert 150 < server.now <= 180
    asked = len(server.asked)
    with pytest.raises(EngineUnavailableError):
        engine.forward(detector(tmp_path), [released(tmp_path)])
    assert len(server.asked) - asked <= 2


def test_a_model_nobody_has_is_left_to_the_first_request(tmp_path: Path) -> None:
    """A server that is ready, but neither describes a model nor has it ready, has none: waiting would not help."""
    server = Server(describe=refusing("not_served"), ready=refusing("not_ready"))
    server.engine().open([detector(tmp_path)])
    assert server.asked == ["describe", "ready", "server_ready"]
    assert server.now == 0


def test_a_server_that_cannot_describe_its_models_is_not_sent_images(tmp_path: Path) -> None:
    """A 500 for metadata was passed over before, and then every image failed for good."""
    server = Server(describe=refusing("failed"))
    with pytest.raises(EngineUnavailableError, match="does not describe its models"):
        server.engine().forward(detector(tmp_path), [released(tmp_path)])
    assert "infer" not in server.asked


def test_a_server_that_fails_at_everything_opens_the_circuit(tmp_path: Path) -> None:
    """Six failures of the server in a row end its requests; such answers counted as good ones before."""
    server, card, one = Server(infer=refusing("failed")), detector(tmp_path), released(tmp_path)
    engine, found = server.engine(), list[type[LabelopError]]()
    for _ in range(8):
        with pytest.raises(LabelopError) as caught:
            engine.forward(card, [one])
        found.append(caught.type)
    assert found == [EngineResponseError] * 6 + [EngineUnavailableError] * 2
    assert server.asked.count("infer") == 6


def test_failures_among_good_answers_leave_the_circuit_closed(tmp_path: Path) -> None:
    """One image in two that the server fails at is no reason to give it up, however many there are."""
    server, card, one = Server(), detector(tmp_path), released(tmp_path)
    server._does["infer"] = refusing("failed", lambda: len(server.asked) % 2 == 0)
    engine = server.engine()
    engine.open([card])
    for _ in range(10):
        with pytest.raises(EngineResponseError):
            engine.forward(card, [one])
        engine.forward(card, [one])


def test_waiting_for_a_slot_is_no_time_of_the_server(tmp_path: Path) -> None:
    """A request that waited behind others has its whole time; before, one that waited long had a millisecond."""
    server, given = Server(), list[float]()

    class Queue:
        """Slots that others hold for a hundred seconds."""

        def __enter__(self) -> None:
            server.now += 100

        def __exit__(self, *_: object) -> None:
            pass

    engine = server.engine(attempts=1, timeout_seconds=60)
    engine._slots = Queue()  # type: ignore[assignment]
    engine._try(detector(tmp_path), given.append)
    assert given == [60]
