"""Makes an int8 model of a graph, with real photographs, as a card of its own, and proves what it still finds.

int8 changes predictions, so it is another model and not another way to run the same one. Only what a convolution
depends on is int8 in a detector: its decoder computes places in the picture, and rounding moves them.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labelop.catalog.cards import ModelCard, verify
from labelop.catalog.checkpoint import place, write_card
from labelop.catalog.choice import ENGINES, EngineChoice, installed_version
from labelop.catalog.files import sha256_of_file
from labelop.catalog.form import MODEL_ID, parse_card
from labelop.catalog.int8_graph import write_int8
from labelop.catalog.label_map import write_labels
from labelop.engines.base import Engine, ImageArray, ModelInputs, RawOutputs, load_engine
from labelop.engines.parity import combined, difference, drafts
from labelop.errors import CatalogError
from labelop.ids import sha256_hex
from labelop.ingest.decode import Frame, decode_for

TOLERANCE = 0.05
"""Largest difference from the source (see `labelop.engines.parity`) with which a card is written."""
SCOPES = ("convolutions", "layers")
"""convolutions: what a convolution depends on; layers: convolutions, matrix products, and what joins them."""

LEAST_COMPARED = {"detection": 20, "classification": 8}
"""Draft objects of both sides, or images, without which nothing is judged."""

_LEAST_TELLING = 0.5
"""Share of the pictures on which a detector must find objects: a few on a texture here and there are no objects."""
_LEAST_CLASSES = 2
"""Classes a classifier must tell apart: one that always says the same is easily agreed with."""
_LEAST_DEVIATION = 2.0
"""Standard deviation of a picture's values, of 255, below which it shows nothing: agreeing on it proves nothing."""
_QUALITY = 95
_log = logging.getLogger(__name__)


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

    Scaled decoding stays allowed only where the int8 model itself was seen to find the same with it.

    Args:
        card: A detector or classifier of format onnx.
        images: Photographs of the kind the model is for, by which ranges of values are set; RGB, upright.
        output: Folder of the new card; made when it is not there.
        judged: Other photographs, by which it is compared with its source; `images` when empty.
        scope: One of `SCOPES`; convolutions for a detector and layers for a classifier when None.
        model_id: Name of the new model; that of the source with `-int8` when None.
        refuse: Whether nothing is written when an engine's difference is above `TOLERANCE`, or there is too little to
            tell.

    Returns:
        The new card, and one row per installed engine; also in `<id>.parity.json` beside the card.

    Raises:
        CatalogError: The card is no such model, its name is taken, there is too little to judge it by (a detector has
            to find objects on half of the pictures, a classifier two classes), or it does not find what its source
            finds.
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
    with tempfile.TemporaryDirectory(dir=output, prefix=".int8-") as folder:
        graph = Path(folder) / f"{name}.onnx"
        frames = [_frame(card, image) for image in images]
        write_int8(card, frames, graph, scope)
        write_labels(graph, card.classes)
        content = _content(card, name, graph, frames, scope)
        made = write_card(content, Path(folder) / f"{name}.yaml")
        shown = [image for image in judged or images if _frame(card, image).std() >= _LEAST_DEVIATION]
        if refuse and shown:
            _require_telling(card, shown)
        report = _compare(card, made, shown)
        if refuse:
            _refuse(card, name, report, len(shown))
        if card.scaled_decode and not _scales(card, made, shown):
            _log.warning("model %s does without scaled decoding: it was not shown to find the same with it", name)
            content["input"] = {key: value for key, value in content["input"].items() if key != "scaled_decode"}
        (Path(folder) / f"{name}.parity.json").write_text(json.dumps([asdict(row) for row in report], indent=2) + "\n")
        return place(content, Path(folder), output), report


def _require_telling(card: ModelCard, images: Sequence[ImageArray]) -> None:
    """Refuse pictures of which the source says nothing that could go wrong: agreeing on them proves nothing."""
    with _opened(card, EngineChoice(ENGINES["onnx"][0], most_images=1)) as engine:
        found = [engine.postprocess(_ask(engine, image), 0, image.shape[1], image.shape[0]) for image in images]
    if card.task == "classification":
        seen = {int(one.scores.argmax()) for one in found}
        short = len(seen) < _LEAST_CLASSES
        said = f"{card.id} sees {len(seen)} class on {len(images)} photographs, expected are {_LEAST_CLASSES} or more"
    else:
        telling = sum(bool(drafts(card, one)) for one in found)
        short = telling < _LEAST_TELLING * len(images)
        said = f"{card.id} finds objects on {telling} of {len(images)} photographs, expected are half of them or more"
    if short:
        raise CatalogError(
            f"An int8 model of {card.id} cannot be judged: {said}.",
            hint="Nothing was written. Give photographs of the kind the model is for, with objects on them.",
        )


def _refuse(card: ModelCard, name: str, report: Sequence[Kept], shown_count: int) -> None:
    least = LEAST_COMPARED[card.task]
    poor = min(report, key=lambda row: row.compared_count)
    if poor.compared_count < least:
        raise CatalogError(
            f"Model {name} cannot be judged: {shown_count} photographs that show something gave {poor.compared_count} "
            f"draft objects or classes on {poor.engine}, expected are {least} or more.",
            hint="Nothing was written. Give more photographs of the kind the model is for, with objects on them.",
        )
    bad = [row for row in report if not row.holds]
    if bad:
        raise CatalogError(
            f"Model {name} on {bad[0].engine} differs from {card.id} by {bad[0].difference:.4f} "
            f"({bad[0].compared_count} compared), allowed is {TOLERANCE}.",
            hint="Nothing was written. Give more photographs of the kind the model is for, or a narrower --scope.",
        )


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


def _compare(
    source: ModelCard, made: ModelCard, images: Sequence[ImageArray], seen: Sequence[ImageArray] | None = None
) -> list[Kept]:
    """Compare a model on every installed engine with its source; `seen` is what it sees where that is not the same."""
    default = EngineChoice(ENGINES["onnx"][0], most_images=1)
    with _opened(source, default) as engine:
        wanted = [dict(_ask(engine, image)) for image in images]
    report = []
    # a graph of int8 parts is not read alike by all: each library that could run it is asked
    for name in (name for name in ENGINES["onnx"] if installed_version(name) is not None):
        with _opened(made, EngineChoice(name, most_images=1)) as engine:
            parts = [
                difference(source, before, _ask(engine, pixels), 0, width_px=image.shape[1], height_px=image.shape[0])
                for before, image, pixels in zip(wanted, images, seen or images, strict=True)
            ]
        report.append(Kept(name, *combined(source, parts), TOLERANCE))
    return report


def _scales(source: ModelCard, made: ModelCard, images: Sequence[ImageArray]) -> bool:
    """Tell whether the model finds in JPEGs decoded at a smaller scale what its source finds in all pixels."""
    frame = Frame(source.width_px, source.height_px, scaled=True, stretched=True)
    large = [i for i in images if min(i.shape[0] // source.height_px, i.shape[1] // source.width_px) > 1]
    if not large:
        return False
    # decoded in this process: these files are our own, written a moment ago
    report = _compare(source, made, large, [decode_for(_jpeg(image), frame)[0] for image in large])
    return all(row.holds and row.compared_count >= LEAST_COMPARED[source.task] for row in report)


def _jpeg(image: ImageArray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


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
