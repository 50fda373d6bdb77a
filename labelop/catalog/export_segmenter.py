"""Turns a Hugging Face folder of a SAM2 into two graphs: images to features, features and boxes to masks.

Only boxes are prompts here: points and earlier masks belong to an interactive tool. Knows no engine's inside but the
folder's, whose other half it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.catalog.checkpoint import CardWishes, describe_folder, write_card
from labelop.catalog.choice import EngineChoice
from labelop.catalog.files import sha256_of_file
from labelop.catalog.proof import Parity, keep, parity, require_torch, sample_images, workshop, write_graph
from labelop.engines.base import OUTPUTS, Engine, RawOutputs, features_of, load_engine

FEATURES = ("fine", "middle", "coarse")
"""Tensors between encoder and decoder, as `encoder_outputs` of the card has them."""

_OUTPUTS = OUTPUTS["segmentation"]
_BOXES = (1, 3, 20)
"""Numbers of boxes in the comparison: a graph that has learnt one number by heart fails."""


def export_segmenter(
    folder: Path, output: Path, wishes: CardWishes | None = None, *, target: str = "onnx", threads: int = 1
) -> tuple[ModelCard, list[Parity]]:
    """Write encoder, decoder, card and parity report of a folder; see `export_folder`, which calls this.

    With the target openvino nothing more is written: that engine reads the ONNX files and fixes their shapes itself. It
    is compared too.

    Args:
        folder: Hugging Face folder of a Sam2Model.
        output: Folder of the new card; made when it is not there.
        wishes: What the card shall say whatever the folder does.
        target: onnx or openvino.
        threads: Threads of the comparison.

    Returns:
        The new card, and one row per format and tensor, features included.

    Raises:
        CatalogError: The folder is no model of this kind, or a graph does not say what torch says.
        MissingExtraError: torch, transformers, onnx or openvino is not installed.
        ModelLoadError: The folder cannot be loaded, or torch cannot write it as a graph.
    """
    require_torch()
    content = describe_folder(folder, wishes)
    name = content["id"]
    with workshop(folder, output, content) as (work, source):
        files = {role: work / f"{name}-{role}.onnx" for role in ("encoder", "decoder")}
        wanted = _trace(source, files, threads)
        del content["folder"]
        content |= {
            "format": "onnx",
            "files": {role: path.name for role, path in files.items()},
            "digests": {role: sha256_of_file(path) for role, path in files.items()},
            "encoder_outputs": list(FEATURES),
            "size_bytes": sum(path.stat().st_size for path in files.values()),
            "reproduce": f"labelop models export {folder.name} --output DIR --format {target}",
        }
        card = write_card(content, work / "made.yaml")
        report = []
        for form, engine in {"onnx": "onnxruntime", "openvino": "openvino"}.items():
            if form in ("onnx", target):
                report += parity(form, _answers(load_engine(card, threads, EngineChoice(engine))), wanted)
        return keep(content, report, work, output), report


def _trace(card: ModelCard, files: dict[str, Path], threads: int) -> list[RawOutputs]:
    """Write the graphs; answers what torch says of the sample images."""
    import torch  # noqa: PLC0415 - takes seconds to load

    from labelop.engines.folder import FolderEngine  # noqa: PLC0415

    engine = FolderEngine(card, threads)
    model, scaling = engine._model, engine._scaling  # noqa: SLF001 - the exporter is the engine's other half

    class Encoder(torch.nn.Module):
        """From uint8 (n, height, width, 3) to three feature maps."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Any) -> Any:
            return tuple(self.model.get_image_embeddings(scaling.scaled(images)))

    class Decoder(torch.nn.Module):
        """From one image's features and boxes (1, b, 4) to logits (1, b, h, w) and scores (1, b)."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, fine: Any, middle: Any, coarse: Any, boxes: Any) -> Any:
            count = boxes.shape[1]
            # each box as an image of its own: the library repeats features by a number that tracing would fix
            spread = [part.expand(count, -1, -1, -1) for part in (fine, middle, coarse)]
            found = self.model(image_embeddings=spread, input_boxes=boxes[0][:, None], multimask_output=False)
            return found.pred_masks[None, :, 0, 0], found.iou_scores[None, :, 0, 0]

    images = torch.from_numpy(sample_images(card)[-1])
    axes: dict[str, Any] = {name: {0: "n"} for name in ("images", *FEATURES)}
    write_graph(files["encoder"], Encoder(), {"images": images}, outputs=FEATURES, axes=axes)
    with torch.no_grad():
        features = dict(zip(FEATURES, (part[:1].clone() for part in Encoder()(images)), strict=True))
    inputs = features | {"boxes": torch.from_numpy(_boxes(card, _BOXES[1])[None])}
    axes = {name: {1: "b"} for name in ("boxes", *_OUTPUTS)}
    write_graph(files["decoder"], Decoder(), inputs, outputs=_OUTPUTS, axes=axes)
    return _answers(engine)


def _answers(engine: Engine) -> list[RawOutputs]:
    """Run the sample images, several in a pass, each with another number of boxes; close the engine."""
    try:
        return list(_run(engine))
    finally:
        engine.close()


def _run(engine: Engine) -> Iterator[RawOutputs]:
    for images in sample_images(engine.card):
        features = engine.encode(images)
        named = dict(zip(FEATURES, features.values(), strict=True))
        for index in range(len(images)):
            found = engine.prompt(features_of(features, index), _boxes(engine.card, _BOXES[index]))
            yield {**features_of(named, index), **found}


def _boxes(card: ModelCard, count: int) -> NDArray[np.float32]:
    """Draw boxes of a tenth to a half of the frame, shape (count, 4)."""
    random = np.random.default_rng(count)
    low, side = random.uniform(0, 0.5, (count, 2)), random.uniform(0.1, 0.5, (count, 2))
    frame = np.array([card.width_px, card.height_px] * 2)
    return np.asarray(np.concatenate([low, low + side], axis=1) * frame, dtype=np.float32)
