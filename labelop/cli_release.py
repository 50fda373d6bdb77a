"""Commands that freeze accepted labels in a label set, list what was released, and check a set.

A release here is of labels to their users; what may leave the premises as pixels is decided by `egress`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labelop.cli_common import FormatOption, OneDatasetOption, StoreOption, running, show_query
from labelop.cli_output import OutputFormat, show_rows

release_app = typer.Typer()


@release_app.command()
def release(
    dataset: Annotated[str, typer.Argument(help="Name of the dataset.")],
    target: Annotated[Path, typer.Option("--output", help="Folder to be made; a release is never written over.")],
    with_simulated: Annotated[
        bool, typer.Option("--with-simulated", help="Take reviews that no person made; the manifest says so.")
    ] = False,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Write the accepted labels of a dataset as COCO and Parquet, with a manifest; needs a lead."""
    from labelop.review.label_set import write_label_set  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with running(store) as (settings, tables):
        written = write_label_set(
            tables,
            dataset,
            target,
            by=settings.acting_user,
            roles=load_roles(settings.config / "roles.yaml"),
            run_id=new_run_id("release"),
            with_simulated=with_simulated,
        )
        show_rows([asdict(written)], output, title="release")


@release_app.command()
def releases(
    dataset: OneDatasetOption = None, store: StoreOption = None, output: FormatOption = OutputFormat.TABLE
) -> None:
    """List the label sets that were released."""
    with running(store) as (_, tables):
        show_query(tables, "label_sets", {} if dataset is None else {"dataset": dataset}, output)


@release_app.command("verify-release")
def verify_release(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="What `labelop release` wrote.")],
    alone: Annotated[
        bool, typer.Option("--alone", help="Check the folder without the store that released it.")
    ] = False,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Check that a label set is still what was released; ends with 1 when it is not."""
    from labelop.review.label_set_check import check_label_set  # noqa: PLC0415

    with running(store) as (_, tables):
        found = check_label_set(folder, None if alone else tables)
        show_rows([asdict(one) for one in found], output, title=f"Label set {folder.name}")
    raise typer.Exit(0 if all(one.ok for one in found) else 1)
