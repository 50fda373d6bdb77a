"""Model cards: the one description of a model that training writes and engines, routing and reports read.

Knows no engine and no library that runs models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelop.catalog.files import inside, refuse_pickled, resolved, sha256_of_file
from labelop.catalog.form import FOLDER_FILES, CardForm, parse_card
from labelop.catalog.graph_file import GraphFile, read_graph
from labelop.catalog.label_map import config_labels, labels_of, refuse_other_labels
from labelop.catalog.weights import refuse_faulty_graph, refuse_faulty_safetensors
from labelop.errors import CatalogError, DigestMismatchError
from labelop.ids import digest_of


@dataclass(frozen=True, slots=True)
class Postprocess:
    """How a detector's raw output becomes predictions."""

    min_score: float
    """Predictions below are dropped, 0..1."""
    nms_iou: float
    """Of two boxes of one class that overlap more than this, the lower scored one is dropped, 0..1."""
    max_detections: int
    """Most predictions kept per image."""
    draft_score: Mapping[str, float]
    """Score per class name from which a reviewer is shown the prediction, 0..1."""


@dataclass(frozen=True, slots=True)
class TrainingSource:
    """One dataset the weights have seen."""

    name: str
    """Name of the dataset."""
    licence: str
    """Its licence, SPDX where there is one."""
    split: str | None
    """Which part was used for training, or None for all."""


@dataclass(frozen=True, slots=True)
class QualityFigure:
    """One measured figure of a model."""

    dataset: str
    """Dataset it was measured on."""
    split: str
    """Part of that dataset."""
    metric: str
    """Name of the measure, for example `ap50` or `model_review_seconds_per_image`."""
    value: float
    """The figure, in the unit of its metric."""
    image_count: int
    """Images it was measured on."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is, needs, and may be used for."""

    path: Path
    """The card's own file."""
    id: str
    """Name of the model, unique in its catalog."""
    version: str
    """Version the author gave it."""
    task: str
    """detection | classification | segmentation."""
    family: str
    """Architecture, for example rtdetr_v2, resnet, sam2."""
    format: str
    """onnx | huggingface."""
    files: Mapping[str, Path]
    """Role (model, encoder, decoder; file name for a folder) to file."""
    folder: Path | None
    """Hugging Face folder, or None."""
    digests: Mapping[str, str]
    """Role to SHA-256 of its file, 64 hex digits."""
    encoder_outputs: tuple[str, ...]
    """Names of the feature tensors between encoder and decoder, empty unless segmentation."""
    ontology: str
    """Label ontology it speaks, or `any`."""
    classes: tuple[str, ...]
    """Class names by output index."""
    width_px: int
    """Width of the model's input frame, pixels."""
    height_px: int
    """Height of the model's input frame, pixels."""
    scaled_decode: bool
    """Whether a JPEG may be decoded at a smaller scale that still covers the input frame."""
    postprocess: Postprocess | None
    """Thresholds of a detector, else None."""
    licence: str
    """Licence of the weights."""
    training_data: tuple[TrainingSource, ...]
    """What the weights have seen."""
    quality: tuple[QualityFigure, ...]
    """Measured figures."""
    reproduce: str
    """Command that makes and measures the weights again."""
    parameters_count: int | None
    """Number of weights, or None when not stated."""
    size_bytes: int | None
    """Size of all weight files, bytes, or None when not stated."""
    digest: str
    """Names weights and card together, 64 hex digits; the model digest of tables and ids."""

    def quality_of(self, metric: str, dataset: str | None = None, split: str | None = None) -> float | None:
        """Find a measured figure; None when the card has none that fits."""
        for figure in self.quality:
            if figure.metric == metric and dataset in (None, figure.dataset) and split in (None, figure.split):
                return figure.value
        return None


def load_card(path: Path) -> ModelCard:
    """Read one card; weights are not touched (see `verify`).

    Raises:
        CatalogError: The card breaks its form, names pickled weights, or names a file outside its folder.
    """
    form, content = parse_card(path)
    folder = None if form.folder is None else path.parent / form.folder
    if folder is not None:
        # a checkpoint folder may lie anywhere on the machine; what is pinned inside it has fixed names
        resolved(folder, path.name)
        files = {name: folder / name for name in FOLDER_FILES}
    else:
        files = {role: inside(path.parent, name, path.name) for role, name in form.files.items()}
        for role, file in files.items():
            refuse_pickled(file, path.name)
            if role in ("model", "encoder", "decoder") and file.suffix.lower() != ".onnx":
                raise CatalogError(
                    f"Card {path.name}: key files.{role} has the value {form.files[role]!r}; "
                    "format onnx allows files that end in .onnx."
                )
    return _card(path, form, files, folder, digest_of(content))


