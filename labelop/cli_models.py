"""Commands that measure models on this machine and say which to take, and on which engine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelop.cli_common import DatasetOption, FormatOption, SeveralFormatOption, StoreOption, key_values, running
from labelop.cli_output import OutputFormat, show_rows, show_sections, warn
from labelop.errors import CatalogError, ConfigurationError
from labelop.jobs import LevelText
from labelop.settings import Settings

if TYPE_CHECKING:
    from labelop.catalog.cards import ModelCard
    from labelop.catalog.choice import EngineChoice

_SHOWN = (
    "model_id", "engine_name", "device", "images_count", "lanes_count", "images_per_second", "energy_joules_per_image",
    "growth_mib", "difference", "agrees", "outcome", "reason",
)  # fmt: skip


MOST_BATCH = 4096
"""Largest pass that is measured: more is a slip of the finger."""


class Engine(StrEnum):
    """Engines that can be measured."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TORCH = "torch"


class Task(StrEnum):
    """What a model does."""

    DETECTION = "detection"
    CLASSIFICATION = "classification"
    SEGMENTATION = "segmentation"


class Density(StrEnum):
    """How many objects an image has."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Device(StrEnum):
    """Where a model would run."""

    CPU = "cpu"
    CUDA = "cuda"


def profile(
    model: Annotated[list[str] | None, typer.Option("--model", help="Model id; all of the catalog when empty.")] = None,
    engine: Annotated[list[Engine] | None, typer.Option("--engine", help="Engine to measure; all when empty.")] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option("--batch", min=1, max=MOST_BATCH, help="Images of one pass; 1 and up to 8 when empty."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", exists=True, file_okay=False, help="Folder of pictures the models are for."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Timed passes of each engine.")] = 5,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Measure each engine's speed, memory and agreement on this machine; `engine: auto` reads the newest."""
    from labelop.catalog.cards import load_catalog  # noqa: PLC0415
    from labelop.catalog.choice import ENGINES  # noqa: PLC0415
    from labelop.catalog.profile import land_profile  # noqa: PLC0415
    from labelop.engines.measure import measure  # noqa: PLC0415
    from labelop.engines.samples import load_samples  # noqa: PLC0415

    with running(store, quiet=True) as (settings, tables):
        catalog = load_catalog(settings.catalog)
        if unknown := sorted(set(model or []) - set(catalog)):
            raise CatalogError(f"Model {unknown[0]!r} is not in the catalog; it has {', '.join(catalog)}.")
        pictures = load_samples(images or settings.catalog.parent)
        rows: list[dict[str, Any]] = []
        for card in catalog.values():
            if model and card.id not in model:
                continue
            if unable := sorted(set(engine or []) - set(ENGINES[card.format])):
                warn(f"{card.id} is of format {card.format}, which {', '.join(unable)} cannot run: not measured there")
            found = measure(card, pictures, settings, engines=engine or (), batches=batch or (), rounds=rounds)
            rows += land_profile(tables, card.id, card.digest, settings.engine_threads, found)
        for row in rows:
            row["images_per_second"] = 1 / row["image_seconds"] if row["image_seconds"] else None
            row["growth_mib"] = None if row["growth_bytes"] is None else row["growth_bytes"] / (1 << 20)
        table = [{name: row[name] for name in _SHOWN} for row in rows]
        show_rows(table if output is OutputFormat.TABLE else rows, output, title="Profile")
        for reason in sorted({row["energy_reason"] for row in rows if row["energy_reason"]}):
            typer.echo(f"energy: {reason}", err=True)


def engines(store: StoreOption = None, output: FormatOption = OutputFormat.TABLE) -> None:
    """Say which engine each model would run on here, and why."""
    with running(store, quiet=True) as (settings, _):
        rows = [
            {
                "model_id": card.id,
                "engine": "none" if choice is None else choice.label,
                "images_count": None if choice is None else choice.images_of(card),
                "threads_count": settings.engine_threads,
                "reason": reason,
            }
            for card, choice, reason in _chosen(settings)
        ]
        show_rows(rows, output, title="Engines")


