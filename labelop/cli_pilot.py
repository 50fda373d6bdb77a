"""Commands of pilots: plan one, see how far it is, compare its arms, stop it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelop.cli_common import (
    DatasetOption,
    Embedded,
    FormatOption,
    OneDatasetOption,
    StoreOption,
    running,
    show_query,
)
from labelop.cli_output import OutputFormat, show_rows, warn
from labelop.errors import PilotError

if TYPE_CHECKING:
    from labelop.pilot.harm import Harm


NameOption = Annotated[str, typer.Option("--name", help="What the pilot is called.")]


def add_pilot(app: typer.Typer, embedded: Embedded) -> None:
    """Put `labelop pilot` into the command line; its plan runs a flow."""
    pilot_app = typer.Typer(no_args_is_help=True, help="Compare arms on one sample, with an error rate that is known.")
    app.add_typer(pilot_app, name="pilot")
    pilot_app.command("status")(status)
    pilot_app.command("compare")(compare)
    pilot_app.command("stop")(stop)

    @pilot_app.command("plan")
    def plan(
        dataset: DatasetOption,
        name: NameOption,
        reviewer: Annotated[
            list[str] | None, typer.Option("--reviewer", help="User id in the review tool, once for each.")
        ] = None,
        arm: Annotated[list[str] | None, typer.Option("--arm", help="An arm; all three when empty.")] = None,
        reference: Annotated[str, typer.Option("--reference", help="Arm the others are compared with.")] = "local",
        images: Annotated[int, typer.Option("--images", min=1, help="Images; 120 find 15 %, 200 find 10 %.")] = 120,
        margin: Annotated[float, typer.Option("--margin", help="Difference of seconds that counts as equal.")] = 0.10,
        looks: Annotated[int, typer.Option("--looks", help="1: a verdict at the end; 2: a look at half as well.")] = 1,
        seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")] = 0,
        verdict_by: Annotated[
            str, typer.Option("--verdict-by", help="source or size: a verdict for each such stratum as well.")
        ] = "",
        target: Annotated[Path | None, typer.Option("--output", help="Folder for one task file per reviewer.")] = None,
        simulate: Annotated[
            bool, typer.Option("--simulate", help="Let simulated reviewers do it from the truth (marked so).")
        ] = False,
        store: StoreOption = None,
        output: FormatOption = OutputFormat.TABLE,
    ) -> None:
        """Declare a pilot, draw its images and draft them under every arm."""
        if simulate and reviewer:
            raise typer.BadParameter("nobody else reviews where reviewers are simulated", param_hint="--reviewer")
        from labelop.pilot.plan import newest_pilot  # noqa: PLC0415
        from labelop.pilot.work import export_pilot  # noqa: PLC0415
        from labelop.review.annotation_review import pseudonym_of_typed  # noqa: PLC0415
        from labelop.review.simulate import REVIEWERS  # noqa: PLC0415
        from labelop.runs import new_run_id  # noqa: PLC0415

        with running(store) as (settings, tables):
            people = sorted(REVIEWERS) if simulate else sorted({pseudonym_of_typed(one) for one in reviewer or []})
            asked = {
                "name": name,
                "arms": arm or ["local", "cloud", "blind"],
                "reference": reference,
                "reviewers": people,
                "images_count": images,
                "seed": seed,
                "declared": {"time_margin": margin, "looks": looks},
                "verdict_by": verdict_by,
            }
            run = new_run_id("pilot")
            with embedded(settings) as flows:
                start = flows["run-pilot/onprem"]
                start(dataset=dataset, asked=asked, store=settings.store, run_id=run, simulate=simulate)
            pilot = newest_pilot(tables, dataset, name)
            if (drawn := pilot.protocol.images_count) < images:
                warn(f"pilot {name} has {drawn} images, not {images}: no more may be taken, and fewer prove less")
            if target is not None:
                count = export_pilot(tables, pilot, target)
                typer.echo(f"{count} tasks of {len(people)} reviewers in {target}", err=True)
            show_query(tables, "pilot_status", {"dataset": dataset}, output)


def status(
    dataset: OneDatasetOption = None, store: StoreOption = None, output: FormatOption = OutputFormat.TABLE
) -> None:
    """Show how far each pilot is, arm by arm, and why one has to stop."""
    from labelop.pilot.ends import STOPPED  # noqa: PLC0415
    from labelop.pilot.plan import list_pilots  # noqa: PLC0415
    from labelop.pilot.results import reasons_to_stop  # noqa: PLC0415

    with running(store) as (_, tables):
        show_query(tables, "pilot_status", {} if dataset is None else {"dataset": dataset}, output)
        for pilot in list_pilots(tables, dataset):
            if (end := pilot.ends.get(STOPPED)) is not None:
                warn(f"pilot {pilot.protocol.name} was stopped {end.said}")
                continue
            try:
                _warn_of(pilot.protocol.name, reasons_to_stop(tables, pilot))
            except PilotError as error:  # the others may have to stop as well
                warn(f"pilot {pilot.protocol.name} cannot be judged: {error.message}")


def compare(
    dataset: DatasetOption,
    name: NameOption,
    over: Annotated[
        bool, typer.Option("--over", help="Up to 20 % of the reviews are missing and will not come, from now on.")
    ] = False,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Compare the arms of a pilot and land the verdict, which routing then goes by."""
    from labelop.pilot.ends import OVER, end_pilot  # noqa: PLC0415
    from labelop.pilot.plan import newest_pilot  # noqa: PLC0415
    from labelop.pilot.results import compare as compare_arms  # noqa: PLC0415
    from labelop.pilot.results import contrast_row, estimate_columns, land_contrasts  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with running(store) as (settings, tables):
        pilot = newest_pilot(tables, dataset, name)
        made, run = compare_arms(tables, pilot, over=over), new_run_id("pilot")
        if over and not made.can_end:
            warn(f"pilot {name} is not over: more than 20 % of the reviews are missing")
        elif over:
            roles = load_roles(settings.config / "roles.yaml")
            end_pilot(tables, pilot.protocol, OVER, by=settings.acting_user, roles=roles, run_id=run)
        land_contrasts(tables, made, run)
        shown = ("stratum", "arm", "reference", "verdict", "winner", "ratio", "ratio_low", "ratio_high", "images_count")
        rows, title = [contrast_row(made, one, run) for one in made.findings], f"Pilot {name} of {dataset}"
        if not rows:  # one arm against none: there is no verdict to give, and what its drafts save is the answer
            saved = [
                {"stratum": stratum, "arm": arm, **estimate_columns("saving", one)}
                for stratum, spent in made.effort.items()
                for arm, one in spent.savings.items()
            ]
            show_rows(saved, output, title=title)
        elif output is OutputFormat.TABLE:
            show_rows([{key: row[key] for key in shown} for row in rows], output, title=title)
            for row in rows:
                typer.echo(row["sentence"])
        else:
            show_rows(rows, output, title=title)
        _warn_of(name, made.harms)
        if made.unmeasured_count:
            warn(f"{made.unmeasured_count} reviews have no measured time and do not count")


def stop(
    dataset: DatasetOption,
    name: NameOption,
    reason: Annotated[str, typer.Option("--reason", help="Why, in words.")],
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Stop a pilot for good: nothing waits for it, and no verdict of it counts; needs an operator or a lead."""
    from labelop.pilot.ends import STOPPED, end_pilot, ends_of  # noqa: PLC0415
    from labelop.pilot.plan import newest_pilot  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with running(store, existing=True) as (settings, tables):
        pilot = newest_pilot(tables, dataset, name)
        run, roles = new_run_id("pilot"), load_roles(settings.config / "roles.yaml")
        by = settings.acting_user
        if not end_pilot(tables, pilot.protocol, STOPPED, by=by, roles=roles, run_id=run, reason=reason):
            first = ends_of(tables, pilot.protocol.pilot_id)[STOPPED]
            warn(f"pilot {name} was stopped before, {first.said}; the first word stands")
        show_query(tables, "pilot_status", {"dataset": dataset}, output)


def _warn_of(name: str, harms: Sequence[Harm]) -> None:
    for harm in harms:
        warn(f"stop the pilot {name} ({harm.rule}): {harm.said}")
