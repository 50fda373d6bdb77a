"""Commands about runs that need no flow: where work would go, which runs there are, how they ended, calling one off."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from labelop.cli_common import DatasetOption, FormatOption, StoreOption, running, show_query
from labelop.cli_output import OutputFormat, show_rows

runs_app = typer.Typer()


@runs_app.command()
def route(
    dataset: DatasetOption,
    explained: Annotated[
        bool, typer.Option("--explain", help="Say in sentences why each option was chosen or refused.")
    ] = False,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Decide where each group of images is prelabelled: hard rules first, then expected total cost."""
    from labelop.configuration import load_configuration  # noqa: PLC0415
    from labelop.routing.route import explain, route_dataset  # noqa: PLC0415
    from labelop.runs import current_version, new_run_id  # noqa: PLC0415

    with running(store) as (settings, tables):
        files = load_configuration(settings)
        decisions = route_dataset(
            tables,
            dataset,
            current_version(tables, dataset),
            routing=files.routing,
            policy=files.policy,
            catalog=files.catalog,
            prices=files.prices,
            settings=settings,
            run_id=new_run_id("route"),
        )
        if explained and output is OutputFormat.TABLE:
            typer.echo(explain(decisions))
            return
        # not the query: that shows what is in force, and these count only from the next plan on
        show_rows([asdict(decision) for decision in decisions], output, title="decisions")


@runs_app.command()
def runs(
    run: Annotated[str | None, typer.Argument(help="One run; all, newest first, when empty.")] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """List runs: open (it runs, or died), superseded, complete, partial or cancelled, and what is left of each."""
    from labelop.recovery import require_run  # noqa: PLC0415

    with running(store, quiet=True, existing=True) as (_, tables):
        if run is not None:
            require_run(tables, run)
        rows = show_query(tables, "run_states", {} if run is None else {"run": run}, output).to_pylist()
        if output is OutputFormat.TABLE and (
            left := [row["run_id"] for row in rows if row["left_count"] or row["state"] == "open"]
        ):
            typer.echo(f"`labelop resume {left[0]}` does what is left of it, once it no longer runs.", err=True)


@runs_app.command()
def cancel(
    run: Annotated[str, typer.Argument(help="Run to call off; `labelop runs` lists them.")],
    store: StoreOption = None,
) -> None:
    """Call a run off: its workers, wherever they are, stop after the batch they are at; it can be resumed."""
    from labelop.recovery import cancel as call_off  # noqa: PLC0415

    with running(store, quiet=True) as (_, tables):
        said = "cancelled" if call_off(tables, run) else "was cancelled before"
        typer.echo(f"{run} {said}; `labelop resume {run}` does the rest.")
