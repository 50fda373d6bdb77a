"""Writes the int8 graph itself: which nodes are int8, and what the tool is told.

The only module that knows the tool. Knows neither cards that are made nor how they are judged.
"""

from __future__ import annotations

import contextlib
import logging
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from labelop.catalog.cards import ModelCard
from labelop.engines.base import ImageArray
from labelop.errors import CatalogError, MissingExtraError
from labelop.settings import be_quiet

_LAYERS = {"Conv", "MatMul", "Gemm", "MaxPool", "Add", "GlobalAveragePool"}
_MOST_WORDS = 2000
"""Characters of a message of the tool; its own traces can be pages."""
_TOOL_LOGGERS = ("onnxruntime.quantization.shape_inference",)
_log = logging.getLogger(__name__)


def write_int8(card: ModelCard, frames: Sequence[ImageArray], path: Path, scope: str) -> None:
    """Write a card's graph with a part of its nodes in int8.

    Args:
        card: A card with a graph `model`.
        frames: What sets the ranges of values, uint8 in the card's frame, shape (height, width, 3).
        path: File to write; another one is left beside it.
        scope: convolutions | layers, see `quantise`.

    Raises:
        CatalogError: The graph has no node of the scope, or the tool cannot make it int8.
        MissingExtraError: onnx is not installed.
    """
    be_quiet("ORT_DISABLE_TELEMETRY")
    try:
        import onnx  # noqa: PLC0415 - an extra
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static  # noqa: PLC0415
        from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            f"Making {card.id} int8 needs {error.name}, which is not installed.",
            hint="Install it with: pip install 'labelop[torch]'.",
        ) from error
    folded = path.with_suffix(".folded.onnx")
    try:
        with _aside():
            quant_pre_process(str(card.files["model"]), str(folded), skip_symbolic_shape=True)
            nodes = _named(onnx, folded)
            wanted = _before_convolutions(nodes) if scope == "convolutions" else _layers(nodes)
            if wanted:
                quantize_static(
                    str(folded),
                    str(path),
                    _Frames(frames),
                    quant_format=QuantFormat.QDQ,
                    # unsigned values and signed weights: signed values were half as fast on onnxruntime
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    per_channel=True,
                    nodes_to_quantize=wanted,
                )
    except Exception as error:
        # the tool raises whatever its passes raise; all of it means that this graph cannot be made int8
        said = textwrap.shorten(str(error) or type(error).__name__, _MOST_WORDS, placeholder=" ...")
        raise CatalogError(f"Model {card.id} cannot be made int8: {said}") from error
    if not wanted:
        raise CatalogError(
            f"Model {card.id} has no node of the scope {scope}, so nothing of it would be int8.",
            hint="--scope layers takes matrix products too.",
        )


@contextlib.contextmanager
def _aside() -> Iterator[None]:
    """Take what the tool says into our own log: it speaks through loggers that print, the root's among them."""

    def ours(record: logging.LogRecord) -> bool:
        _log.info("quantisation: %s", record.getMessage())
        return False

    # a filter meets only what is said to its own logger, and the root's others go on printing
    names, silent = (None, *_TOOL_LOGGERS), logging.NullHandler()
    for name in names:
        logging.getLogger(name).addFilter(ours)
    logging.getLogger().addHandler(silent)  # without one the first word would install a handler that prints, for good
    try:
        yield
    finally:
        logging.getLogger().removeHandler(silent)
        for name in names:
            logging.getLogger(name).removeFilter(ours)


def _named(onnx: Any, path: Path) -> Any:
    """Give every node of a graph a name, since the tool picks nodes by name; its nodes."""
    model = onnx.load(str(path))
    if not all(node.name for node in model.graph.node):
        for place, node in enumerate(model.graph.node):
            node.name = f"{place}:{node.op_type}"
        onnx.save(model, str(path))
    return model.graph.node


class _Frames:
    """Hand out images one by one, as the tool asks for them."""

    def __init__(self, frames: Sequence[ImageArray]) -> None:
        self._left: Iterator[ImageArray] = iter(frames)

    def get_next(self) -> dict[str, ImageArray] | None:
        """Give the next feed, None after the last."""
        frame = next(self._left, None)
        return None if frame is None else {"images": frame[None]}


def _layers(nodes: Any) -> list[str]:
    made = {output for node in nodes for output in node.output}
    # an Add of a constant is a shift of the pixels or a bias: it stays exact
    return [
        node.name
        for node in nodes
        if node.op_type in _LAYERS and (node.op_type != "Add" or all(name in made for name in node.input))
    ]


def _before_convolutions(nodes: Any) -> list[str]:
    from onnxruntime.quantization.registry import QDQRegistry  # noqa: PLC0415 - beside onnx only

    maker = {output: node for node in nodes for output in node.output}
    waiting, found = [node for node in nodes if node.op_type == "Conv"], {}
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found[node.name] = node
            waiting += [maker[name] for name in node.input if name in maker]
    # arithmetic between them (Mul, Add, Concat) stays exact: OpenVINO read such a graph wrong
    return [name for name, node in found.items() if node.op_type in QDQRegistry]
