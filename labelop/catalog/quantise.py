"""Makes an int8 model of a graph, with real photographs, as a card of its own, and proves what it still finds.

int8 changes predictions, so it is another model and not another way to run the same one. Only what a convolution
depends on is int8 in a detector: its decoder computes places in the picture, and rounding moves them.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelop.catalog.cards import ModelCard, load_card, verify
from labelop.catalog.checkpoint import write_card
from labelop.catalog.choice import ENGINES, EngineChoice, installed_version
from labelop.catalog.files import sha256_of_file
from labelop.catalog.form import MODEL_ID, parse_card
from labelop.engines.base import Engine, ImageArray, ModelInputs, RawOutputs, load_engine
from labelop.engines.parity import combined, difference
from labelop.errors import CatalogError, MissingExtraError
from labelop.ids import sha256_hex

TOLERANCE = 0.05
"""Largest difference from the source (see `labelop.engines.parity`) with which a card is written."""
SCOPES = ("convolutions", "layers")
"""convolutions: what a convolution depends on; layers: convolutions, matrix products, and what joins them."""

_LAYERS = {"Conv", "MatMul", "Gemm", "MaxPool", "Add", "GlobalAveragePool"}


@dataclass(frozen=True, slots=True)
class Kept:
    """What one engine still finds with the int8 graph."""

    engine: str
    """onnxruntime | openvino."""
    difference: float
    """From the source on the default engine, 0..1; see `labelop.engines.parity`."""
    compared_count: int
    """Objects or images by which it was found."""
    tolerance: float
    """Largest difference with which the card is written."""

    @property
    def holds(self) -> bool:
        """Whether there was something to compare and it is near enough."""
        return self.compared_count > 0 and self.difference <= self.tolerance


def quantise(
    card: ModelCard,
    images: Sequence[ImageArray],
    output: Path,
    *,
    judged: Sequence[ImageArray] = (),
    scope: str | None = None,
    model_id: str | None = None,
    refuse: bool = True,
) -> tuple[ModelCard, list[Kept]]:
    """Write an int8 graph and its card, which names the source, the images and the tool.

    Args:
        card: A detector or classifier of format onnx.
        images: Photographs of the kind the model is for, by which ranges of values are set; RGB, upright.
        output: Folder of the new card; made when it is not there.
        judged: Other photographs, by which it is compared with its source; `images` when empty.
        scope: One of `SCOPES`; convolutions for a detector and layers for a classifier when None.
        model_id: Name of the new model; that of the source with `-int8` when None.
        refuse: Whether nothing is written when an engine's difference is above `TOLERANCE`.

    Returns:
        The new card, and one row per installed engine; also in `<id>.parity.json` beside the card.

    Raises:
        CatalogError: The card is no such model, its name is taken, or it does not find what its source finds.
        DigestMismatchError: A file is not the one the card pins.
        MissingExtraError: onnx is not installed.
    """
    if scope not in (None, *SCOPES):
        raise ValueError(f"scope is {scope!r}, expected one of {SCOPES}")
    if card.format != "onnx" or card.task == "segmentation" or not images:
        raise CatalogError(
            f"Model {card.id} is a {card.task} model of format {card.format} with {len(images)} images to learn from; "
            "int8 is made of detectors and classifiers of format onnx, from one image or more.",
            hint="`labelop models export` writes a folder as ONNX.",
        )
    name = model_id or f"{card.id}-int8"
    if not re.match(MODEL_ID, name):
        raise CatalogError(f"Model id {name!r} is none, expected {MODEL_ID}: it names the files that are made.")
    if (output / f"{name}.yaml").exists() or (output / f"{name}.onnx").exists():
        raise CatalogError(f"Model {name} is already in {output}.", hint="Give another --id or --output.")
    verify(card)
    scope = scope or ("convolutions" if card.task == "detection" else "layers")
    output.mkdir(parents=True, exist_ok=True)
    # on the same disk, so that moving is one step
    with tempfile.TemporaryDirectory(dir=output, prefix=".int8-") as made:
        graph = Path(made) / f"{name}.onnx"
        frames = [_frame(card, image) for image in images]
        _write_graph(card, frames, graph, scope)
        content = _content(card, name, graph, frames, scope)
        report = _compare(card, write_card(content, Path(made) / f"{name}.yaml"), judged or images)
        bad = [row for row in report if not row.holds]
        if bad and refuse:
            raise CatalogError(
                f"Model {name} on {bad[0].engine} differs from {card.id} by {bad[0].difference:.4f} "
                f"({bad[0].compared_count} compared), allowed is {TOLERANCE}.",
                hint="Nothing was written. Give more photographs of the kind the model is for, or a narrower --scope.",
            )
        target = write_card(content, output / f"{name}.yaml")
        shutil.move(graph, target.files["model"])
        (output / f"{name}.parity.json").write_text(json.dumps([asdict(row) for row in report], indent=2) + "\n")
    return load_card(target.path), report


def _write_graph(card: ModelCard, frames: Sequence[ImageArray], path: Path, scope: str) -> None:
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
        quant_pre_process(str(card.files["model"]), str(folded), skip_symbolic_shape=True)
        nodes = onnx.load(str(folded), load_external_data=False).graph.node
        quantize_static(
            str(folded),
            str(path),
            _Frames(frames),
            quant_format=QuantFormat.QDQ,
            # unsigned values and signed weights: signed values were half as fast on onnxruntime
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_quantize=_before_convolutions(nodes) if scope == "convolutions" else _layers(nodes),
        )
    except Exception as error:
        # the tool raises whatever its passes raise; all of it means that this graph cannot be made int8
        raise CatalogError(f"Model {card.id} cannot be made int8: {' '.join(str(error).split())[:300]}") from error


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


def _content(card: ModelCard, name: str, graph: Path, frames: Sequence[ImageArray], scope: str) -> dict[str, Any]:
    _, content = parse_card(card.path)
    # figures of the source are not those of this model
    return content | {
        "id": name,
        "files": {"model": graph.name},
        "digests": {"model": sha256_of_file(graph)},
        "quality": [],
        "reproduce": f"labelop models quantize {card.id} --images FOLDER --output DIR --scope {scope}",
        "size_bytes": graph.stat().st_size,
        "derived_from": {
            "model_digest": card.digest,
            "how": f"int8 {scope}",
            "tool": "onnxruntime.quantization",
            "tool_version": importlib.metadata.version("onnxruntime"),
            "images_count": len(frames),
            "images_digest": sha256_hex(b"".join(frame.tobytes() for frame in frames)),
        },
    }


def _compare(source: ModelCard, made: ModelCard, images: Sequence[ImageArray]) -> list[Kept]:
    default = EngineChoice(ENGINES["onnx"][0], most_images=1)
    with _opened(source, default) as engine:
        wanted = [dict(_ask(engine, image)) for image in images]
    report = []
    # a graph of int8 parts is not read alike by all: each library that could run it is asked
    for name in (name for name in ENGINES["onnx"] if installed_version(name) is not None):
        with _opened(made, EngineChoice(name, most_images=1)) as engine:
            parts = [
                difference(source, before, _ask(engine, image), 0, width_px=image.shape[1], height_px=image.shape[0])
                for before, image in zip(wanted, images, strict=True)
            ]
        report.append(Kept(name, *combined(source, parts), TOLERANCE))
    return report


@contextlib.contextmanager
def _opened(card: ModelCard, choice: EngineChoice) -> Iterator[Engine]:
    engine = load_engine(card, 1, choice)
    try:
        yield engine
    finally:
        engine.close()


def _ask(engine: Engine, image: ImageArray) -> RawOutputs:
    return engine.forward(ModelInputs(engine.preprocess(image)[None]))


def _frame(card: ModelCard, image: ImageArray) -> ImageArray:
    from labelop.engines.model import stretch  # noqa: PLC0415 - brings the image library

    return np.ascontiguousarray(stretch(image, card))
