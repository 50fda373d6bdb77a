"""Commands that bring a model into the catalog: fetched by name, or exported from a folder."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from labelop.catalog.checkpoint import CardWishes
from labelop.cli_common import FormatOption
from labelop.cli_output import OutputFormat, failing_in_one_line, show_rows
from labelop.errors import CatalogError
from labelop.settings import load_settings

obtain_app = typer.Typer()

IdOption = Annotated[str | None, typer.Option("--id", help="Name of the model; that of its folder when empty.")]
SpeaksOption = Annotated[str, typer.Option("--ontology", help="Label ontology its classes belong to.")]
WidthOption = Annotated[int | None, typer.Option("--width", min=1, help="Width of the model's input, pixels.")]
HeightOption = Annotated[int | None, typer.Option("--height", min=1, help="Height of the model's input, pixels.")]
LicenceOption = Annotated[str | None, typer.Option("--licence", help="Licence of the weights.")]


class GraphFormat(StrEnum):
    """What a folder can be exported to."""

    ONNX = "onnx"
    OPENVINO = "openvino"


@obtain_app.command("pull")
def models_pull(
    name: Annotated[str, typer.Argument(help="Name on the Hugging Face hub, owner/model.")],
    revision: Annotated[str, typer.Option("--revision", help="Commit, tag or branch; the card keeps the commit.")],
    model_id: IdOption = None,
    ontology: SpeaksOption = "any",
    width: WidthOption = None,
    height: HeightOption = None,
    licence: LicenceOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Fetch a public model into the catalog: safetensors only, pinned by digest."""
    from labelop.catalog.pull import pull  # noqa: PLC0415

    with failing_in_one_line():
        wishes = CardWishes(model_id, ontology, width, height, licence)
        card = pull(name, revision, load_settings().catalog, wishes)
        row = {"model_id": card.id, "version": card.version, "licence": card.licence, "digest": card.digest}
        show_rows([row], output, title="Models")


@obtain_app.command("export")
def models_export(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Hugging Face folder.")],
    target: Annotated[Path, typer.Option("--output", file_okay=False, help="Folder of the new card.")],
    graph: Annotated[GraphFormat, typer.Option("--format", help="What is written.")] = GraphFormat.ONNX,
    model_id: IdOption = None,
    ontology: SpeaksOption = "any",
    width: WidthOption = None,
    height: HeightOption = None,
    licence: LicenceOption = None,
    output: Annotated[
        OutputFormat, typer.Option("--show", help="How the parity report is shown.")
    ] = OutputFormat.TABLE,
) -> None:
    """Export a folder as a graph with its card, and report how far its outputs lie from torch's."""
    from labelop.catalog.export import export_folder  # noqa: PLC0415

    with failing_in_one_line():
        settings = load_settings()
        wishes = CardWishes(model_id, ontology, width, height, licence)
        card, report = export_folder(folder, target, wishes, target=graph.value, threads=settings.engine_threads)
        show_rows([{"model_id": card.id, **asdict(row)} for row in report], output, title="Parity with torch")


class Scope(StrEnum):
    """Which part of a graph is computed in int8."""

    CONVOLUTIONS = "convolutions"
    LAYERS = "layers"


@obtain_app.command("quantize")
def models_quantize(
    model: Annotated[str, typer.Argument(help="Model of the catalog; an ONNX detector or classifier.")],
    images: Annotated[
        Path, typer.Option("--images", exists=True, file_okay=False, help="Folder of photographs the model is for.")
    ],
    target: Annotated[Path, typer.Option("--output", file_okay=False, help="Folder of the new card.")],
    count: Annotated[int, typer.Option("--count", min=1, help="Photographs that set the ranges; as many judge.")] = 32,
    scope: Annotated[
        Scope | None, typer.Option("--scope", help="What is int8: convolutions for detectors, else layers.")
    ] = None,
    model_id: Annotated[str | None, typer.Option("--id", help="Name of the new model; else MODEL-int8.")] = None,
    output: Annotated[
        OutputFormat, typer.Option("--show", help="How the parity report is shown.")
    ] = OutputFormat.TABLE,
) -> None:
    """Make an int8 model as a card of its own, and report how far it lies from its source."""
    from labelop.catalog.cards import load_catalog  # noqa: PLC0415
    from labelop.catalog.quantise import quantise  # noqa: PLC0415
    from labelop.engines.samples import load_samples  # noqa: PLC0415

    with failing_in_one_line():
        catalog = load_catalog(load_settings().catalog)
        if model not in catalog:
            raise CatalogError(f"Model {model!r} is not in the catalog; it has {', '.join(catalog)}.")
        pictures = load_samples(images, 2 * count)
        card, report = quantise(
            catalog[model],
            pictures[::2],
            target,
            judged=pictures[1::2],
            scope=None if scope is None else scope.value,
            model_id=model_id,
        )
        show_rows([{"model_id": card.id, **asdict(row)} for row in report], output, title="Parity with the source")
