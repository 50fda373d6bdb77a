"""Commands that exchange drafts and corrections with labelling tools."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from labelop.cli_common import DatasetOption, FormatOption, SeveralFormatOption, StoreOption, from_zero_to, running
from labelop.cli_output import OutputFormat, show_rows, show_sections, warn
from labelop.cli_review_backend import backend
from labelop.cli_review_calibrate import calibrate
from labelop.cli_review_states import add_states
from labelop.review.task_forms import LOCAL_FILES_PREFIX

Tool: TypeAlias = Literal["label-studio", "coco", "voc", "cvat", "yolo"]
"""What `labelop.review.exchange` reads."""

_DECADE_HOURS = 87_660
review_app = typer.Typer(no_args_is_help=True, help="Exchange drafts and corrections with labelling tools.")
add_states(review_app)
review_app.command()(backend)
review_app.command()(calibrate)


@review_app.command("capacity")
def review_capacity(store: StoreOption = None, output: SeveralFormatOption = OutputFormat.TABLE) -> None:
    """Say what reviewers can absorb, what waits and how long, how many are needed, and the backlog to come."""
    from labelop.errors import ConfigurationError  # noqa: PLC0415
    from labelop.pilot.capacity import load_team  # noqa: PLC0415
    from labelop.pilot.workload import alarm_of, workload  # noqa: PLC0415

    with running(store, quiet=True, existing=True) as (settings, tables):
        path = settings.config / "capacity.yaml"
        team = load_team(path)
        if team is None:
            raise ConfigurationError(
                f"{path} does not exist, so nobody knows who reviews.",
                hint="docs/how-to/run-a-night.md shows the file; without it nothing is held back.",
            )
        told = workload(tables, team)
        show_sections({"Reviewers": [told]}, output, upright=True)
        if said := alarm_of(told):
            warn(said)


@review_app.command("export")
def review_export(
    dataset: DatasetOption,
    target: Annotated[Path, typer.Option("--output", help="Folder for the files.")],
    form: Annotated[
        Tool, typer.Option("--format", help="label-studio: drafts to review; the others: labels that are accepted.")
    ] = "label-studio",
    prefix: Annotated[str, typer.Option("--prefix", help="What stands before an image path.")] = LOCAL_FILES_PREFIX,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Export at most this many tasks.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also tasks whose review has come back.")] = False,
    with_simulated: Annotated[
        bool, typer.Option("--with-simulated", help="Take accepted labels that no person made.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Write drafts as Label Studio tasks, or accepted labels as COCO, CVAT, VOC or YOLO files."""
    from labelop.egress.audit import AuditLog  # noqa: PLC0415
    from labelop.review.accepted_export import export_accepted  # noqa: PLC0415
    from labelop.review.label_studio import export_review  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415
    from labelop.sensitivity.policy import load_policy  # noqa: PLC0415

    with running(store) as (settings, tables):
        if form != "label-studio":
            roles = load_roles(settings.config / "roles.yaml")
            count = export_accepted(tables, dataset, target, form, roles=roles, with_simulated=with_simulated)
            typer.echo(f"accepted labels of {count} images in {target}")
            return
        policy = load_policy(settings.config / "policy.yaml")
        log = AuditLog(settings.audit_path)
        result = export_review(tables, dataset, target, prefix=prefix, policy=policy, log=log, limit=limit, again=again)
        typer.echo(f"{result.tasks_count} tasks in {result.tasks_path}, configuration in {result.config_path}")
        if result.withheld_count:
            warn(f"{result.withheld_count} tasks are left out: {prefix} is elsewhere and may not learn their names")


