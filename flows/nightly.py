"""The night: ingest, classify, route, prelabel, bring reviews back, measure, report; one dataset after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import flow

from labelop.configuration import load_configuration
from labelop.cost.prices import check_version
from labelop.errors import LabelopError, RunFailedError
from labelop.jobs import check_night, check_ontologies, parse_job
from labelop.landing.probe import require_safe
from labelop.landing.store import Store, open_store
from labelop.lineage import telling
from labelop.pilot.capacity import load_team
from labelop.pilot.workload import alarm_of, workload
from labelop.recovery import Asked, end, is_cancelled, left_of, open_work, start, stop_if_cancelled, unended
from labelop.runs import FINISHED, INGESTED, RunEvent, dataset_version_of, record
from labelop.sensitivity.policy import load_policy
from labelop.settings import Settings, load_settings
from labelop.site.answers import night_of
from labelop.site.damage import losses_of_outbox
from labelop.site.place import find_site
from labelop.summary import losses_of, unaccounted
from tasks.artifacts import progress_shown, publish_tables
from tasks.dispatch import Child, run_children
from tasks.naming import cancel_its_run, run_name
from tasks.report import gather_tables, run_checks, write_report
from tasks.review import import_reviews, land_edits, land_quality, simulate_reviews
from tasks.told import heard, telling_safely

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Troubles:
    """What went wrong in a night that went on."""

    failed: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Note the trouble of a part and go on behind it."""
        try:
            yield
        except (LabelopError, OSError) as raised:
            error = heard(raised)
            self.failed.append(f"{what}: {error.message}")
            self.hints += [error.hint] if error.hint and error.hint not in self.hints else []


@flow(name="nightly", persist_result=False, on_cancellation=[cancel_its_run])
@telling_safely
def nightly(
    night: list[dict[str, Any]],
    store: str | None = None,
    report: str | None = None,
    run_id: str | None = None,
    batch_images: int = 256,
    shard_batches: int | None = None,
    resumes: str | None = None,
    resume_open: bool = True,
) -> None:
    """Do the night's work for each dataset and write the report.

    Args:
        night: One job per dataset; fields of `labelop.jobs.DatasetJob`.
        store: Root of the tables; the setting when None.
        report: Where to write the page; beside a local store, or the working folder, when None.
        run_id: Name of the run; a new one when None.
        batch_images: Images in a batch.
        shard_batches: Batches in a shard; by their predicted time when None.
        resumes: A run whose rest is done instead of the night; where nothing is left, its report and accounting.
        resume_open: Do as well what earlier runs left behind that died or failed; not what somebody cancelled.

    Raises:
        ConfigurationError: A job or a file of the configuration has a fault, or the store lets two writers win; then
            nothing was done.
        RunCancelledError: Somebody called the run off, or another does its rest; what has landed stays landed.
        RunFailedError: A dataset did not get through, a check failed or the report could not be written; everything
            else did its work.
    """
    settings = load_settings(store=store)
    tables = open_store(settings)
    asked = left_of(tables, resumes) if resumes else _tonight(night, batch_images, shard_batches)
    unknown = unaccounted(tables, resumes) if resumes else set()
    # a run of which only the end is left is ended under its own name
    run = resumes if resumes and not asked and unended(tables, resumes) else run_id or run_name("night")
    files = load_configuration(settings)  # a fault in it is every dataset's, so it is said once and before any work
    check_ontologies([one.job for one in asked if one.job], (arm.ontology for arm in files.routing.arms))
    require_safe(tables, settings)
    check_version(tables, files.prices)
    if resume_open and not resumes:
        asked += open_work(tables, besides=[one.dataset for one in asked])
    start(tables, run, asked)
    troubles, losses = _Troubles(), list[str]()
    with progress_shown():
        for one in asked:
            if is_cancelled(tables, run):
                break
            # one dataset's trouble may not cost the others their night; the run still ends as failed
            with troubles.noted(one.dataset), telling(settings, run, one.dataset) as told:
                with night_of(settings, tables, one.dataset, run):
                    told.version = _one(tables, settings, one, run)
                if one.job is not None and one.until == FINISHED:
                    # last of all: a death before leaves it to a resumed run, which tells head office as well
                    record(tables, RunEvent(run, one.dataset, told.version, FINISHED))
        if is_cancelled(tables, run):
            end(tables, run, "cancelled", troubles.failed)
            stop_if_cancelled(tables, run)
        # nor may the trouble of a report hide why a dataset failed
        with troubles.noted("report"):
            output = Path(report) if report else settings.report_path
            policy = load_policy(settings.config / "policy.yaml")  # anew: its last day may have ended meanwhile
            page = write_report(tables, output, dataset=None, settings=settings, policy=policy)
            publish_tables((t.title, t.records(), f"{t.note} Page: {page.name}") for t in gather_tables(tables))
        with troubles.noted("reviewers"):
            team = load_team(settings.config / "capacity.yaml")
            if team is not None and (said := alarm_of(workload(tables, team))):
                _log.warning("%s", said)
        with troubles.noted("checks"):
            troubles.failed += [
                f"check {check.name} found {len(check.rows)} rows"
                for check in run_checks(tables)
                if check.severity == "fail" and not check.passed
            ]
        with troubles.noted("accounting"):
            losses += losses_of(tables, {*unknown, *(one.dataset for one in asked)})
            losses += losses_of_outbox(find_site(settings))
    with troubles.noted("end"):
        end(tables, run, "partial" if troubles.failed or losses else "complete", [*troubles.failed, *losses])
    if failed := troubles.failed:
        count = "1 problem" if len(failed) == 1 else f"{len(failed)} problems"
        raise RunFailedError(
            f"Run {run} ended with {count}: " + " | ".join(failed),
            hint=" ".join(
                [
                    *troubles.hints,
                    f"What has landed stays landed; after mending, `labelop resume {run}` does only the rest."
                    if left_of(tables, run) or unended(tables, run)
                    else "All datasets are done; after mending, `labelop report` writes the page.",
                ]
            ),
        )


