"""What all commands share: their common options, the open store, and how a query is shown. Knows no command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer

from labelop.cli_output import OutputFormat, failing_in_one_line, progress_bar, show_parquet, show_rows
from labelop.landing.store import Store, open_store
from labelop.settings import Settings, load_settings

StoreOption = Annotated[
    str | None,
    typer.Option("--store", envvar="LABELOP_STORE", help="Root of the tables: a folder or s3://bucket/prefix."),
]
DatasetOption = Annotated[str, typer.Option("--dataset", help="Name of the dataset.")]
FormatOption = Annotated[OutputFormat, typer.Option("--format", help="How results are written.")]
SensitivityOption = Annotated[
    str | None,
    typer.Option("--sensitivity", help="Level the owner declares: public, internal, confidential, restricted."),
]
OntologyOption = Annotated[
    str | None, typer.Option("--ontology", help="Class set of the dataset; found from its truth when there is one.")
]
SourceFormatOption = Annotated[str, typer.Option("--source-format", help="folder, coco, voc or yolo.")]
BatchOption = Annotated[int, typer.Option("--batch-images", min=1, help="Images landed together.")]


@contextmanager
def running(store: str | None, *, quiet: bool = False) -> Iterator[tuple[Settings, Store]]:
    """Open settings and store for a command, with progress shown and errors in one line."""
    with failing_in_one_line():
        settings = load_settings(store=store)
        with progress_bar(quiet=quiet):
            yield settings, open_store(settings)


def show_query(tables: Store, name: str, params: Mapping[str, str], output: OutputFormat) -> None:
    """Run a query of `sql/` and write its rows."""
    from labelop.queries import run_query  # noqa: PLC0415

    rows = run_query(tables, name, params)
    if output is OutputFormat.PARQUET:
        show_parquet(rows)
    else:
        show_rows(rows.to_pylist(), output, title=name)
