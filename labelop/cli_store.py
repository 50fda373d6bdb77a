"""Commands that look after the tables themselves, not after what is in them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from labelop.cli_common import FormatOption, StoreOption, running
from labelop.cli_output import OutputFormat, show_rows
from labelop.settings import MOST_RETENTION_HOURS

upkeep_app = typer.Typer()
store_app = typer.Typer(no_args_is_help=True, help="Look after the tables.")
upkeep_app.add_typer(store_app, name="store")


@upkeep_app.command()
def maintain(
    retention_hours: Annotated[
        int | None,
        typer.Option(
            "--retention-hours",
            min=1,
            max=MOST_RETENTION_HOURS,
            help="How long files of old versions are kept; the setting if empty.",
        ),
    ] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Put small files together and remove old ones; nights and readers may go on meanwhile."""
    from labelop.landing.upkeep import Upkeep, maintain  # noqa: PLC0415

    with running(store, existing=True) as (settings, tables):
        done = maintain(tables, retention_hours or settings.store_retention_hours)
        show_rows([asdict(one) for one in done], output, title="maintained", columns=list(Upkeep.__annotations__))


@store_app.command()
def upgrade(store: StoreOption = None, output: FormatOption = OutputFormat.TABLE) -> None:
    """Add the columns of this release to tables an older one wrote; no row is written again. Stop its workers first."""
    from labelop.landing.upkeep import Upgrade, upgrade  # noqa: PLC0415

    with running(store, existing=True) as (_, tables):
        rows = [{**asdict(one), "added": ", ".join(one.added)} for one in upgrade(tables)]
        show_rows(rows, output, title="upgraded", columns=list(Upgrade.__annotations__))
