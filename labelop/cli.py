"""The command line and composition root: the only module of the library that may import flows.

Each command parses, calls, and shows. Exit codes: 0 done, 1 failed (one line on standard error), 2 wrong usage.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from labelop.cli_ask import ask_app, models_app
from labelop.cli_bias import bias_app
from labelop.cli_common import (
    BatchOption,
    DatasetOption,
    FormatOption,
    OneDatasetOption,
    OntologyOption,
    SensitivityOption,
    SeveralFormatOption,
    SourceFormatOption,
    StoreOption,
    require_ontology,
    running,
    show_query,
)
from labelop.cli_cost import cost_app
from labelop.cli_egress import audit_app, keys_app
from labelop.cli_models import say_engines
from labelop.cli_night import run_night
from labelop.cli_obtain import obtain_app
from labelop.cli_output import OutputFormat, end_process, failing_in_one_line, show_rows, warn
from labelop.cli_pilot import add_pilot
from labelop.cli_release import release_app
from labelop.cli_review import review_app
from labelop.cli_runs import runs_app
from labelop.cli_sensitivity import classify_app, retention_app
from labelop.cli_site import add_sync, site_app
from labelop.cli_store import upkeep_app
from labelop.cli_unpack import unpack_app
from labelop.egress.environment import ONPREM
from labelop.jobs import parse_job, read_night
from labelop.settings import Settings, leave_no_dumps, process_environment

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Prelabel images on premises or in the cloud, review every draft, and know what each path really cost.",
)
app.add_typer(classify_app, name="classify")
app.add_typer(review_app, name="review")
app.add_typer(bias_app, name="bias")
models_app.add_typer(obtain_app)
app.add_typer(models_app, name="models")
app.add_typer(audit_app, name="audit")
app.add_typer(keys_app, name="keys")
for unnamed in (ask_app, cost_app, release_app, retention_app, runs_app, site_app, unpack_app, upkeep_app):
    app.add_typer(unnamed)


@contextmanager
def _embedded(settings: Settings) -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Give the flows as plain functions in this process, the cloud arm behind a real server on loopback."""
    from flows.ingest_dataset import ingest_dataset  # noqa: PLC0415 - Prefect takes seconds
    from flows.nightly import nightly  # noqa: PLC0415
    from flows.prelabel_batches import prelabel_batches  # noqa: PLC0415
    from flows.prelabel_dataset import prelabel_dataset  # noqa: PLC0415
    from flows.run_pilot import run_pilot  # noqa: PLC0415
    from flows.sync_site import sync_site  # noqa: PLC0415
    from labelop.engines.serve import run_in_thread  # noqa: PLC0415
    from tasks.dispatch import embedded  # noqa: PLC0415

    @contextmanager
    def cloud() -> Iterator[str]:
        if settings.cloud_url or settings.placement == ONPREM:
            # a process that belongs on premises does no cloud shard, so it needs no far end and no network
            yield settings.cloud_url or ""
            return
        from labelop.catalog.cards import load_catalog  # noqa: PLC0415
        from labelop.egress.far_end import FarEnd  # noqa: PLC0415
        from labelop.egress.keys import ensure_key, open_keyring  # noqa: PLC0415

        # the emulated far end checks releases as a real one does
        ensure_key(settings.keys_path)
        far_end = FarEnd(open_keyring(settings.keys_path), "cloud")
        with run_in_thread(load_catalog(settings.catalog), settings, far_end=far_end) as url:
            yield url

    with cloud() as url:
        flows: dict[str, Callable[..., Any]] = {
            "ingest-dataset/onprem": ingest_dataset.fn,
            "prelabel-dataset/onprem": prelabel_dataset.fn,
            "prelabel-batches/onprem": prelabel_batches.fn,
            "prelabel-batches/cloud": functools.partial(prelabel_batches.fn, cloud_url=url),
            "nightly/onprem": nightly.fn,
            "sync-site/onprem": sync_site.fn,
            "run-pilot/onprem": run_pilot.fn,
        }
        with embedded(flows):
            yield flows


add_sync(app, _embedded)
add_pilot(app, _embedded)