def _tonight(night: list[dict[str, Any]], batch_images: int, shard_batches: int | None) -> list[Asked]:
    jobs = [parse_job(job) for job in night]
    check_night(jobs)
    return [Asked(job.dataset, FINISHED, job, None, batch_images, shard_batches) for job in jobs]


def _one(tables: Store, settings: Settings, asked: Asked, run: str) -> str:
    """Do what is asked for one dataset, step by step; what an earlier run has done of it is not done again."""
    shared = {"store": settings.store, "run_id": run}
    job, version = asked.job, asked.dataset_version
    if job is not None and version is None:
        parameters = {"job": job.model_dump(), **shared}
        _child(Child("ingest-dataset", "onprem", parameters, f"{run}:ingest:{job.dataset}"))
        version = dataset_version_of(tables, run, job.dataset)
    where = {"dataset": asked.dataset, "dataset_version": version}
    if asked.until != INGESTED:
        sizes = {"batch_images": asked.batch_images, "shard_batches": asked.shard_batches, "resumes": asked.resumes}
        _child(Child("prelabel-dataset", "onprem", {**where, **sizes, **shared}, f"{run}:prelabel:{asked.dataset}"))
    if version is None:
        raise TypeError(f"{asked} names neither a job nor a version")
    if job is not None and asked.until == FINISHED:
        if job.simulate_reviews:
            simulate_reviews(tables, job.dataset, version, seed=0, run_id=run)
        if job.reviews:
            for export in sorted(Path(job.reviews).glob("*.json")):
                import_reviews(tables, export, job.dataset, run, dataset_version=version)
        land_edits(tables, run, dataset=job.dataset)
        land_quality(tables, job.dataset, version, run)
    return version


def _child(child: Child) -> None:
    """Run one child; what it could not do ends this dataset, in the child's own words."""
    [outcome] = run_children([child])
    if outcome.error:
        raise RunFailedError(outcome.error, hint=outcome.hint)