def _card(path: Path, form: CardForm, files: dict[str, Path], folder: Path | None, digest: str) -> ModelCard:
    after = form.postprocess
    return ModelCard(
        path=path,
        id=form.id,
        version=form.version,
        task=form.task,
        family=form.family,
        format=form.format,
        files=files,
        folder=folder,
        digests=dict(form.digests),
        encoder_outputs=form.encoder_outputs,
        ontology=form.ontology,
        classes=form.classes,
        width_px=form.input.width_px,
        height_px=form.input.height_px,
        scaled_decode=form.input.scaled_decode,
        postprocess=None
        if after is None
        else Postprocess(after.min_score, after.nms_iou, after.max_detections, dict(after.draft_score)),
        licence=form.licence,
        training_data=tuple(TrainingSource(s.name, s.licence, s.split) for s in form.training_data),
        quality=tuple(QualityFigure(q.dataset, q.split, q.metric, q.value, q.image_count) for q in form.quality),
        reproduce=form.reproduce,
        parameters_count=form.parameters_count,
        size_bytes=form.size_bytes,
        digest=digest,  # the content holds the weights' digests, so this covers both
    )


def load_catalog(folder: Path) -> dict[str, ModelCard]:
    """Read every card (`*.yaml`) of a folder, by model id in name order.

    Raises:
        CatalogError: The folder is missing or has no card, a card breaks its form, or two cards have one id.
    """
    if not folder.is_dir():
        raise CatalogError(
            f"Catalog folder {folder} does not exist.", hint="Set LABELOP_CATALOG to a folder of model cards."
        )
    catalog: dict[str, ModelCard] = {}
    for path in sorted(folder.glob("*.yaml")):
        card = load_card(path)
        if card.id in catalog:
            raise CatalogError(f"Cards {catalog[card.id].path.name} and {path.name} both have the id {card.id!r}.")
        catalog[card.id] = card
    if not catalog:
        raise CatalogError(
            f"Catalog folder {folder} has no model card (*.yaml).",
            hint="Set LABELOP_CATALOG to a folder of model cards.",
        )
    return catalog


def describe_catalog(catalog: Mapping[str, ModelCard]) -> list[dict[str, Any]]:
    """List a catalog as rows for people: one per model, its measured figures as `dataset/split metric = value`."""
    return [
        {
            "model_id": card.id,
            "task": card.task,
            "family": card.family,
            "ontology": card.ontology,
            "input_px": f"{card.width_px}x{card.height_px}",
            "parameters_count": card.parameters_count,
            "size_bytes": card.size_bytes,
            "licence": card.licence,
            # figures per class stay in the card
            "quality": "; ".join(
                f"{q.dataset}/{q.split} {q.metric} = {q.value:g}" for q in card.quality if ":" not in q.metric
            ),
            "digest": card.digest,
        }
        for card in catalog.values()
    ]


def verify(card: ModelCard) -> bool:
    """Prove that a card's files are the pinned ones, keep nothing outside the card, hold numbers and mean its classes.

    Returns:
        Whether the files name their classes, which are then the card's; where they do not, nobody can tell.

    Raises:
        CatalogError: A file is missing, is pickled, refers to weights the card does not pin, needs operators that are
            somebody's code, has a weight that is not finite, or calls its classes otherwise than the card.
        DigestMismatchError: A file is not the one the card pins.
    """
    if card.folder is not None:
        _refuse_pickled_folder(card)
    for role, file in sorted(card.files.items()):
        if not file.is_file():
            raise CatalogError(
                f"Model {card.id}: file {file.name} ({role}) is missing.", hint=f"Make it with: {card.reproduce}"
            )
        found = sha256_of_file(file)
        if found != card.digests[role]:
            raise DigestMismatchError(
                f"Model {card.id}: file {file.name} has digest {found}, the card pins {card.digests[role]}.",
                hint="Restore the file, or measure the new weights and write a new card.",
                model_id=card.id,
            )
    pinned = {resolved(file, card.path.name) for file in card.files.values()}
    is_named = card.folder is not None and refuse_other_labels(
        config_labels(card.folder), card.classes, "config.json", card.id
    )
    for file in card.files.values():
        if file.suffix.lower() == ".safetensors":
            refuse_faulty_safetensors(file, card.id)
        if file.suffix.lower() == ".onnx":
            graph = read_graph(file)
            _refuse_graph(card, graph, file, pinned)
            is_named |= refuse_other_labels(labels_of(graph.metadata), card.classes, file.name, card.id)
    return is_named


def _refuse_graph(card: ModelCard, graph: GraphFile, file: Path, pinned: set[Path]) -> None:
    if graph.foreign:
        raise CatalogError(
            f"Model {card.id}: {file.name} has operators of {', '.join(sorted(graph.foreign))}, which no engine "
            "brings along; libraries of custom operators are never loaded, since they are code.",
            hint="Export the model with standard operators.",
        )
    for location in sorted(graph.locations):
        target = inside(card.path.parent, location, card.path.name)
        # onnxruntime resolves a location against the graph's own folder
        if resolved(file.parent / location, card.path.name) not in pinned:
            raise CatalogError(
                f"Model {card.id}: {file.name} keeps weights in {target.name}, which the card does not pin.",
                hint="Name the file under `files` and `digests` too.",
            )
    refuse_faulty_graph(graph, file, card.id)


def _refuse_pickled_folder(card: ModelCard) -> None:
    assert card.folder is not None
    if not (card.folder / "model.safetensors").exists() and card.folder.is_dir():
        for file in sorted(card.folder.iterdir()):
            refuse_pickled(file, card.path.name)
