"""Turns a Hugging Face folder into a graph that takes uint8 images, and proves that it still says the same.

Scaling moves into the graph, so that bytes and not floats travel to it. The only module beside the folder's engine
that knows torch, and the only one that writes graphs; nothing is left behind when the proof fails.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard, load_card
from labelop.catalog.checkpoint import CardWishes, describe_folder, write_card
from labelop.catalog.files import sha256_of_file
from labelop.engines.base import OUTPUTS, ModelInputs, RawOutputs
from labelop.errors import CatalogError, MissingExtraError, ModelLoadError

FORMATS = ("onnx", "openvino")
"""What can be written; openvino is written beside ONNX, which the card's engines read."""
TOLERANCE = 0.01
"""Largest mean difference of an output from torch's, as a part of its spread (standard deviation)."""

_OPSET = 17
_BATCHES = (1, 3)
_CELLS = 8


@dataclass(frozen=True, slots=True)
class Parity:
    """How far an exported graph's output lies from torch's on the sample images."""

    format: str
    """onnx | openvino."""
    output: str
    """Name of the tensor."""
    image_count: int
    """Images compared, in passes of different sizes."""
    max_difference: float
    """Largest absolute difference, in the tensor's own unit."""
    mean_difference: float
    """Mean absolute difference."""
    spread: float
    """Standard deviation of torch's values."""

    @property
    def holds(self) -> bool:
        """Whether the difference is within `TOLERANCE`."""
        return self.mean_difference <= TOLERANCE * self.spread + 1e-9


def export_folder(
    folder: Path, output: Path, wishes: CardWishes | None = None, *, target: str = "onnx", threads: int = 1
) -> tuple[ModelCard, list[Parity]]:
    """Write graph, card and parity report of a folder.

    A detector ranks its queries, and rounding swaps near-equal ones: its values are compared in order of size.

    Args:
        folder: Hugging Face folder of a detector or classifier.
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
        raise CatalogError(
            f"Folder {folder.name} holds a segmenter; only detectors and classifiers are exported.",
            hint="A card of format huggingface runs the folder as it is.",
        )
    name = content["id"]
    output.mkdir(parents=True, exist_ok=True)
    # on the same disk, so that moving is one step
    with tempfile.TemporaryDirectory(dir=output, prefix=".export-") as made:
        work = Path(made)
        (work / folder.name).symlink_to(folder.resolve())
        source = write_card(content, work / "source.yaml")
        graph = work / f"{name}.onnx"
        wanted = _trace(source, graph, threads)
        del content["folder"]
        content |= {"format": "onnx", "files": {"model": graph.name}, "digests": {"model": sha256_of_file(graph)}}
        content["reproduce"] = f"labelop models export {folder.name} --output DIR --format {target}"
        report = _compare(write_card(content, work / "made.yaml"), threads, wanted, "onnx")
        if target == "openvino":
            parts = _to_openvino(graph)
            content["files"] |= {role: path.name for role, path in parts.items()}
            content["digests"] |= {role: sha256_of_file(path) for role, path in parts.items()}
            report += _parity("openvino", _run_openvino(parts["openvino"], source, threads), wanted)
        bad = [row for row in report if not row.holds]
        if bad:
            raise CatalogError(
                f"Model {name}: output {bad[0].output} of the {bad[0].format} graph differs from torch by "
                f"{bad[0].mean_difference:.2g} on average, allowed is {TOLERANCE} of its spread {bad[0].spread:.2g}.",
                hint="Nothing was written; run the folder as it is.",
            )
        card_made = write_card(content | {"size_bytes": graph.stat().st_size}, output / f"{name}.yaml")
        for file in card_made.files.values():
            shutil.move(work / file.name, file)
        (output / f"{name}.parity.json").write_text(json.dumps([asdict(row) for row in report], indent=2) + "\n")
    return load_card(card_made.path), report


def sample_images(card: ModelCard) -> list[NDArray[np.uint8]]:
    """Draw the images of the comparison: coarse cells with fine noise, in the card's frame, in batches of 1 and 3."""
    random = np.random.default_rng(0)
    batches = []
    for count in _BATCHES:
        cells = random.integers(40, 216, (count, _CELLS, _CELLS, 3))
        rows = np.arange(card.height_px) * _CELLS // card.height_px
        columns = np.arange(card.width_px) * _CELLS // card.width_px
        noise = random.integers(-20, 21, (count, card.height_px, card.width_px, 3))
        batches.append((cells[:, rows][:, :, columns] + noise).astype(np.uint8))
    return batches


def _trace(card: ModelCard, path: Path, threads: int) -> list[RawOutputs]:
    """Write the graph; answers what torch says of the sample images."""
    # torch's exporter needs onnx and says so late
    missing = [name for name in ("torch", "transformers", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"Exporting a model needs {', '.join(missing)}, not installed here.",
            hint="Install it with: pip install 'labelop[torch]'.",
        )
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
            pixels = images.permute(0, 3, 1, 2).float() * scaling.factor
            shape = (1, 3, 1, 1)
            found = self.model(
                pixel_values=(pixels - torch.tensor(scaling.mean).view(shape))
                / torch.tensor(scaling.deviation).view(shape)
            )
            return (found.logits, found.pred_boxes) if "boxes" in names else found.logits

    batches = sample_images(card)
    wanted = [engine.forward(ModelInputs(images)) for images in batches]
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # tracing warns of every shape it turns into a number; the comparison finds those that matter
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Graph().eval(),
                (torch.from_numpy(batches[-1]),),
                str(path),
                input_names=["images"],
                output_names=list(names),
                dynamic_axes={name: {0: "n"} for name in ("images", *names)},
                opset_version=_OPSET,
                dynamo=False,
            )
    except Exception as error:
        # the exporter raises whatever its passes raise; all of it means that this model is no such graph
        said = " ".join(str(error).split())[:300]
        raise ModelLoadError(f"Model {card.id} cannot be written as a graph: {said}") from error
    finally:
        engine.close()
    return wanted


def _compare(card: ModelCard, threads: int, wanted: list[RawOutputs], name: str) -> list[Parity]:
    from labelop.engines.graph import GraphEngine  # noqa: PLC0415 - the library is heavy

    engine = GraphEngine(card, threads)
    found = [engine.forward(ModelInputs(images)) for images in sample_images(card)]
    engine.close()
    return _parity(name, found, wanted)


def _parity(name: str, found: list[RawOutputs], wanted: list[RawOutputs]) -> list[Parity]:
    rows = []
    for output in wanted[0]:
        ours, theirs = (np.concatenate([np.asarray(one[output]) for one in side]) for side in (found, wanted))
        if ours.ndim > 2:  # noqa: PLR2004 - a detector's queries are the second of three axes
            ours, theirs = np.sort(ours, axis=1), np.sort(theirs, axis=1)
        off = np.abs(ours - theirs)
        rows.append(Parity(name, output, len(off), float(off.max()), float(off.mean()), float(theirs.std())))
    return rows


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
        import openvino  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "Writing OpenVINO graphs needs openvino, which is not installed.",
            hint="Install it with: pip install 'labelop[openvino]'.",
        ) from error
    return openvino
