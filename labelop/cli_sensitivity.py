"""Commands that say how sensitive images are, why, and how well the signals find out."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from labelop.cli_common import FormatOption, OneDatasetOption, StoreOption, running, show_query
from labelop.cli_output import OutputFormat, show_rows, show_sections
from labelop.errors import ManifestError
from labelop.jobs import LevelText

classify_app = typer.Typer(help="Decide how sensitive each image is; unknown counts as restricted.")
retention_app = typer.Typer()


@classify_app.callback(invoke_without_command=True)
def classify(
    context: typer.Context,
    dataset: OneDatasetOption = None,
    explained: Annotated[
        str | None,
        typer.Option("--explain", help="File, or image id: show evidence, rule, placements and release forms."),
    ] = None,
    declared: Annotated[
        LevelText | None, typer.Option("--declared", help="Level to take as declared where a file is explained.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--source", help="Folder that would be ingested; when empty the one whose rules are strictest."),
    ] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Decide how sensitive each image is; unknown counts as restricted."""
    if context.invoked_subcommand is not None:
        return
    if explained is not None:
        _explain(explained, declared, dataset, source, store, output)
        return
    if dataset is None:
        raise typer.BadParameter("give --dataset or --explain")
    from labelop.runs import CLASSIFIED, RunEvent, current_version, new_run_id, record  # noqa: PLC0415
    from labelop.sensitivity.classify import classify_dataset  # noqa: PLC0415
    from labelop.sensitivity.policy import load_policy  # noqa: PLC0415

    with running(store) as (settings, tables):
        policy = load_policy(settings.config / "policy.yaml")
        version = current_version(tables, dataset)
        run = new_run_id("classify")
        classify_dataset(tables, dataset, version, policy, settings, run)
        record(tables, RunEvent(run, dataset, version, CLASSIFIED, policy_digest=policy.digest))
        show_query(tables, "levels_summary", {"dataset": dataset}, output)


def _explain(
    image: str,
    declared: str | None,
    dataset: str | None,
    source: Path | None,
    store: str | None,
    output: OutputFormat,
) -> None:
    from labelop.sensitivity.explain import explain_file, explain_known  # noqa: PLC0415
    from labelop.sensitivity.policy import load_policy  # noqa: PLC0415

    with running(store) as (settings, tables):
        policy = load_policy(settings.config / "policy.yaml")
        path = Path(image)
        if path.is_file():
            found = explain_file(path, policy, settings, declared, dataset=dataset, source=source)
        elif dataset or source or declared:
            raise typer.BadParameter("--dataset, --source and --declared are for files; an id has what was ingested")
        else:
            found = explain_known(tables, image, policy)
        if output is OutputFormat.TABLE:
            show_sections(found, output)
        else:
            show_rows(
                [{"section": name, **row} for name, rows in found.items() for row in rows], output, title="explain"
            )


@classify_app.command()
def override(
    image: Annotated[str, typer.Argument(help="Image id, or at least its first four digits.")],
    level: Annotated[LevelText, typer.Option("--level", help="What the image is declared to be.")],
    by: Annotated[str, typer.Option("--by", help="Who answers for it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    until: Annotated[
        datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day on which it counts, at most 366 ahead.")
    ],
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Declare one image to be of a level, by name, with a reason and an end; more evidence ends it sooner."""
    from labelop.egress.audit import AuditLog  # noqa: PLC0415
    from labelop.explain import find_image  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415
    from labelop.sensitivity.levels import Level  # noqa: PLC0415
    from labelop.sensitivity.overrides import record_override  # noqa: PLC0415

    with running(store) as (settings, tables):
        load_roles(settings.config / "roles.yaml").require(settings.acting_user, "override")
        run, log = new_run_id("override"), AuditLog(settings.audit_path)
        image_id, _ = find_image(tables, image)
        record_override(tables, log, image_id, Level.from_text(level), by, reason, until.date(), run)
        show_query(tables, "image_findings", {"image_id": image_id}, output)


@classify_app.command()
def withdraw(
    image: Annotated[str, typer.Argument(help="Image id, or at least its first four digits.")],
    by: Annotated[str, typer.Option("--by", help="Who answers for it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Take an override of one image back, by name and with a reason; its findings count again."""
    from labelop.egress.audit import AuditLog  # noqa: PLC0415
    from labelop.explain import find_image  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415
    from labelop.sensitivity.overrides import withdraw_override  # noqa: PLC0415

    with running(store) as (settings, tables):
        load_roles(settings.config / "roles.yaml").require(settings.acting_user, "override")
        image_id, _ = find_image(tables, image)
        withdraw_override(tables, AuditLog(settings.audit_path), image_id, by, reason, new_run_id("override"))
        show_query(tables, "image_findings", {"image_id": image_id}, output)


@classify_app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Holds labels.json and images.")],
    policy_file: Annotated[
        Path | None, typer.Option("--policy", help="Policy to judge by; policy.yaml of the folder when empty.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Pictures at once.")] = 2,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Measure on labelled pictures how much the signals find, and how much they keep at home needlessly."""
    from labelop.sensitivity.classify import open_looker  # noqa: PLC0415
    from labelop.sensitivity.evaluate import (  # noqa: PLC0415
        judge,
        level_recall,
        misses,
        needless_share,
        restricted_recall,
        scores,
    )
    from labelop.sensitivity.policy import load_policy  # noqa: PLC0415

    with running(None) as (settings, _):
        policy = load_policy(policy_file or folder / "policy.yaml")
        with open_looker(policy, settings, threads) as looker:
            judged = judge(folder, policy, looker, threads)
        if not judged:
            raise ManifestError(f"{folder} lists no picture.")
        rows: list[dict[str, Any]] = [
            {
                "category": one.category,
                "holding_count": one.holding_count,
                "found_count": one.found_count,
                "recall": one.recall,
                "precision": one.precision,
                "kept_count": one.kept_count,
            }
            for one in scores(judged, policy)
        ]
        show_rows(rows, output, title="signals by category")
        if output is OutputFormat.TABLE:
            clean = sum(not one.holds for one in judged)
            typer.echo(f"pictures: {len(judged)}, of them clean look-alikes: {clean}")
            typer.echo(f"recall at level restricted: {restricted_recall(judged):.4f}")
            typer.echo(f"recall at the level that the policy gives what is held: {level_recall(judged):.4f}")
            typer.echo(f"clean pictures kept home needlessly: {needless_share(judged, policy):.4f}")
            for one in misses(judged):
                typer.echo(f"too low: {one.file} is {one.level.text}, holds {', '.join(sorted(one.holds))}")


@retention_app.command()
def retain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what has run out.")] = False,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Drop evidence that was kept as long as `retention_days` of policy.yaml says; `labelop maintain` removes files."""
    from labelop.runs import new_run_id  # noqa: PLC0415
    from labelop.sensitivity.policy import load_policy  # noqa: PLC0415
    from labelop.sensitivity.retention import RunOut, retain, run_out  # noqa: PLC0415

    with running(store, existing=True) as (settings, tables):
        policy = load_policy(settings.config / "policy.yaml")
        found = run_out(tables, policy, settings) if dry_run else retain(tables, policy, settings, new_run_id("retain"))
        title = "has run out" if dry_run else "dropped"
        show_rows([asdict(one) for one in found], output, title=title, columns=list(RunOut.__annotations__))
