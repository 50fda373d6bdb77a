"""Commands that bring a model into the catalog: fetched by name, or exported from a folder."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from labelop.catalog.checkpoint import CardWishes
from labelop.cli_common import FormatOption
from labelop.cli_output import OutputFormat, failing_in_one_line, show_rows
from labelop.errors import CatalogError
from labelop.settings import load_settings

obtain_app = typer.Typer()

_WISHES: dict[str, Any] = {
    "model_id": Annotated[str | None, typer.Option("--id", help="Name of the model; that of its folder when empty.")],
    "ontology": Annotated[str, typer.Option("--ontology", help="Label ontology its classes belong to.")],
    "width_px": Annotated[int | None, typer.Option("--width", min=1, help="Width of the model's input, pixels.")],
    "height_px": Annotated[int | None, typer.Option("--height", min=1, help="Height of the model's input, pixels.")],
    "licence": Annotated[str | None, typer.Option("--licence", help="Licence of the weights.")],
}
"""The option of each field of `CardWishes`; an option left out takes the field's default."""


def with_wishes(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a new card, and what they say as its argument `wishes`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(wishes=CardWishes(**{name: given.pop(name) for name in _WISHES}), **given)

    own = inspect.signature(command, eval_str=True).parameters.values()
    fields = inspect.signature(CardWishes).parameters
    options = [fields[name].replace(annotation=option) for name, option in _WISHES.items()]
    together = [one for one in (*own, *options) if one.name != "wishes"]
    # the command line is made of both: the signature for what there is, the annotations for what it means
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in together]
    )
    run.__annotations__ = {one.name: one.annotation for one in together}
    return run


class GraphFormat(StrEnum):
    """What a folder can be exported to."""

    ONNX = "onnx"
    OPENVINO = "openvino"


@obtain_app.command("pull")
@with_wishes
def models_pull(
    name: Annotated[str, typer.Argument(help="Name on the Hugging Face hub, owner/model.")],
    revision: Annotated[str, typer.Option("--revision", help="Commit, tag or branch; the card keeps the commit.")],
    wishes: CardWishes,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Fetch a public model into the catalog: safetensors only, pinned by digest."""
    from labelop.catalog.pull import pull  # noqa: PLC0415

    with failing_in_one_line():
        card = pull(name, revision, load_settings().catalog, wishes)
        row = {"model_id": card.id, "version": card.version, "licence": card.licence, "digest": card.digest}
        show_rows([row], output, title="Models")


@obtain_app.command("export")
@with_wishes
def models_export(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Hugging Face folder.")],
    target: Annotated[Path, typer.Option("--output", file_okay=False, help="Folder of the new card.")],
    wishes: CardWishes,
    graph: Annotated[GraphFormat, typer.Option("--format", help="What is written.")] = GraphFormat.ONNX,
    output: Annotated[
        OutputFormat, typer.Option("--show", help="How the parity report is shown.")
    ] = OutputFormat.TABLE,
) -> None:
    """Export a folder as a graph with its card, and report how far its outputs lie from torch's."""
    from labelop.catalog.export import export_folder  # noqa: PLC0415

    with failing_in_one_line():
        settings = load_settings()
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
