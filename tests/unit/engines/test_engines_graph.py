"""Graphs: refused at loading when they are not what their card says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from labelop.catalog.choice import EngineChoice
from labelop.engines import graph
from labelop.engines.base import ModelInputs, load_engine, open_engine
from labelop.engines.graph import GraphEngine
from labelop.engines.measure import _ways
from labelop.errors import DigestMismatchError, EngineResponseError, ModelLoadError
from labelop.settings import Settings
from tests.unit.engines.models import classifier, detector, picture, segmenter


def test_a_file_that_is_no_graph_is_a_load_error(tmp_path: Path) -> None:
    """The message names the model and the file, in one line."""
    card = detector(tmp_path)
    card.files["model"].write_bytes(b"no graph")
    with pytest.raises(ModelLoadError, match=r"tiny-boxes: tiny-boxes\.onnx") as caught:
        GraphEngine(card, 1)
    assert "\n" not in str(caught.value)


def test_a_graph_of_another_task_is_a_load_error(tmp_path: Path) -> None:
    """A classifier's graph under a detector's card, or a segmenter with other features, is refused."""
    wrong = replace(detector(tmp_path), files=classifier(tmp_path).files)
    with pytest.raises(ModelLoadError, match="boxes"):
        GraphEngine(wrong, 1)
    with pytest.raises(ModelLoadError, match="other"):
        GraphEngine(replace(segmenter(tmp_path), encoder_outputs=("other",)), 1)


def test_files_are_proven_before_they_are_opened(tmp_path: Path) -> None:
    """Opening checks digests first."""
    card = detector(tmp_path, "proven", seed=9)
    card.files["model"].write_bytes(card.files["model"].read_bytes() + b"\x00")
    with pytest.raises(DigestMismatchError):
        open_engine(card, Settings())


CARD_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "width": ({"width_px": 33}, r"images as uint8\(n, 24, 32, 3\).*uint8\(n, 24, 33, 3\)"),
    "classes": ({"classes": ("disc", "ring")}, r"logits as float\(n, 7, 3\).*float\(n, n, 2\)"),
    "family": ({"family": "detr"}, r"logits as float\(n, 7, 3\).*float\(n, n, 4\)"),
}
"""What a card may say wrongly, with what the message must name: the file's form and the card's."""


@pytest.mark.parametrize("fault", CARD_FAULTS)
@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_a_card_that_does_not_match_its_graph_is_a_load_error(tmp_path: Path, kind: str, fault: str) -> None:
    """Size, classes and family are compared when the graph is loaded, and both sides are named."""
    if kind == "openvino":
        pytest.importorskip("openvino")
    changes, said = CARD_FAULTS[fault]
    with pytest.raises(ModelLoadError, match=said):
        load_engine(replace(detector(tmp_path), **changes), 1, EngineChoice(kind))


def test_a_graph_that_fails_while_running_has_a_code(tmp_path: Path) -> None:
    """A failure inside a pass is an engine error with a reason code."""
    engine = GraphEngine(detector(tmp_path), 1)
    engine.card = replace(engine.card, width_px=33)
    with pytest.raises(EngineResponseError) as caught:
        engine.forward(ModelInputs(engine.preprocess(picture())[None]))
    assert caught.value.context["code"] == "MODEL_FAILED"


def test_masks_fill_their_prompts(tmp_path: Path) -> None:
    """Each prompt gets its own mask, positive inside the prompt only."""
    engine = open_engine(segmenter(tmp_path), Settings())
    boxes = np.array([[0, 0, 16, 12], [16, 12, 32, 24]], dtype=np.float32)
    masks = engine.forward(ModelInputs(engine.preprocess(picture())[None], boxes))["masks"][0]
    expected = np.zeros((2, 6, 8), dtype=bool)
    expected[0, :3, :4] = expected[1, 3:, 4:] = True
    assert ((masks > 0) == expected).all()


CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


class Pretending:
    """A session on the processor that says it runs on what it was asked for, or on what it fell back to."""

    asked: ClassVar[list[list[str]]] = []
    falls_back = False

    def __init__(self, path: str, options: Any, providers: list[str]) -> None:
        self._real = REAL_SESSION(path, options, providers=[CPU])
        self._said = [CPU] if self.falls_back else providers
        self.asked.append(providers)

    def get_providers(self) -> list[str]:
        """Say what is pretended."""
        return self._said

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


onnxruntime = vars(graph)["onnxruntime"]  # as the engine imported it: quiet
REAL_SESSION = onnxruntime.InferenceSession


@pytest.fixture
def pretending(monkeypatch: pytest.MonkeyPatch) -> type[Pretending]:
    """Pretend a build with all providers."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Pretending)
    monkeypatch.setattr(Pretending, "asked", [])
    return Pretending


@pytest.mark.parametrize(
    ("device", "providers"), [("cpu", [CPU]), ("cuda", [CUDA, CPU]), ("tensorrt", [TENSORRT, CUDA, CPU])]
)
def test_a_device_asks_for_its_provider_first(
    tmp_path: Path, pretending: type[Pretending], device: str, providers: list[str]
) -> None:
    """What the provider cannot run goes to the next one; TensorRT is never asked for where CUDA was chosen."""
    engine = GraphEngine(detector(tmp_path), 1, EngineChoice("onnxruntime", device=device))
    assert pretending.asked == [providers]
    assert engine.name == ("onnxruntime" if device == "cpu" else f"onnxruntime-{device}")


def test_a_provider_that_cannot_start_is_an_error(
    tmp_path: Path, pretending: type[Pretending], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build lists its providers on machines without a GPU too, and goes on with the processor in silence."""
    monkeypatch.setattr(pretending, "falls_back", True)
    with pytest.raises(ModelLoadError, match="was to run on cuda, onnxruntime could only start CPUExecutionProvider"):
        GraphEngine(detector(tmp_path), 1, EngineChoice("onnxruntime", device="cuda"))


@pytest.mark.parametrize(
    ("present", "asked", "expected"),
    [
        ([CPU], "auto", ["cpu"]),
        ([CUDA, CPU], "auto", ["cpu", "cuda"]),
        ([TENSORRT, CUDA, CPU], "auto", ["cpu", "cuda"]),
        ([TENSORRT, CUDA, CPU], "tensorrt", ["cpu", "cuda", "tensorrt"]),
        ([CUDA, CPU], "tensorrt", ["cpu", "cuda"]),
    ],
)
def test_a_profile_measures_each_device_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: list[str], asked: Any, expected: list[str]
) -> None:
    """TensorRT is a candidate of its own where it is there and asked for: it builds for minutes."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: present)
    ways = _ways(detector(tmp_path), Settings(engine_device=asked), ["onnxruntime"])
    assert [way.device for way in ways] == expected
