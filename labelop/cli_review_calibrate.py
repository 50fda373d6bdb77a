"""The command that learns from measured reviews how many seconds each operation takes."""

from __future__ import annotations

from typing import Annotated

import typer

from labelop.cli_common import DatasetOption, SeveralFormatOption, StoreOption, running
from labelop.cli_output import OutputFormat, show_sections, warn


def calibrate(
    dataset: DatasetOption,
    reviewers: Annotated[
        bool, typer.Option("--reviewers", help="With how fast each reviewer is; for leads, never for pay.")
    ] = False,
    save: Annotated[
        bool, typer.Option("--save", help="Model later reviews that nobody measured with it, if it is good enough.")
    ] = False,
    with_simulated: Annotated[
        bool, typer.Option("--with-simulated", help="Learn from reviews that no person made; never saved.")
    ] = False,
    store: StoreOption = None,
    output: SeveralFormatOption = OutputFormat.TABLE,
) -> None:
    """Learn from measured reviews how many seconds each operation takes, and say whether that is good enough.

    Without --save no table and no file changes.
    """
    from labelop.effort import saved  # noqa: PLC0415
    from labelop.effort.ledger import land_edits  # noqa: PLC0415
    from labelop.effort.timings import learn, learnt_rows, set_of  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with running(store, existing=True) as (settings, tables):
        roles = load_roles(settings.config / "roles.yaml")
        if reviewers:
            roles.require(settings.acting_user, "compare reviewers", dataset)
        if save:
            roles.require(settings.acting_user, "save seconds", dataset)
            land_edits(tables, new_run_id("review"), dataset=dataset)
        found = learn(tables, dataset, with_simulated=with_simulated)
        show_sections(learnt_rows(found, reviewers=reviewers), output)
        if found.simulated:
            warn("some of these reviews were made by no person: their seconds are nobody's")
        if save:
            path = saved.save(settings, set_of(found))
            typer.echo(f"reviews of {dataset} that nobody measures are modelled with {path} from now on", err=True)
