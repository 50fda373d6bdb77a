"""Runs ONNX graphs: the default engine, and all the demo needs.

The only module that knows onnxruntime. Graphs take uint8 and normalise inside themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from labelop.catalog.cards import ModelCard
from labelop.engines.base import OUTPUTS, ModelEngine, ModelInputs, RawOutputs
from labelop.errors import EngineError, EngineResponseError, ModelLoadError


class GraphEngine(ModelEngine):
    """One ONNX graph, or the encoder and decoder of a segmenter.

    Args:
        card: A card of format onnx whose files are verified.
        threads: Threads of one forward pass.

    Raises:
        ModelLoadError: A file is no graph, or has not the inputs and outputs of its task.
    """

    name = "graph"

    def __init__(self, card: ModelCard, threads: int) -> None:
        super().__init__(card)
        self._sessions = {
            role: _session(card, card.files[role], threads)
            for role in ("model", "encoder", "decoder")
            if role in card.files
        }
        features = card.encoder_outputs
        if card.task == "segmentation":
            self._require("encoder", ("images",), features)
            self._require("decoder", (*features, "boxes"), OUTPUTS[card.task])
        else:
            self._require("model", ("images",), OUTPUTS[card.task])

    def forward(self, inputs: ModelInputs) -> RawOutputs:
        """Run the graph; see `Engine.forward`."""
        self._check(inputs)
        images = np.ascontiguousarray(inputs.images)
        names = OUTPUTS[self.card.task]
        if inputs.boxes is None:
            return self._run("model", names, {"images": images})
        features = self._run("encoder", self.card.encoder_outputs, {"images": images})
        return self._run("decoder", names, {**features, "boxes": inputs.boxes[None].astype(np.float32)})

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
            raise EngineResponseError(
                f"Model {self.card.id} failed in its {role}: {_first_line(error)}", code="MODEL_FAILED"
            ) from error
        return {name: np.asarray(value, dtype=np.float32) for name, value in zip(names, outputs, strict=True)}

    def _require(self, role: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        session = self._sessions[role]
        found_in = {node.name for node in session.get_inputs()}
        found_out = {node.name for node in session.get_outputs()}
        if found_in != set(inputs) or not set(outputs) <= found_out:
            raise ModelLoadError(
                f"Model {self.card.id}: {role} takes {sorted(found_in)} and gives {sorted(found_out)}, "
                f"expected {sorted(inputs)} and {sorted(outputs)}."
            )


def _session(card: ModelCard, path: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # spinning threads burn the core that decoding needs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelLoadError(f"Model {card.id}: {path.name} cannot be loaded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__
