"""What all commands share: their common options, the open store, and how a query is shown. Knows no command."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any

import pyarrow as pa
import typer

from labelop.cli_output import OutputFormat, failing_in_one_line, progress_bar, show_parquet, show_rows, warn
from labelop.egress.environment import check_environment
from labelop.ingest.sources import SourceFormat
from labelop.jobs import DATASET_NAME, LevelText
from labelop.landing.store import Store, is_empty, open_store, require_tables
from labelop.settings import Settings, load_settings, process_environment

Embedded = Callable[[Settings], AbstractContextManager[Mapping[str, Callable[..., Any]]]]
"""Gives the flows as plain functions while a block runs."""

StoreOption = Annotated[
    str | None,
    typer.Option("--store", envvar="LABELOP_STORE", help="Root of the tables: a folder or s3://bucket/prefix."),
]


def _dataset_name(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(DATASET_NAME, name):
        raise typer.BadParameter(f"{name!r} is no name of a dataset; allowed is what matches {DATASET_NAME}")
    return name


def _several_tables(output: OutputFormat) -> OutputFormat:
    if output not in {OutputFormat.TABLE, OutputFormat.JSON}:
        raise typer.BadParameter(
            f"the answer is several tables, which one stream of {output} cannot hold; "
            f"take table or json, or one table with `labelop query NAME --format {output}`"
        )
    return output


def from_zero_to(most: float) -> Callable[[float | None], float | None]:
    """Make the check of an option that is a span of time: the range of the library lets NaN pass."""

    def check(value: float | None) -> float | None:
        if value is not None and not 0 <= value <= most:
            raise typer.BadParameter(f"{value} is no number from 0 to {most:g}")
        return value

    return check


DatasetOption = Annotated[str, typer.Option("--dataset", help="Name of the dataset.", callback=_dataset_name)]
OneDatasetOption = Annotated[str | None, typer.Option("--dataset", help="Name of the dataset.", callback=_dataset_name)]
FormatOption = Annotated[OutputFormat, typer.Option("--format", help="How results are written.")]
SeveralFormatOption = Annotated[
    OutputFormat, typer.Option("--format", help="How results are written: table or json.", callback=_several_tables)
]
SensitivityOption = Annotated[
    LevelText | None, typer.Option("--sensitivity", help="Level the owner declares for the whole dataset.")
]
OntologyOption = Annotated[
    str | None, typer.Option("--ontology", help="Class set of the dataset; found from its truth when there is one.")
]
SourceFormatOption = Annotated[SourceFormat, typer.Option("--source-format", help="How the source is laid out.")]
BatchOption = Annotated[int, typer.Option("--batch-images", min=1, help="Images landed together.")]


@contextmanager
def running(store: str | None, *, quiet: bool = False, existing: bool = False) -> Iterator[tuple[Settings, Store]]:
    """Open settings and store for a command, with progress shown and errors in one line.

    Args:
        store: Root of the tables; the setting when None.
        quiet: Whether no progress is shown.
        existing: Whether the command is about what is in the store, so that one without a table is refused.

    Raises:
        SettingsError: It is a command on premises, and a cloud credential is at hand: nothing was opened.
        LandingError: There is no table, and the command is about some.
    """
    with failing_in_one_line():
        settings = load_settings(store=store)
        if settings.placement is not None:
            check_environment(settings.placement, process_environment())
        tables = open_store(settings)
        if existing:
            require_tables(tables)
        with progress_bar(quiet=quiet):
            yield settings, tables


def key_values(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """Read an option that may be given several times as key=value."""
    found: dict[str, str] = {}
    for text in given or []:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise typer.BadParameter(f"{text!r} is not key=value", param_hint=option)
        if key in found:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint=option)
        found[key] = value
    return found


def ask(tables: Store, name: str, params: Mapping[str, str]) -> pa.Table:
    """Run a query of `sql/` for whoever gives the command.

    Raises:
        RoleError: The query is not for everybody, and who asks may not.
    """
    from labelop.queries import find_query, run_query  # noqa: PLC0415
    from labelop.roles import load_roles  # noqa: PLC0415

    if (needs := find_query(name).needs) is not None:
        settings = load_settings()
        load_roles(settings.config / "roles.yaml").require(settings.acting_user, needs)
    return run_query(tables, name, params)


def show_query(tables: Store, name: str, params: Mapping[str, str], output: OutputFormat) -> pa.Table:
    """Run a query as `ask` does and write its rows, which are given back; warns where there is no table to ask.

    Raises:
        RoleError: The query is not for everybody, and who asks may not.
    """
    rows = ask(tables, name, params)
    if output is OutputFormat.PARQUET:
        show_parquet(rows)
    else:
        show_rows(rows.to_pylist(), output, title=name, columns=rows.schema.names)
    if is_empty(tables):
        # zeros and no rows look like an answer, and most often the store's name is misspelt
        warn(f"no table in {tables.root}")
    return rows


def require_ontology(settings: Settings, ontology: str | None) -> None:
    """Refuse an ontology that no arm can label before anything is read.

    Raises:
        typer.BadParameter: There is no such ontology; ends with exit code 2.
        PolicyError: `routing.yaml`, which names them, has a fault.
    """
    from labelop.routing.policy import load_routing  # noqa: PLC0415

    if ontology is None:
        return
    known = sorted({arm.ontology for arm in load_routing(settings.config / "routing.yaml").arms})
    if ontology not in known:
        raise typer.BadParameter(
            f"{ontology!r} is unknown, expected one of {', '.join(known)}", param_hint="--ontology"
        )
