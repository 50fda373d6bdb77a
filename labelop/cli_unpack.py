"""The command that opens an archive before it is ingested."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labelop.cli_common import FormatOption
from labelop.cli_output import OutputFormat, failing_in_one_line, show_rows, warn

unpack_app = typer.Typer()


@unpack_app.command("unpack")
def unpack_archive(
    archive: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A zip or tar file.")],
    folder: Annotated[Path, typer.Argument(help="Folder to make for its files.")],
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Unpack an archive safely; shows every member that was left out, and why."""
    from labelop.ingest.archives import unpack  # noqa: PLC0415

    with failing_in_one_line():
        found = unpack(archive, folder)
        show_rows([{"name": name, "reason": code} for name, code in found.refused], output, title="Left out")
        typer.echo(f"{found.files_count} files in {folder}, {len(found.refused)} left out", err=True)
        if found.stopped:
            warn(f"The rest of the archive was left: {found.stopped}")
            raise typer.Exit(1)
