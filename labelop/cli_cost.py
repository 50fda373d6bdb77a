"""Commands about money: the prices and how old they are, and what history would have cost otherwise.

None of them changes a table or runs a model.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from labelop.cli_common import FormatOption, StoreOption, running
from labelop.cli_output import OutputFormat, failing_in_one_line, show_rows
from labelop.settings import load_settings

cost_app = typer.Typer()

_BookOption = Annotated[
    Path | None, typer.Option("--prices", exists=True, dir_okay=False, help="Price book; the one in force when empty.")
]


@cost_app.command()
def prices(book: _BookOption = None, output: FormatOption = OutputFormat.TABLE) -> None:
    """List every price with its range, age and source, and other public prices beside it."""
    from labelop.cost.prices import describe_prices, load_prices  # noqa: PLC0415

    with failing_in_one_line():
        found = load_prices(book or load_settings().config / "prices.yaml")
        show_rows(describe_prices(found), output, title=f"Price book {found.version}")


@cost_app.command()
def whatif(
    book: _BookOption = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", exists=True, dir_okay=False, help="Routing policy; the one in force when empty."),
    ] = None,
    since: Annotated[
        dt.datetime, typer.Option("--since", formats=["%Y-%m-%d"], help="First day, in UTC, to decide again.")
    ] = dt.datetime(1970, 1, 1),  # noqa: DTZ001 - a day without a clock
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Say what would have run where and cost what at other prices or by another routing policy, without inference."""
    from labelop.configuration import load_configuration  # noqa: PLC0415
    from labelop.cost.prices import load_prices  # noqa: PLC0415
    from labelop.routing.policy import load_routing  # noqa: PLC0415
    from labelop.routing.recorded import prices_on_record  # noqa: PLC0415
    from labelop.routing.whatif import Inputs, what_if  # noqa: PLC0415

    with running(store, quiet=True) as (settings, tables):
        files = load_configuration(settings)
        rows = what_if(
            tables,
            settings,
            now=Inputs(files.prices, files.routing),
            then=Inputs(
                load_prices(book) if book else prices_on_record(tables) or files.prices,
                load_routing(policy) if policy else files.routing,
            ),
            policy=files.policy,
            catalog=files.catalog,
            since=since.date(),
        )
        show_rows(rows, output, title="What if")
