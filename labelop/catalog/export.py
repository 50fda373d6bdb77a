"""Turns a Hugging Face folder into a graph that takes uint8 images, and proves that it still says the same.

Scaling moves into the graph, so that bytes and not floats travel to it. The only module beside the folder's engine
that knows torch; a segmenter becomes two graphs (`export_segmenter.py`). Nothing is left behind when the proof fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from labelop.catalog.cards import ModelCard
from labelop.catalog.checkpoint import CardWishes, describe_folder, write_card
from labelop.catalog.export_segmenter import export_segmenter
from labelop.catalog.files import sha256_of_file
from labelop.catalog.label_map import write_labels
from labelop.catalog.proof import Parity, keep, parity, require_torch, sample_images, workshop, write_graph
from labelop.engines.base import OUTPUTS, ModelInputs, RawOutputs
from labelop.errors import MissingExtraError
from labelop.settings import forbid

FORMATS = ("onnx", "openvino")
"""What can be written; openvino is written beside ONNX, which the card's engines read."""


def export_folder(
    folder: Path, output: Path, wishes: CardWishes | None = None, *, target: str = "onnx", threads: int = 1
) -> tuple[ModelCard, list[Parity]]:
    """Write graph, card and parity report of a folder.

    A detector ranks its queries, and rounding swaps near-equal ones: its values are compared in order of size.

    Args:
        folder: Hugging Face folder.
        output: Folder of the new card; made when it is not there.
        wishes: What the card shall say whatever the folder does.
        target: One of `FORMATS`.
        threads: Threads of the comparison.

    Returns:
        The new card, and one row per format and output; also in `<id>.parity.json` beside the card.

    Raises:
        CatalogError: The folder is no model that can be exported, or the graph does not say what torch says.
        MissingExtraError: torch, transformers, onnx or openvino is not installed.
        ModelLoadError: The folder cannot be loaded, or torch cannot write it as a graph.
    """
    if target not in FORMATS:
        raise ValueError(f"target is {target!r}, expected one of {FORMATS}")
    content = describe_folder(folder, wishes)
    if content["task"] == "segmentation":
        return export_segmenter(folder, output, wishes, target=target, threads=threads)
    name = content["id"]
    with workshop(folder, output, content) as (work, source):
        graph = work / f"{name}.onnx"
        wanted = _trace(source, graph, threads)
        write_labels(graph, source.classes)
        del content["folder"]
        content |= {"format": "onnx", "files": {"model": graph.name}, "digests": {"model": sha256_of_file(graph)}}
        content["reproduce"] = f"labelop models export {folder.name} --output DIR --format {target}"
        report = _compare(write_card(content, work / "made.yaml"), threads, wanted, "onnx")
        if target == "openvino":
            parts = _to_openvino(graph)
            content["files"] |= {role: path.name for role, path in parts.items()}
            content["digests"] |= {role: sha256_of_file(path) for role, path in parts.items()}
            report += parity("openvino", _run_openvino(parts["openvino"], source, threads), wanted, ranked=True)
        return keep(content | {"size_bytes": graph.stat().st_size}, report, work, output), report


def _trace(card: ModelCard, path: Path, threads: int) -> list[RawOutputs]:
    """Write the graph; answers what torch says of the sample images."""
    require_torch()
    import torch  # noqa: PLC0415 - takes seconds to load

    from labelop.engines.folder import FolderEngine  # noqa: PLC0415

    engine = FolderEngine(card, threads)
    model, scaling = engine._model, engine._scaling  # noqa: SLF001 - the exporter is the engine's other half
    names = OUTPUTS[card.task]

    class Graph(torch.nn.Module):
        """The model with its scaling, from uint8 (n, height, width, 3)."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Any) -> Any:
            found = self.model(pixel_values=scaling.scaled(images))
            return (found.logits, found.pred_boxes) if "boxes" in names else found.logits

    batches = sample_images(card)
    wanted = [engine.forward(ModelInputs(images)) for images in batches]
    axes = {name: {0: "n"} for name in ("images", *names)}
    write_graph(path, Graph(), {"images": torch.from_numpy(batches[-1])}, outputs=names, axes=axes)
    engine.close()
    return wanted


def _compare(card: ModelCard, threads: int, wanted: list[RawOutputs], name: str) -> list[Parity]:
    from labelop.engines.graph import GraphEngine  # noqa: PLC0415 - the library is heavy

    engine = GraphEngine(card, threads)
    found = [engine.forward(ModelInputs(images)) for images in sample_images(card)]
    engine.close()
    return parity(name, found, wanted, ranked=True)


def _to_openvino(graph: Path) -> dict[str, Path]:
    library = _openvino()
    parts = {"openvino": graph.with_suffix(".xml"), "openvino_weights": graph.with_suffix(".weights")}
    # read and not converted: the converter reports its use to a server
    library.save_model(library.Core().read_model(str(graph)), str(parts["openvino"]), compress_to_fp16=False)
    # the library's own suffix for weights is that of pickles, which cards refuse
    graph.with_suffix(".bin").rename(parts["openvino_weights"])
    return parts


def _run_openvino(path: Path, card: ModelCard, threads: int) -> list[RawOutputs]:
    core = _openvino().Core()
    model = core.read_model(str(path), str(path.with_suffix(".weights")))
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = core.compile_model(model, "CPU", options)
    names = OUTPUTS[card.task]
    found: list[RawOutputs] = []
    for images in sample_images(card):
        answer = compiled({"images": images})
        found.append({name: np.array(answer[name], dtype=np.float32) for name in names})
    return found


def _openvino() -> Any:
    try:
        forbid("openvino_telemetry")  # else the import tells its maker, whatever the environment says
        import openvino  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "Writing OpenVINO graphs needs openvino, which is not installed.",
            hint="Install it with: pip install 'labelop[openvino]'.",
        ) from error
    return openvino
