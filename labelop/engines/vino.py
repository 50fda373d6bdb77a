"""Runs ONNX graphs on OpenVINO, which uses the processor's bfloat16 units where it has them.

The only module that knows openvino. Each pass has a fixed batch size, because the library is slower on
open shapes, and a SAM2 decoder of open shapes answers nothing at all or fails; so a few sizes are compiled instead: one
image and a full batch, and a few and many boxes.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import EngineChoice
from labelop.engines.base import OUTPUTS, Features, ModelInputs, RawOutputs
from labelop.engines.model import ModelEngine, failed
from labelop.engines.side import streams_of
from labelop.engines.signature import Tensor, check_signature
from labelop.errors import EngineError, MissingExtraError, ModelLoadError
from labelop.settings import forbid

_BOXES = (4, 16)
"""Numbers of boxes for which a decoder is compiled; fewer are filled up, more go in several passes."""
_KINDS = {"u8": "uint8", "f32": "float"}


class VinoEngine(ModelEngine):
    """One ONNX graph, or the encoder and decoder of a segmenter.

    Args:
        card: A card of format onnx whose files are verified.
        threads: Threads of one forward pass; as many passes as the cores have room for compute at once.
        choice: Precision and batch size; bf16 falls back to f32 on a processor without it, and the name says so.

    Raises:
        MissingExtraError: openvino is not installed.
        ModelLoadError: A file is no graph, or has not the inputs and outputs of its task.
    """

    def __init__(self, card: ModelCard, threads: int, choice: EngineChoice) -> None:
        super().__init__(card, choice.images_of(card))
        self._core = _library(card).Core()
        precision = choice.precision if choice.precision in _precisions(self._core) else "f32"
        self.name = f"openvino-{precision}"
        streams = streams_of(threads)
        self._options = {
            "INFERENCE_PRECISION_HINT": precision,
            # a stream runs one request at a time: with a single one, passes of several threads would queue
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads * streams,
            # other threads of this process decode on the same cores
            "ENABLE_CPU_PINNING": False,
        }
        self._lock = threading.Lock()
        self._graphs: dict[tuple[str, int], _Compiled] = {}
        self._closed = False
        for role in ("model", "encoder", "decoder"):
            if role in card.files:
                graph = self._read(card.files[role])
                check_signature(card, role, _tensors(graph.inputs), _tensors(graph.outputs))

    def _piece(self, left: int) -> int:
        return self._most if left >= self._most else 1

    def _pass(self, inputs: ModelInputs) -> RawOutputs:
        return self._run("model", OUTPUTS[self.card.task], {"images": np.ascontiguousarray(inputs.images)})

    def _encode(self, images: NDArray[np.uint8]) -> Features:
        return self._run("encoder", self.card.encoder_outputs, {"images": np.ascontiguousarray(images)})

    def _prompt(self, features: Features, boxes: NDArray[np.float32]) -> RawOutputs:
        names, most = OUTPUTS[self.card.task], _BOXES[-1]
        found = [self._prompted(names, features, boxes[at : at + most]) for at in range(0, max(len(boxes), 1), most)]
        return {name: np.concatenate([one[name] for one in found], axis=1) for name in names}

    def _prompted(self, names: tuple[str, ...], features: Features, boxes: NDArray[np.float32]) -> dict[str, Any]:
        size = next(size for size in _BOXES if size >= len(boxes))
        # prompts do not see each other: what fills up is thrown away
        filled = np.concatenate([boxes, np.tile(np.float32(0), (size - len(boxes), boxes.shape[1]))])
        found = self._run("decoder", names, {**features, "boxes": filled[None]})
        return {name: value[:, : len(boxes)] for name, value in found.items()}

    def close(self) -> None:
        """Free the graphs."""
        with self._lock:
            self._closed = True
            self._graphs.clear()

    def _run(self, role: str, names: tuple[str, ...], feed: dict[str, Any]) -> dict[str, Any]:
        graph = self._compiled(role, feed["boxes"].shape[1] if role == "decoder" else len(feed["images"]))
        try:
            return graph.infer(names, feed)
        except (RuntimeError, MemoryError, ValueError, TypeError) as error:
            raise failed(self.card, f" in its {role}", error) from error

    def _compiled(self, role: str, count: int) -> _Compiled:
        with self._lock:
            if self._closed:
                raise EngineError(f"Model {self.card.id} is closed.")
            found = self._graphs.get((role, count))
            if found is None:
                graph = self._read(self.card.files[role])
                try:
                    size = {"images": [count, self.card.height_px, self.card.width_px, 3]}
                    graph.reshape({"boxes": [1, count, 4]} if role == "decoder" else size)
                    compiled = self._core.compile_model(graph, "CPU", self._options)
                except (RuntimeError, MemoryError) as error:
                    raise failed(self.card, f" while its {role} was compiled for {count}", error) from error
                found = self._graphs[role, count] = _Compiled(compiled)
            return found

    def _read(self, path: Path) -> Any:
        try:
            return self._core.read_model(str(path))
        except RuntimeError as error:
            # the first lines name places in the library's own source
            said = " ".join(str(error).split())[-300:]
            raise ModelLoadError(f"Model {self.card.id}: {path.name} cannot be loaded: {said}") from error


class _Compiled:
    """A compiled graph with a request for each thread that runs it at the same time."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: list[Any] = []

    def infer(self, names: tuple[str, ...], feed: dict[str, Any]) -> dict[str, Any]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        found = request.infer(feed, share_inputs=True)
        # copied: the request's own memory is written again by its next run
        answer = {name: np.array(found[name], dtype=np.float32) for name in names}
        self._idle.append(request)
        return answer


def precisions(card: ModelCard | None = None) -> list[str]:
    """List the precisions this processor computes in: f32, and bf16 where it has the instructions.

    Raises:
        MissingExtraError: openvino is not installed.
    """
    return _precisions(_library(card).Core())


def _precisions(core: Any) -> list[str]:
    capable = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["f32", "bf16"] if "BF16" in capable else ["f32"]


def _library(card: ModelCard | None = None) -> Any:
    try:
        forbid("openvino_telemetry")  # else the import tells its maker, whatever the environment says
        import openvino  # noqa: PLC0415 - an extra
    except ImportError as error:
        what = "The engine openvino" if card is None else f"Model {card.id} was to run on openvino, which"
        raise MissingExtraError(
            f"{what} is not installed.",
            hint="Install it with: pip install 'labelop[openvino]', or set LABELOP_ENGINE=onnxruntime.",
        ) from error
    return openvino


def _tensors(ports: Any) -> dict[str, Tensor]:
    found = {}
    for port in ports:
        shape = port.get_partial_shape()
        sizes = () if shape.rank.is_dynamic else tuple(d.get_length() if d.is_static else None for d in shape)
        kind = port.get_element_type().get_type_name()
        for name in port.get_names():
            found[name] = Tensor(sizes, _KINDS.get(kind, kind))
    return found