@app.command()
def ingest(
    source: Annotated[str, typer.Argument(help="Folder or any fsspec URI.")],
    dataset: DatasetOption,
    source_format: SourceFormatOption = "folder",
    sensitivity: SensitivityOption = None,
    ontology: OntologyOption = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Take a dataset in: every file found is landed or quarantined with a reason."""
    from labelop.summary import refused_annotations  # noqa: PLC0415

    with running(store) as (settings, tables):
        require_ontology(settings, ontology)
        given = {"dataset": dataset, "source": source, "source_format": source_format}
        job = parse_job({**given, "sensitivity": sensitivity, "ontology": ontology})
        with _embedded(settings) as flows:
            flows["ingest-dataset/onprem"](job=job.model_dump(), store=settings.store)
        show_query(tables, "run_summary", {"dataset": dataset}, output)
        for refused in refused_annotations(tables, [dataset]):
            warn(refused)


@app.command()
def prelabel(
    dataset: DatasetOption,
    batch_images: BatchOption = 256,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Route and prelabel the newest version of a dataset; only batches that have not landed are done."""
    with running(store) as (settings, tables), _embedded(settings) as flows:
        say_engines(settings)
        flows["prelabel-dataset/onprem"](dataset=dataset, store=settings.store, batch_images=batch_images)
        show_query(tables, "run_summary", {"dataset": dataset}, output)


@app.command()
def nightly(
    context: typer.Context,
    dataset: OneDatasetOption = None,
    source: Annotated[str | None, typer.Option("--source", help="Folder or any fsspec URI.")] = None,
    source_format: SourceFormatOption = "folder",
    sensitivity: SensitivityOption = None,
    ontology: OntologyOption = None,
    reviews: Annotated[
        Path | None,
        typer.Option("--reviews", exists=True, file_okay=False, help="Folder of Label Studio JSON exports to import."),
    ] = None,
    night: Annotated[
        Path | None, typer.Option("--night", help="YAML list of dataset jobs, instead of the options.")
    ] = None,
    report_file: Annotated[Path | None, typer.Option("--report", help="Where the page is written.")] = None,
    batch_images: BatchOption = 256,
    store: StoreOption = None,
    output: SeveralFormatOption = OutputFormat.TABLE,
) -> None:
    """Do a night's work: ingest, classify, route, prelabel, import reviews, measure, report."""
    if night is None and (dataset is None or source is None):
        raise typer.BadParameter("give either --dataset and --source, or --night")
    if night is not None and (both := [name for name in _JOB_OPTIONS if _was_given(context, name)]):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in both)
        raise typer.BadParameter(f"the file of --night says all about its jobs; leave out {options}")
    with running(store) as (settings, tables):
        if night is not None:
            jobs = read_night(night)
        else:
            require_ontology(settings, ontology)
            folder = None if reviews is None else str(reviews)
            given = {"dataset": dataset, "source": source, "source_format": source_format, "reviews": folder}
            jobs = [parse_job({**given, "sensitivity": sensitivity, "ontology": ontology})]
        # a night of one dataset is asked for by hand: nobody expects it to do others
        run_night(
            _embedded, settings, tables, jobs, report_file, output, batch_images=batch_images, resume_open=bool(night)
        )


_JOB_OPTIONS = ("dataset", "source", "source_format", "sensitivity", "ontology", "reviews")
"""Options of `nightly` that a file of jobs replaces."""


def _was_given(context: typer.Context, name: str) -> bool:
    # the enum's own module is not the same in every release of Typer, its names are
    source = context.get_parameter_source(name)
    return source is not None and not source.name.startswith("DEFAULT")


@app.command()
def demo(
    store: StoreOption = None,
    report_file: Annotated[Path | None, typer.Option("--report", help="Where the page is written.")] = None,
    batch_images: BatchOption = 32,
    night: Annotated[
        Path | None, typer.Option("--night", help="YAML list of jobs; the sample's own when empty.")
    ] = None,
    output: SeveralFormatOption = OutputFormat.TABLE,
) -> None:
    """Run a whole night on the drawn sample, with a simulated reviewer and an emulated cloud."""
    with running(store) as (settings, tables):
        jobs = read_night(night or settings.config / "demo.yaml")
        run_night(_embedded, settings, tables, jobs, report_file, output, batch_images=batch_images, resume_open=False)


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="Run to finish; `labelop runs` lists them.")],
    report_file: Annotated[Path | None, typer.Option("--report", help="Where the page is written.")] = None,
    store: StoreOption = None,
    output: SeveralFormatOption = OutputFormat.TABLE,
) -> None:
    """Do what a run was asked and nobody has done: after a crash, a failure or a cancel, as often as you like."""
    from labelop.recovery import left_of, unended  # noqa: PLC0415

    with running(store) as (settings, tables):
        if left_of(tables, run):
            run_night(_embedded, settings, tables, [], report_file, output, resumes=run)
        elif unended(tables, run):
            run_night(_embedded, settings, tables, [], report_file, output, run=run, resumes=run)
        else:
            typer.echo(f"Nothing is left of {run}.")


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Free what dead flow runs hold on the Prefect server.")] = False,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Check settings, configuration files, models and the store, find dead flow runs, and say what is wrong."""
    from labelop.doctor import Finding, examine  # noqa: PLC0415

    with failing_in_one_line():
        findings = examine(store)
        if process_environment().get("PREFECT_API_URL"):
            from tasks.reconcile import reconcile  # noqa: PLC0415 - Prefect takes seconds to import

            findings += [Finding(**found) for found in reconcile(fix=fix)]
        show_rows([asdict(one) for one in findings], output, title="Doctor")
    raise typer.Exit(0 if all(one.ok for one in findings) else 1)


def main() -> NoReturn:
    """Entry point of the `labelop` command; ends the process with the command's exit code."""
    code: object = 0
    leave_no_dumps()
    try:
        app()
    except SystemExit as ended:
        code = ended.code
    except Exception:  # noqa: BLE001 - a bug: its traceback is wanted, and its exit code too
        traceback.print_exc()
        code = 1
    end_process(code)
