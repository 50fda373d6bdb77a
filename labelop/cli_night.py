"""Run a night and show what it did: what the commands `nightly`, `demo` and `resume` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from labelop.cli_common import Embedded
from labelop.cli_models import say_engines
from labelop.cli_output import OutputFormat, show_sections, warn
from labelop.errors import LabelopError
from labelop.jobs import DatasetJob, check_ontologies
from labelop.landing.store import Store
from labelop.settings import Settings


def run_night(
    embedded: Embedded,
    settings: Settings,
    tables: Store,
    jobs: list[DatasetJob],
    report_file: Path | None,
    output: OutputFormat,
    run: str | None = None,
    **more: Any,
) -> None:
    """Run the flow and show what it did, also where it failed.

    Args:
        embedded: Gives the flows as plain functions while a block runs.
        settings: Settings in force.
        tables: Where the tables are.
        jobs: One per dataset; none where a run is resumed.
        report_file: Where the page is written; the setting when None.
        output: Format of the tables.
        run: Name of the run; a new one when None.
        **more: Further parameters of the flow.

    Raises:
        LabelopError: The night failed; its tables have been shown.
    """
    from labelop.configuration import load_configuration  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415
    from labelop.summary import for_people, run_tables, told_by, warnings_of  # noqa: PLC0415

    files = load_configuration(settings)  # a fault is told alone, not below the tables of a night that did nothing
    check_ontologies(jobs, (arm.ontology for arm in files.routing.arms))
    say_engines(settings)
    run, page = run or new_run_id("night"), report_file or settings.report_path
    problem: LabelopError | None = None
    with embedded(settings) as flows:
        try:
            flows["nightly/onprem"](
                night=[job.model_dump() for job in jobs], store=settings.store, report=str(page), run_id=run, **more
            )
        except LabelopError as error:
            # what did get through is shown before the run is reported as failed
            problem = error
    said = run_tables(tables, run)
    show_sections(for_people(said) if output is OutputFormat.TABLE else said, output)
    if output is OutputFormat.TABLE and page.is_file():
        typer.echo(f"Report: {page}")
    # what failed is told by the error, what was lost is not
    told = [one for one in told_by(tables, run) if problem is None or one not in problem.message]
    for warning in told + warnings_of(tables):
        warn(warning)
    if problem is not None:
        raise problem
