"""What of the way to a GPU can be held without one: who asks, in which order, and memory that is used again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from labelop.catalog.choice import EngineChoice
from labelop.engines.base import ModelInputs
from labelop.engines.cuda import Cuda
from labelop.engines.folder import FolderEngine
from labelop.engines.graph import Bound
from tests.unit.engines.checkpoints import checkpoint
from tests.unit.engines.models import HEIGHT_PX, WIDTH_PX, detector, picture


class Tensor:
    """An array that writes down where it was sent, and by whom."""

    def __init__(self, value: NDArray[Any], steps: list[tuple[str, str]]) -> None:
        self.value, self.steps = value, steps

    def numpy(self) -> NDArray[Any]:
        """Give the array."""
        return self.value

    def to(self, place: str, *, non_blocking: bool) -> Tensor:
        """Note where it goes."""
        assert non_blocking
        return self.note(f"to {place}")

    def float(self) -> Tensor:
        """Stay what it is."""
        return self

    def record_stream(self, _: object) -> None:
        """Note that its memory is kept."""
        self.note("kept until computed")

    def note(self, what: str) -> Tensor:
        """Write a step down with its thread."""
        self.steps.append((what, threading.current_thread().name))
        return self


def recorder(steps: list[tuple[str, str]]) -> Any:
    """Make what `Cuda` uses of torch, which writes each step down with its thread."""

    def note(what: str) -> None:
        steps.append((what, threading.current_thread().name))

    class Stream:
        def wait_stream(self, _: object) -> None:
            note("wait for the copies")

    class Event:
        def record(self, _: object) -> None:
            note("mark")

        def synchronize(self) -> None:
            note("wait for the mark")

    @contextlib.contextmanager
    def stream(_: object) -> Iterator[None]:
        yield

    def empty(shape: tuple[int, ...], dtype: Any, *, pin_memory: bool) -> Tensor:
        assert pin_memory
        return Tensor(np.empty(shape, dtype), steps).note("stage")

    cuda = SimpleNamespace(Stream=Stream, Event=Event, stream=stream, current_stream=Stream)
    return SimpleNamespace(cuda=cuda, empty=empty, uint8=np.uint8)


def test_one_thread_asks_and_the_callers_wait() -> None:
    """Each caller stages and waits for its own; one thread asks for all between, in an order that is safe."""
    steps: list[tuple[str, str]] = []
    gpu = Cuda(recorder(steps))

    def run(number: int) -> dict[str, NDArray[np.float32]]:
        return gpu.run([np.full(3, number, np.uint8)], lambda images: {"logits": images.note("compute")})

    with ThreadPoolExecutor(4, thread_name_prefix="caller") as callers:
        answers = list(callers.map(run, range(12)))
    assert [answer["logits"].tolist() for answer in answers] == [[number] * 3 for number in range(12)]
    asked = [what for what, who in steps if who.startswith("cuda")]
    order = ["to cuda", "wait for the copies", "kept until computed", "compute", "to cpu", "mark"]
    assert asked == order * 12
    assert len({who for what, who in steps if what in order}) == 1
    assert all(who.startswith("caller") for what, who in steps if what in ("stage", "wait for the mark"))


def test_a_pass_that_fails_fails_its_caller_only() -> None:
    """What is raised in the thread that asks reaches the one who waits, and the next pass runs."""
    gpu = Cuda(recorder([]))
    with pytest.raises(RuntimeError, match="out of memory"):
        gpu.run([np.zeros(1, np.uint8)], lambda _: (_ for _ in ()).throw(RuntimeError("CUDA out of memory")))
    assert gpu.run([np.ones(1, np.uint8)], lambda images: {"logits": images})["logits"].tolist() == [1]


def test_bound_memory_answers_as_the_session_does(tmp_path: Path) -> None:
    """Passes of two sizes, many at a time, each get an answer that stays when the memory is used again."""
    card = detector(tmp_path)
    session = onnxruntime.InferenceSession(str(card.files["model"]), providers=["CPUExecutionProvider"])
    bound, names = Bound(session, "cpu"), ["logits", "boxes"]
    draw = np.random.default_rng(5)
    feeds = [{"images": draw.integers(0, 256, (count, HEIGHT_PX, WIDTH_PX, 3), np.uint8)} for count in (2, 2, 1, 2) * 5]
    with ThreadPoolExecutor(3) as callers:
        answers = list(callers.map(lambda feed: bound.run(names, feed), feeds))
    for feed, answer in zip(feeds, answers, strict=True):
        for one, other in zip(answer, session.run(names, feed), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_compiled_folder_takes_passes_of_one_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch compiles sees one number of images; each other number used to be compiled anew."""
    torch = pytest.importorskip("torch")
    seen: list[tuple[int, ...]] = []

    def compiled(model: Any, **how: Any) -> Any:
        assert how == {"dynamic": False, "mode": None}

        def run(*, pixel_values: Any) -> Any:
            seen.append(tuple(pixel_values.shape))
            return model(pixel_values=pixel_values)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    engine = FolderEngine(checkpoint(tmp_path, "resnet"), 1, EngineChoice("torch", compiled=True, most_images=4))
    frames = np.stack([engine.preprocess(picture(seed)) for seed in range(6)])
    assert len(engine.forward(ModelInputs(frames))["logits"]) == len(frames)
    engine.forward(ModelInputs(frames[:1]))
    assert {shape[0] for shape in seen} == {4}
