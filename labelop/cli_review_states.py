"""Commands that say where reviews stand and move them; who may is decided by `roles.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import typer

from labelop.cli_common import FormatOption, OneDatasetOption, StoreOption, ask, running, show_query
from labelop.cli_output import OutputFormat
from labelop.review.states import STATES, State

ReviewsArgument: TypeAlias = Annotated[
    list[str] | None, typer.Argument(help="Review ids; without any, --dataset says which.")
]
StateFilter: TypeAlias = Annotated[
    str | None, typer.Option("--state", help=f"Only reviews in this state: {', '.join(STATES)}.")
]
ReviewerFilter: TypeAlias = Annotated[
    str | None, typer.Option("--reviewer", help="Only reviews of this reviewer's pseudonym; for leads.")
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
    add_move(app, "begin", "in_review", "Take reviews up for a look, so that others leave them alone.", "looked-at")
    add_move(app, "approve", "approved", "Make the labels of reviews accepted.", "checked")
    add_move(app, "reject", "rejected", "Turn reviews down; taking an approval back needs a lead.")
    again = "Ask for another pass over reviews; taking an approval back needs a lead."
    add_move(app, "request-revision", "revision_requested", again)


def add_move(app: typer.Typer, name: str, target: State, text: str, usual_reason: str | None = None) -> None:
    """Put one command below `labelop review` that moves reviews.

    Args:
        app: The group of commands.
        name: Of the command.
        target: State that the reviews get.
        text: What the command does, for its help.
        usual_reason: Reason where none is given; without one the person must say why.
    """
    unsaid: Any = ... if usual_reason is None else usual_reason

    @app.command(name, help=text)
    def move_reviews(
        reviews: ReviewsArgument = None,
        dataset: OneDatasetOption = None,
        wanted: StateFilter = None,
        reviewer: ReviewerFilter = None,
        arm: ArmFilter = None,
        reason: ReasonOption = unsaid,
        note: NoteOption = "",
        yes: YesOption = False,
        store: StoreOption = None,
    ) -> None:
        _move(target, reviews, _filters(dataset, wanted, reviewer, arm), reason, note, yes=yes, store=store)


def state(
    dataset: OneDatasetOption = None,
    wanted: StateFilter = None,
    reviewer: ReviewerFilter = None,
    arm: ArmFilter = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Show where each review stands, and why its labels are not accepted."""
    filters = _filters(dataset, wanted, reviewer, arm)
    with running(store) as (_, tables):
        show_query(tables, _query_of(filters), filters, output)


def _query_of(filters: Mapping[str, str]) -> str:
    # whose a review is stands in a query of its own, for those who may see it
    return "reviewer_reviews" if "reviewer" in filters else "review_states"


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
    from labelop.review.transitions import move  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with running(store) as (settings, tables):
        found = reviews or ask(tables, _query_of(filters), filters).column("review_id").to_pylist()
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
