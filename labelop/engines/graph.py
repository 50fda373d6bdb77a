"""Runs ONNX graphs: the default engine, and all the demo needs.

The only module that knows onnxruntime. Graphs take uint8 and normalise inside themselves. CUDA and TensorRT are used
where the choice says so and the installed build has them; these have not run yet (docs/gpu.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import EngineChoice
from labelop.engines.base import OUTPUTS, Features, ModelInputs, RawOutputs
from labelop.engines.model import ModelEngine, failed
from labelop.engines.signature import Tensor, check_signature
from labelop.errors import EngineError, MissingExtraError, ModelLoadError
from labelop.settings import be_quiet

be_quiet("ORT_DISABLE_TELEMETRY")  # its import alone tells its maker about this machine

import onnxruntime  # noqa: E402

_PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
}


class GraphEngine(ModelEngine):
    """One ONNX graph, or the encoder and decoder of a segmenter.

    Args:
        card: A card of format onnx whose files are verified.
        threads: Threads of one forward pass.
        choice: Device and batch size; the processor when None.

    Raises:
        MissingExtraError: The installed onnxruntime cannot use the device that was asked for.
        ModelLoadError: A file is no graph, or has not the inputs and outputs of its task.
    """

    name = "onnxruntime"

    def __init__(self, card: ModelCard, threads: int, choice: EngineChoice | None = None) -> None:
        device = "cpu" if choice is None else choice.device
        # a GPU's kernels are searched for, or built, for each size of a pass
        super().__init__(card, None if choice is None else choice.images_of(card), one_size=device != "cpu")
        if device not in devices():
            raise MissingExtraError(
                f"Model {card.id} was to run on {device}, the installed onnxruntime knows {', '.join(devices())}.",
                hint="Install a build of onnxruntime for this device, or set LABELOP_ENGINE_DEVICE=cpu.",
            )
        self._sessions: dict[str, Any] = {
            role: _session(card, card.files[role], threads, device)
            for role in ("model", "encoder", "decoder")
            if role in card.files
        }
        for role, session in self._sessions.items():
            check_signature(card, role, _tensors(session.get_inputs()), _tensors(session.get_outputs()))
        if device != "cpu":
            self._sessions = {role: Bound(session, "cuda") for role, session in self._sessions.items()}
        self.name = "onnxruntime" if device == "cpu" else f"onnxruntime-{device}"

    def _pass(self, inputs: ModelInputs) -> RawOutputs:
        return self._run("model", OUTPUTS[self.card.task], {"images": np.ascontiguousarray(inputs.images)})

    def _encode(self, images: NDArray[np.uint8]) -> Features:
        return self._run("encoder", self.card.encoder_outputs, {"images": np.ascontiguousarray(images)})

    def _prompt(self, features: Features, boxes: NDArray[np.float32]) -> RawOutputs:
        return self._run("decoder", OUTPUTS[self.card.task], {**features, "boxes": boxes[None]})

    def close(self) -> None:
        """Free the graphs."""
        self._sessions.clear()

    def _run(self, role: str, names: tuple[str, ...], feed: dict[str, Any]) -> dict[str, Any]:
        session = self._sessions.get(role)
        if session is None:
            raise EngineError(f"Model {self.card.id} is closed.")
        try:
            outputs = session.run(list(names), feed)
        except Exception as error:
            # onnxruntime raises its own classes and bare RuntimeError; all of them mean this one thing
            raise failed(self.card, f" in its {role}", error) from error
        return {name: np.asarray(value, dtype=np.float32) for name, value in zip(names, outputs, strict=True)}


class Bound:
    """A session whose inputs and outputs keep their memory on a device from pass to pass.

    A set of it for each pass that runs at the same time.

    Args:
        session: The session.
        device: Where the memory is: cuda | cpu.
    """

    def __init__(self, session: Any, device: str) -> None:
        self._session, self._device = session, device
        self._idle: list[tuple[Any, dict[str, Any]]] = []

    def run(self, names: list[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run one pass; as a session's own `run`."""
        try:
            binding, held = self._idle.pop()
        except IndexError:
            binding, held = self._session.io_binding(), {}
        same = {name: tuple(value.shape()) for name, value in held.items()} == {k: v.shape for k, v in feed.items()}
        for name, value in feed.items():
            if not same:
                made = onnxruntime.OrtValue.ortvalue_from_shape_and_type(value.shape, value.dtype.type, self._device, 0)
                binding.bind_ortvalue_input(name, made)
                held[name] = made
            held[name].update_inplace(value)
        if not same:
            # what is bound is of the size of the pass before
            binding.clear_binding_outputs()
            for name in names:
                binding.bind_output(name, self._device)
        self._session.run_with_iobinding(binding)
        # copied: the next pass writes the same memory
        answers = [np.array(value) for value in binding.copy_outputs_to_cpu()]
        self._idle.append((binding, held))
        return answers


def devices() -> list[str]:
    """List the devices the installed onnxruntime can use: cpu, and cuda and tensorrt where its build has them."""
    present = set(onnxruntime.get_available_providers())
    return [device for device, providers in _PROVIDERS.items() if providers[0] in present]


def _tensors(nodes: Any) -> dict[str, Tensor]:
    return {
        node.name: Tensor(
            tuple(size if isinstance(size, int) else None for size in node.shape),
            node.type.removeprefix("tensor(").removesuffix(")"),
        )
        for node in nodes
    }


def _session(card: ModelCard, path: Path, threads: int, device: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # spinning threads burn the core that decoding needs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=_PROVIDERS[device])
    except Exception as error:
        raise ModelLoadError(f"Model {card.id}: {path.name} cannot be loaded: {_first_line(error)}") from error
    # a provider that cannot start gives way to the next in silence, and tables would name what did not run
    if (first := session.get_providers()[0]) != _PROVIDERS[device][0]:
        raise ModelLoadError(
            f"Model {card.id}: {path.name} was to run on {device}, onnxruntime could only start {first}.",
            hint="Its log says why, for example that a library of the driver is missing; or set LABELOP_ENGINE_DEVICE.",
        )
    return session


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__
