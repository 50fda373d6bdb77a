"""Commands that ask: queries, one image, the report, the models, the installation.

None of them but `models profile` changes a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labelop.cli_common import (
    FormatOption,
    OneDatasetOption,
    SeveralFormatOption,
    StoreOption,
    key_values,
    running,
    show_query,
)
from labelop.cli_models import engines, profile, recommend, thresholds
from labelop.cli_output import OutputFormat, failing_in_one_line, show_rows, show_sections, warn
from labelop.settings import load_settings

ask_app = typer.Typer()
models_app = typer.Typer(no_args_is_help=True, help="Look at the model catalog, and measure it.")
models_app.command()(profile)
models_app.command()(engines)
models_app.command()(recommend)
models_app.command()(thresholds)


@ask_app.command()
def query(
    name: Annotated[str | None, typer.Argument(help="Name of the query; all are listed when empty.")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", help="key=value; may be given several times.")] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Run a question of sql/queries over the tables."""
    from labelop.queries import list_queries  # noqa: PLC0415

    params = key_values(param, "--param")
    with running(store, quiet=True) as (_, tables):
        if name is None:
            rows = [
                {"query": q.name, "purpose": q.purpose, "params": ", ".join(p.name for p in q.params)}
                for q in list_queries()
            ]
            show_rows(rows, output)
            return
        show_query(tables, name, params, output)


@ask_app.command()
def explain(
    image_id: Annotated[str, typer.Argument(help="Image id, or enough of its first digits.")],
    store: StoreOption = None,
    output: SeveralFormatOption = OutputFormat.TABLE,
) -> None:
    """Tell everything the tables know about one image: evidence, level, decisions, predictions, corrections.

    Whose a correction is, beside its seconds, is told to a lead alone.
    """
    from labelop.explain import explain_image  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415

    with running(store, quiet=True) as (settings, tables):
        roles = load_roles(settings.config / "roles.yaml")
        leads = roles.acting(settings.acting_user, "compare reviewers") is not None
        show_sections(explain_image(tables, image_id, reviewers=leads), output, upright=True)


@ask_app.command()
def report(
    target: Annotated[Path | None, typer.Option("--output", help="File of the page.")] = None,
    dataset: OneDatasetOption = None,
    store: StoreOption = None,
) -> None:
    """Write the self-contained report page."""
    from labelop.landing.store import is_empty  # noqa: PLC0415
    from labelop.report.page import write_report  # noqa: PLC0415
    from labelop.runs import current_version  # noqa: PLC0415
    from labelop.sensitivity.policy import load_policy  # noqa: PLC0415

    with running(store) as (settings, tables):
        if dataset is not None:
            current_version(tables, dataset)  # a page of zeros for a misspelt name would look like an answer
        policy = load_policy(settings.config / "policy.yaml")
        page = write_report(tables, target or settings.report_path, dataset=dataset, settings=settings, policy=policy)
        typer.echo(f"Report: {page}")
        if is_empty(tables):
            warn(f"no table in {tables.root}")


@models_app.command("list")
def models_list(output: FormatOption = OutputFormat.TABLE) -> None:
    """List the model cards with their measured quality."""
    from labelop.catalog.cards import describe_catalog, load_catalog  # noqa: PLC0415

    with failing_in_one_line():
        show_rows(describe_catalog(load_catalog(load_settings().catalog)), output, title="Models")


@models_app.command("verify")
def models_verify(output: FormatOption = OutputFormat.TABLE) -> None:
    """Check every model file: digest, classes where it names them, and that the model answers in finite numbers."""
    from labelop.catalog.cards import load_catalog, verify  # noqa: PLC0415
    from labelop.engines.probe import refuse_faulty_answers  # noqa: PLC0415

    with failing_in_one_line():
        rows, settings = [], load_settings()
        for card in load_catalog(settings.catalog).values():
            is_named = verify(card)
            refuse_faulty_answers(card, settings.engine_threads)
            # a file without names agrees with any order of them
            said = "checked" if is_named else "unchecked" if card.classes else None
            rows.append({"model_id": card.id, "digest": card.digest, "verified": True, "label_map": said})
        show_rows(rows, output, title="Models")
