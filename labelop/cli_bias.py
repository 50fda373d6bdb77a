"""Commands of the silent-bias meter: plan the tasks that measure reviewers, and say what came of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from labelop.cli_common import DatasetOption, FormatOption, StoreOption, running, show_query
from labelop.cli_output import OutputFormat, show_rows

bias_app = typer.Typer(no_args_is_help=True, help="Measure whether reviewers wave wrong drafts through.")


@bias_app.command("plan")
def plan(
    dataset: DatasetOption,
    blind: Annotated[float, typer.Option("--blind", help="Share of images also labelled without a draft.")] = 0.05,
    double: Annotated[
        float | None,
        typer.Option("--double", help="Share that two people do, at most --blind; 0.02 where that fits."),
    ] = None,
    seeded: Annotated[float, typer.Option("--seeded", help="Share that goes out with one wrong draft first.")] = 0.05,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 0,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Choose the tasks that measure reviewers, before drafts go out; exports and pushes then hold them."""
    from labelop.meter.plan import Shares, plan_bias  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with running(store) as (_, tables):
        shares = Shares(blind, min(Shares().double, blind) if double is None else double, seeded)
        made = plan_bias(tables, dataset, new_run_id("bias"), shares=shares, seed=seed)
        # counts only: who reviews may have asked
        show_rows([asdict(made)], output, title=f"Tasks that measure reviewers of {dataset}")


@bias_app.command("report")
def report(
    dataset: DatasetOption,
    reviewers: Annotated[bool, typer.Option("--reviewers", help="Show the catch rate of each; for leads.")] = False,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Compute, land and show catch rate, anchoring, errors left and agreement."""
    from labelop.effort.ledger import land_edits  # noqa: PLC0415
    from labelop.meter.figures import land_figures  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with running(store) as (_, tables):
        run = new_run_id("bias")
        land_edits(tables, run, dataset=dataset)
        land_figures(tables, dataset, run)
        show_query(tables, "reviewer_figures" if reviewers else "bias_figures", {"dataset": dataset}, output)
