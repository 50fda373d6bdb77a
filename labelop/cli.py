"""The command line and composition root: the only module of the library that may import flows.

Each command parses, calls, and shows. Exit codes: 0 done, 1 failed (one line on standard error), 2 wrong usage.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from labelop import cli_output
from labelop.cli_output import OutputFormat, failing_in_one_line, progress_bar, show_rows
from labelop.errors import LabelopError
from labelop.jobs import DatasetJob, parse_job, read_night
from labelop.landing.store import Store, open_store
from labelop.settings import Settings, load_settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Prelabel images on premises or in the cloud, review every draft, and know what each path really cost.",
)
review_app = typer.Typer(no_args_is_help=True, help="Exchange drafts and corrections with labelling tools.")
models_app = typer.Typer(no_args_is_help=True, help="Look at the model catalog.")
app.add_typer(review_app, name="review")
app.add_typer(models_app, name="models")

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
def _running(store: str | None, *, quiet: bool = False) -> Iterator[tuple[Settings, Store]]:
    with failing_in_one_line():
        settings = load_settings(store=store)
        with progress_bar(quiet=quiet):
            yield settings, open_store(settings)


@contextmanager
def _embedded(settings: Settings) -> Iterator[Mapping[str, Callable[..., Any]]]:
    """Give the flows as plain functions in this process, the cloud arm behind a real server on loopback."""
    from flows.ingest_dataset import ingest_dataset  # noqa: PLC0415 - Prefect takes seconds to import
    from flows.nightly import nightly  # noqa: PLC0415
    from flows.prelabel_batches import prelabel_batches  # noqa: PLC0415
    from flows.prelabel_dataset import prelabel_dataset  # noqa: PLC0415
    from labelop.engines.serve import run_in_thread  # noqa: PLC0415
    from tasks.dispatch import embedded  # noqa: PLC0415

    @contextmanager
    def cloud() -> Iterator[str]:
        if settings.cloud_url:
            yield settings.cloud_url
            return
        from labelop.catalog.cards import load_catalog  # noqa: PLC0415

        with run_in_thread(load_catalog(settings.catalog), settings) as url:
            yield url

    with cloud() as url:
        flows: dict[str, Callable[..., Any]] = {
            "ingest-dataset/onprem": ingest_dataset.fn,
            "prelabel-dataset/onprem": prelabel_dataset.fn,
            "prelabel-batches/onprem": prelabel_batches.fn,
            "prelabel-batches/cloud": functools.partial(prelabel_batches.fn, cloud_url=url),
            "nightly/onprem": nightly.fn,
        }
        with embedded(flows):
            yield flows


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
    with _running(store) as (settings, tables), _embedded(settings) as flows:
        job = parse_job(
            {
                "dataset": dataset,
                "source": source,
                "source_format": source_format,
                "sensitivity": sensitivity,
                "ontology": ontology,
            }
        )
        flows["ingest-dataset/onprem"](job=job.model_dump(), store=settings.store)
        _show_query(tables, "run_summary", {"dataset": dataset}, output)


@app.command()
def classify(dataset: DatasetOption, store: StoreOption = None, output: FormatOption = OutputFormat.TABLE) -> None:
    """Decide how sensitive each image is; unknown counts as restricted."""
    from labelop.runs import latest_version, new_run_id  # noqa: PLC0415
    from labelop.sensitivity.classify import classify_dataset  # noqa: PLC0415
    from labelop.sensitivity.policy import load_policy  # noqa: PLC0415

    with _running(store) as (settings, tables):
        policy = load_policy(settings.config / "policy.yaml")
        version = latest_version(tables, dataset)
        classify_dataset(tables, dataset, version, policy, settings, new_run_id("classify"))
        _show_query(tables, "levels_summary", {"dataset": dataset}, output)


@app.command()
def route(
    dataset: DatasetOption,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say in sentences why each option was chosen or refused.")
    ] = False,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Decide where each group of images is prelabelled: hard rules first, then expected total cost."""
    from labelop.catalog.cards import load_catalog  # noqa: PLC0415
    from labelop.cost.prices import load_prices  # noqa: PLC0415
    from labelop.routing.policy import load_routing  # noqa: PLC0415
    from labelop.routing.route import explain_decisions, route_dataset  # noqa: PLC0415
    from labelop.runs import latest_version, new_run_id  # noqa: PLC0415
    from labelop.sensitivity.policy import load_policy  # noqa: PLC0415

    with _running(store) as (settings, tables):
        decisions = route_dataset(
            tables,
            dataset,
            latest_version(tables, dataset),
            routing=load_routing(settings.config / "routing.yaml"),
            policy=load_policy(settings.config / "policy.yaml"),
            catalog=load_catalog(settings.catalog),
            prices=load_prices(settings.config / "prices.yaml"),
            settings=settings,
            run_id=new_run_id("route"),
        )
        if explain and output is OutputFormat.TABLE:
            typer.echo(explain_decisions(decisions))
            return
        _show_query(tables, "decisions", {"dataset": dataset}, output)


