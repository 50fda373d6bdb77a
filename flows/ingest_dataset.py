"""Take one dataset in and decide how sensitive each image is; runs on premises only, since no level is known before."""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect import flow

from labelop import progress
from labelop.catalog.cards import load_catalog
from labelop.ingest.register import find_ontology
from labelop.jobs import parse_job
from labelop.landing.expectations import require, write_data_docs
from labelop.landing.probe import require_safe
from labelop.landing.rows import rows_to_table
from labelop.landing.store import open_store
from labelop.recovery import Asked, start, stop_if_cancelled
from labelop.routing.policy import load_routing
from labelop.runs import INGESTED, RunEvent, record
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings
from tasks.artifacts import progress_shown
from tasks.ingest import (
    build_manifest,
    check_manifest,
    classify_dataset,
    land_manifest,
    land_truths,
    register_dataset,
)
from tasks.naming import run_name
from tasks.told import telling_safely


@flow(name="ingest-dataset", persist_result=False)
@telling_safely
def ingest_dataset(job: dict[str, Any], store: str | None = None, run_id: str | None = None) -> None:
    """Build the manifest, pass the gate, land it and its truth, classify its images.

    Args:
        job: Fields of `labelop.jobs.DatasetJob`.
        store: Root of the tables; the setting when None.
        run_id: Run this belongs to; a new one when None.
    """
    wanted, settings = parse_job(job), load_settings(store=store)
    tables, run = open_store(settings), run_id or run_name("ingest")
    require_safe(tables, settings)
    if run_id is None:
        start(tables, run, [Asked(wanted.dataset, INGESTED, wanted)])
    stop_if_cancelled(tables, run)
    policy = load_policy(settings.config / "policy.yaml")
    routing, catalog = load_routing(settings.config / "routing.yaml"), load_catalog(settings.catalog)
    classes_of = {arm.ontology: catalog[arm.detector].classes for arm in routing.arms if arm.detector in catalog}
    with progress_shown():
        manifest = build_manifest(
            wanted.source,
            wanted.dataset,
            wanted.source_format,
            declared_level=wanted.sensitivity,
            settings=settings,
            progress=partial(progress.report, f"ingest {wanted.dataset}"),
        )
        ontology = find_ontology(wanted.ontology, manifest.categories, classes_of, manifest.refused())
        gate = check_manifest(rows_to_table("images", manifest.images))
        write_data_docs([gate], settings.data_docs_path / wanted.dataset / "manifest")
        require(gate)
        # everything that hangs on the manifest first: the manifest's own commit says that all of it is there
        register_dataset(
            tables,
            dataset=manifest.dataset,
            dataset_version=manifest.dataset_version,
            ontology=ontology,
            categories=manifest.categories,
            source_uri=wanted.source,
            source_format=wanted.source_format,
            declared_level=wanted.sensitivity,
            discovered_count=len(manifest.images),
            run_id=run,
        )
        land_truths(tables, manifest, wanted.source_format, run)
        is_new = land_manifest(tables, manifest, run)
        # this run's root, which no event names yet: the one of an earlier run may be gone
        root = str(manifest.images[0]["source_uri"])
        levels = classify_dataset(
            tables, manifest.dataset, manifest.dataset_version, policy, settings, run, source_uri=root
        )
    quarantined = sum(1 for row in manifest.images if row["outcome"] == "quarantined")
    summary = {
        "discovered_count": len(manifest.images),
        "quarantined_count": quarantined,
        "is_new": is_new,
        "levels": levels,
    }
    record(
        tables,
        RunEvent(
            run,
            manifest.dataset,
            manifest.dataset_version,
            INGESTED,
            ontology=ontology,
            source_uri=root,
            policy_digest=policy.digest,
            summary=summary,
        ),
    )
