"""Commands that say where reviews stand and move them; who may is decided by `roles.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer

from labelop.cli_common import FormatOption, OneDatasetOption, StoreOption, running, show_query
from labelop.cli_output import OutputFormat
from labelop.review.states import STATES, State

ReviewsArgument: TypeAlias = Annotated[
    list[str] | None, typer.Argument(help="Review ids; without any, --dataset says which.")
]
StateFilter: TypeAlias = Annotated[
    str | None, typer.Option("--state", help=f"Only reviews in this state: {', '.join(STATES)}.")
]
ReviewerFilter: TypeAlias = Annotated[
    str | None, typer.Option("--reviewer", help="Only reviews of this reviewer's pseudonym.")
]
ArmFilter: TypeAlias = Annotated[str | None, typer.Option("--arm", help="Only reviews of this arm.")]
ReasonOption: TypeAlias = Annotated[
    str, typer.Option("--reason", help="Short code of why, for example checked or wrong-class.")
]
NoteOption: TypeAlias = Annotated[str, typer.Option("--note", help="Text for people.")]
YesOption: TypeAlias = Annotated[bool, typer.Option("--yes", help="Move all that the filters find.")]


def add_states(app: typer.Typer) -> None:
    """Put the commands below `labelop review`."""
    app.command("state")(state)
    for name, function in (
        ("begin", begin),
        ("approve", approve),
        ("reject", reject),
        ("request-revision", request_revision),
    ):
        app.command(name)(function)


def state(
    dataset: OneDatasetOption = None,
    wanted: StateFilter = None,
    reviewer: ReviewerFilter = None,
    arm: ArmFilter = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Show where each review stands, and why its labels are not accepted."""
    with running(store) as (_, tables):
        show_query(tables, "review_states", _filters(dataset, wanted, reviewer, arm), output)


def begin(
    reviews: ReviewsArgument = None,
    dataset: OneDatasetOption = None,
    wanted: StateFilter = None,
    reviewer: ReviewerFilter = None,
    arm: ArmFilter = None,
    note: NoteOption = "",
    yes: YesOption = False,
    store: StoreOption = None,
) -> None:
    """Take reviews up for a look, so that others leave them alone."""
    _move("in_review", reviews, _filters(dataset, wanted, reviewer, arm), "looked-at", note, yes=yes, store=store)


def approve(
    reviews: ReviewsArgument = None,
    dataset: OneDatasetOption = None,
    wanted: StateFilter = None,
    reviewer: ReviewerFilter = None,
    arm: ArmFilter = None,
    reason: ReasonOption = "checked",
    note: NoteOption = "",
    yes: YesOption = False,
    store: StoreOption = None,
) -> None:
    """Make the labels of reviews accepted."""
    _move("approved", reviews, _filters(dataset, wanted, reviewer, arm), reason, note, yes=yes, store=store)


def reject(
    reason: ReasonOption,
    reviews: ReviewsArgument = None,
    dataset: OneDatasetOption = None,
    wanted: StateFilter = None,
    reviewer: ReviewerFilter = None,
    arm: ArmFilter = None,
    note: NoteOption = "",
    yes: YesOption = False,
    store: StoreOption = None,
) -> None:
    """Turn reviews down; taking an approval back needs a lead."""
    _move("rejected", reviews, _filters(dataset, wanted, reviewer, arm), reason, note, yes=yes, store=store)


def request_revision(
    reason: ReasonOption,
    reviews: ReviewsArgument = None,
    dataset: OneDatasetOption = None,
    wanted: StateFilter = None,
    reviewer: ReviewerFilter = None,
    arm: ArmFilter = None,
    note: NoteOption = "",
    yes: YesOption = False,
    store: StoreOption = None,
) -> None:
    """Ask for another pass over reviews; taking an approval back needs a lead."""
    _move("revision_requested", reviews, _filters(dataset, wanted, reviewer, arm), reason, note, yes=yes, store=store)


def _filters(dataset: str | None, wanted: str | None, reviewer: str | None, arm: str | None) -> dict[str, str]:
    if wanted is not None and wanted not in STATES:
        raise typer.BadParameter(f"{wanted!r} is unknown, expected one of {', '.join(STATES)}", param_hint="--state")
    given = {"dataset": dataset, "state": wanted, "reviewer": reviewer, "arm": arm}
    return {name: value for name, value in given.items() if value is not None}


def _move(
    target: State,
    reviews: list[str] | None,
    filters: dict[str, Any],
    reason: str,
    note: str,
    *,
    yes: bool,
    store: str | None,
) -> None:
    if bool(reviews) == bool(filters):
        raise typer.BadParameter("give either review ids, or --dataset with what else should fit")
    if filters and "dataset" not in filters:
        raise typer.BadParameter("reviews are found in one dataset: give --dataset", param_hint="--dataset")
    from labelop.queries import run_query  # noqa: PLC0415
    from labelop.review.transitions import move  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with running(store) as (settings, tables):
        found = reviews or run_query(tables, "review_states", filters).column("review_id").to_pylist()
        if filters and not yes:
            typer.echo(f"{len(found)} reviews fit; with --yes they become {target}.")
            return
        moved = move(
            tables,
            found,
            target,
            by=settings.acting_user,
            roles=load_roles(settings.config / "roles.yaml"),
            reason=reason,
            note=note,
            run_id=new_run_id("review"),
        )
        typer.echo(f"{moved} reviews are {target} now, {len(set(found)) - moved} were before.")