@app.command()
def prelabel(
    dataset: DatasetOption,
    batch_images: BatchOption = 256,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Route and prelabel the newest version of a dataset; only batches that have not landed are done."""
    with _running(store) as (settings, tables), _embedded(settings) as flows:
        flows["prelabel-dataset/onprem"](dataset=dataset, store=settings.store, batch_images=batch_images)
        _show_query(tables, "run_summary", {"dataset": dataset}, output)


@app.command()
def nightly(
    dataset: Annotated[str | None, typer.Option("--dataset", help="Name of the dataset.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Folder or any fsspec URI.")] = None,
    source_format: SourceFormatOption = "folder",
    sensitivity: SensitivityOption = None,
    ontology: OntologyOption = None,
    reviews: Annotated[
        str | None, typer.Option("--reviews", help="Folder of Label Studio JSON exports to import.")
    ] = None,
    night: Annotated[
        Path | None, typer.Option("--night", help="YAML list of dataset jobs, instead of the options.")
    ] = None,
    report_file: Annotated[Path | None, typer.Option("--report", help="Where the page is written.")] = None,
    batch_images: BatchOption = 256,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Do a night's work: ingest, classify, route, prelabel, import reviews, measure, report."""
    if (night is None) == (dataset is None or source is None):
        raise typer.BadParameter("give either --dataset and --source, or --night")
    with _running(store) as (settings, tables):
        if night is not None:
            jobs = read_night(night)
        else:
            given = {"dataset": dataset, "source": source, "source_format": source_format, "reviews": reviews}
            jobs = [parse_job({**given, "sensitivity": sensitivity, "ontology": ontology})]
        _run_night(settings, tables, jobs, report_file, batch_images, output)


@app.command()
def demo(
    store: StoreOption = None,
    report_file: Annotated[Path | None, typer.Option("--report", help="Where the page is written.")] = None,
    batch_images: BatchOption = 32,
    night: Annotated[
        Path | None, typer.Option("--night", help="YAML list of dataset jobs; the sample's own when empty.")
    ] = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Run a whole night on the drawn sample, with a simulated reviewer and an emulated cloud."""
    with _running(store) as (settings, tables):
        jobs = read_night(night or settings.config / "demo.yaml")
        _run_night(settings, tables, jobs, report_file, batch_images, output)


def _run_night(
    settings: Settings,
    tables: Store,
    jobs: list[DatasetJob],
    report_file: Path | None,
    batch_images: int,
    output: OutputFormat,
) -> None:
    from labelop.runs import new_run_id  # noqa: PLC0415
    from labelop.summary import run_tables  # noqa: PLC0415

    run, page = new_run_id("night"), report_file or settings.report_path
    problem: LabelopError | None = None
    with _embedded(settings) as flows:
        try:
            flows["nightly/onprem"](
                night=[job.model_dump() for job in jobs],
                store=settings.store,
                report=str(page),
                run_id=run,
                batch_images=batch_images,
            )
        except LabelopError as error:
            # what did get through is shown before the run is reported as failed
            problem = error
    cli_output.show_sections(run_tables(tables, run), output)
    if output is OutputFormat.TABLE:
        typer.echo(f"Report: {page}")
    if problem is not None:
        raise problem


@review_app.command("export")
def review_export(
    dataset: DatasetOption,
    target: Annotated[Path, typer.Option("--output", help="File to write the Label Studio tasks to.")],
    prefix: Annotated[str | None, typer.Option("--prefix", help="What the tool puts before an image path.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Export at most this many tasks.")] = None,
    store: StoreOption = None,
) -> None:
    """Write drafts as Label Studio tasks, with the labelling configuration beside them."""
    from labelop.review.label_studio import export_review  # noqa: PLC0415

    with _running(store) as (_, tables):
        result = export_review(tables, dataset, target, prefix=prefix, limit=limit)
        typer.echo(f"{result.tasks_count} tasks in {target}; labelling configuration in {result.config_path}")


@review_app.command("import")
def review_import(
    file: Annotated[
        Path, typer.Argument(help="Export of the tool: Label Studio JSON, COCO JSON, or a folder of VOC XML.")
    ],
    dataset: DatasetOption,
    tool: Annotated[str, typer.Option("--tool", help="label-studio, coco or voc.")] = "label-studio",
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Bring corrections back; bad records are quarantined, their siblings are kept."""
    from labelop.review.exchange import import_file  # noqa: PLC0415
    from labelop.runs import new_run_id  # noqa: PLC0415

    with _running(store) as (_, tables):
        result = import_file(tables, file, dataset=dataset, tool=tool, run_id=new_run_id("review"))
        show_rows([asdict(result)], output, title=f"Import of {file.name}")


@app.command()
def query(
    name: Annotated[str | None, typer.Argument(help="Name of the query; all are listed when empty.")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", help="key=value; may be given several times.")] = None,
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Run a question of sql/queries over the tables."""
    from labelop.queries import list_queries  # noqa: PLC0415

    params: dict[str, str] = {}
    for text in param or []:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise typer.BadParameter(f"{text!r} is not key=value", param_hint="--param")
        params[key] = value
    with _running(store, quiet=True) as (_, tables):
        if name is None:
            rows = [
                {"query": q.name, "purpose": q.purpose, "params": ", ".join(p.name for p in q.params)}
                for q in list_queries()
            ]
            show_rows(rows, output)
            return
        _show_query(tables, name, params, output)


@app.command()
def explain(
    image_id: Annotated[str, typer.Argument(help="Image id, or enough of its first digits.")],
    store: StoreOption = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Tell everything the tables know about one image: evidence, level, decisions, predictions, corrections."""
    from labelop.explain import explain_image  # noqa: PLC0415

    with _running(store, quiet=True) as (_, tables):
        cli_output.show_sections(explain_image(tables, image_id), output)


@app.command()
def report(
    target: Annotated[Path | None, typer.Option("--output", help="File of the page.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Only this dataset.")] = None,
    store: StoreOption = None,
) -> None:
    """Write the self-contained report page."""
    from labelop.report.page import write_report  # noqa: PLC0415

    with _running(store) as (settings, tables):
        page = write_report(tables, target or settings.report_path, dataset=dataset, settings=settings)
        typer.echo(f"Report: {page}")


@models_app.command("list")
def models_list(output: FormatOption = OutputFormat.TABLE) -> None:
    """List the model cards with their measured quality."""
    from labelop.catalog.cards import describe_catalog, load_catalog  # noqa: PLC0415

    with failing_in_one_line():
        show_rows(describe_catalog(load_catalog(load_settings().catalog)), output, title="Models")


@models_app.command("verify")
def models_verify(output: FormatOption = OutputFormat.TABLE) -> None:
    """Check every model file against the digest of its card."""
    from labelop.catalog.cards import load_catalog, verify  # noqa: PLC0415

    with failing_in_one_line():
        rows = []
        for card in load_catalog(load_settings().catalog).values():
            verify(card)
            rows.append({"model_id": card.id, "digest": card.digest, "verified": True})
        show_rows(rows, output, title="Models")


@app.command()
def doctor(store: StoreOption = None, output: FormatOption = OutputFormat.TABLE) -> None:
    """Check settings, configuration files, models and the store, and say what is wrong."""
    from labelop.doctor import examine  # noqa: PLC0415

    with failing_in_one_line():
        findings = examine(store)
        show_rows([asdict(finding) for finding in findings], output, title="Doctor")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _show_query(tables: Store, name: str, params: Mapping[str, str], output: OutputFormat) -> None:
    from labelop.queries import run_query  # noqa: PLC0415

    rows = run_query(tables, name, params)
    if output is OutputFormat.PARQUET:
        cli_output.show_parquet(rows)
    else:
        show_rows(rows.to_pylist(), output, title=name)


def main() -> None:
    """Entry point of the `labelop` command."""
    app()