def recommend(
    task: Annotated[Task, typer.Option("--task", help="What is to be labelled.")] = Task.DETECTION,
    density: Annotated[Density, typer.Option("--density", help="Objects in an image.")] = Density.MEDIUM,
    level: Annotated[LevelText, typer.Option("--level", help="Sensitivity level of the images.")] = "restricted",
    device: Annotated[Device, typer.Option("--device", help="Device whose profiles count.")] = Device.CPU,
    ontology: Annotated[
        str | None, typer.Option("--ontology", help="Labels that are wanted; one answer each when empty.")
    ] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Explain which model to take, from cards, profiles of this machine and measured correction effort."""
    from labelop.catalog.cards import load_catalog  # noqa: PLC0415
    from labelop.catalog.recommend import recommend as weigh  # noqa: PLC0415
    from labelop.sensitivity.levels import Level  # noqa: PLC0415
    from labelop.sensitivity.policy import load_policy  # noqa: PLC0415

    with running(store, quiet=True) as (settings, tables):
        policy = load_policy(settings.config / "policy.yaml")
        found = weigh(
            load_catalog(settings.catalog),
            tables,
            settings,
            task=task,
            density=density,
            level=level,
            placements=sorted(policy.allowed_placements(Level[level.upper()])),
            device=device,
            ontology=ontology,
        )
        if output is OutputFormat.JSON:
            explanation = [{"sentence": sentence} for sentence in found.sentences]
            show_sections({"explanation": explanation, "candidates": found.rows}, output)
        else:
            for sentence in found.sentences:
                # a table may have words before it, columns for a machine may not
                typer.echo(sentence, err=output is not OutputFormat.TABLE)
            show_rows(found.rows, output, title="Candidates")


def say_engines(settings: Settings) -> None:
    """Say on standard error which engine the models of this machine will run on, and why; one line per reason."""
    lines: dict[tuple[str, str], list[str]] = {}
    for card, choice, reason in _chosen(settings):
        lines.setdefault(("none" if choice is None else choice.label, reason), []).append(card.id)
    for (label, reason), models in lines.items():
        typer.echo(f"engine: {label} for {', '.join(models)}: {reason}", err=True)


def _chosen(settings: Settings) -> Iterator[tuple[ModelCard, EngineChoice | None, str]]:
    """Choose the engine of each card; a card no arm uses may have none here, and the reason says so."""
    from labelop.catalog.cards import load_catalog  # noqa: PLC0415
    from labelop.catalog.choice import choose_engine  # noqa: PLC0415

    for card in load_catalog(settings.catalog).values():
        try:
            choice = choose_engine(card, settings)
        except ConfigurationError as error:
            yield card, None, str(error)
        else:
            yield card, choice, choice.reason


def thresholds(
    dataset: DatasetOption,
    risk: Annotated[
        list[str] | None,
        typer.Option("--risk", help="CLASS=weight, at least 1: how much worse an object is that nobody is shown."),
    ] = None,
    store: StoreOption = None,
    output: SeveralFormatOption = OutputFormat.TABLE,
) -> None:
    """Find the `draft_score` of each class that takes the fewest review seconds, from labels made without a draft."""
    from labelop.catalog.cards import load_catalog  # noqa: PLC0415
    from labelop.effort.saved import parameters_of  # noqa: PLC0415
    from labelop.pilot.cutoffs import advice_rows, advise  # noqa: PLC0415
    from labelop.runs import current_version  # noqa: PLC0415

    risks = _risks(risk)
    with running(store, existing=True) as (settings, tables):
        version = current_version(tables, dataset)
        catalog = load_catalog(settings.catalog)
        if unknown := sorted(risks.keys() - {name for card in catalog.values() for name in card.classes}):
            raise CatalogError(
                f"No model card has the class {unknown[0]!r} of --risk.", hint="Spell it as the card does."
            )
        params = parameters_of(settings, dataset)
        found = advise(tables, dataset, version, catalog, risks=risks, params=params)
        show_sections(advice_rows(found), output)
        for one in found:
            if one.simulated:
                warn(f"what is said of {one.model_id or dataset} rests on simulated reviews or an emulated placement")


def _risks(given: list[str] | None) -> dict[str, float]:
    try:
        risks = {name: float(weight) for name, weight in key_values(given, "--risk").items()}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--risk") from error
    if wrong := [name for name, weight in risks.items() if not 1 <= weight < math.inf]:
        raise typer.BadParameter(f"the weight of {wrong[0]} is not a number of at least 1", param_hint="--risk")
    return risks