@review_app.command("import")
def review_import(
    file: Annotated[
        Path,
        typer.Argument(help="Label Studio JSON, COCO JSON, CVAT XML; a folder of VOC XML or YOLO, or of an export."),
    ],
    dataset: DatasetOption,
    tool: Annotated[Tool, typer.Option("--tool", help="Where the file is from.")] = "label-studio",
    arm: Annotated[
        str | None,
        typer.Option("--arm", help="Whose drafts a COCO, VOC, CVAT or YOLO file corrects; without it is truth."),
    ] = None,
    reviewer: Annotated[
        str | None,
        typer.Option("--reviewer", help="With --arm: user id of who corrected them; the tables hold a pseudonym."),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option("--events", help="With --reviewer: CSV of what they did when (path, reviewer, at)."),
    ] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Bring corrections back and measure them; bad records are quarantined, their siblings are kept."""
    if arm is not None and tool == "label-studio":
        raise typer.BadParameter("tasks of Label Studio know theirs", param_hint="--arm")
    if reviewer is not None and arm is None:
        raise typer.BadParameter("labels that nobody drafted were corrected by nobody", param_hint="--reviewer")
    if events is not None and reviewer is None:
        raise typer.BadParameter("say whose they are with --reviewer", param_hint="--events")
    from labelop.effort.ledger import land_edits  # noqa: PLC0415
    from labelop.review.exchange import import_file  # noqa: PLC0415
    from labelop.review.truth import IMPORT_ARM  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with running(store) as (_, tables):
        run = new_run_id("review")
        result = import_file(
            tables, file,
            dataset=dataset, tool=tool, run_id=run, arm=arm or IMPORT_ARM, reviewer=reviewer, events=events,
        )  # fmt: skip
        # without its edits a review would count as one that changed nothing
        land_edits(tables, run, dataset=dataset)
        show_rows([asdict(result)], output, title=f"Import of {file.name}")
        if result.unmeasured:
            warn(f"{result.unmeasured} reviews were landed without their seconds before, and stay without")


@review_app.command("push")
def review_push(
    dataset: DatasetOption,
    masks: Annotated[bool, typer.Option("--masks", help="Show masks for the brush where drafts have them.")] = False,
    smart: Annotated[
        bool, typer.Option("--smart", help="A click or box asks `labelop review backend` for a mask; with --masks.")
    ] = False,
    backend: Annotated[
        str | None, typer.Option("--backend", help="Address of `labelop review backend`: connects it, with --smart.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Push at most this many tasks.")] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Put drafts on the Label Studio server of the settings; tasks that are there already are left alone."""
    from labelop.review.connection import backend_at, connect  # noqa: PLC0415
    from labelop.review.push import push_reviews  # noqa: PLC0415
    from labelop.sensitivity.policy import load_policy  # noqa: PLC0415

    with running(store) as (settings, tables), connect(settings) as server:
        policy = load_policy(settings.config / "policy.yaml")
        asked = backend_at(backend, settings) if backend is not None else None
        smart = smart or asked is not None
        result = push_reviews(
            tables, server, dataset, settings,
            policy=policy, masks=masks or smart, smart=smart, backend=asked, limit=limit,
        )  # fmt: skip
        show_rows([asdict(result)], output, title=f"Push of {dataset}")
        if result.withheld:
            warn(f"{result.withheld} tasks are left out: their images may not be named elsewhere")


@review_app.command("pull")
def review_pull(
    dataset: DatasetOption,
    changed_within: Annotated[
        float | None,
        typer.Option(
            "--changed-within",
            callback=from_zero_to(_DECADE_HOURS),
            help="Hours; look at tasks changed so lately only.",
        ),
    ] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Bring corrections back from the Label Studio server of the settings and measure them."""
    from labelop.effort.ledger import land_edits  # noqa: PLC0415
    from labelop.review.connection import connect  # noqa: PLC0415
    from labelop.review.pull import pull_reviews  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with running(store) as (settings, tables), connect(settings) as server:
        run = new_run_id("review")
        result = pull_reviews(tables, server, dataset, run, changed_within_hours=changed_within)
        land_edits(tables, run, dataset=dataset)
        show_rows([asdict(result)], output, title=f"Pull of {dataset}")
