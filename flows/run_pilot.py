"""A pilot: declare it, draw its images, draft them under every arm; reviews and the comparison come after it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from prefect import flow

from labelop.configuration import load_configuration
from labelop.errors import RunFailedError
from labelop.ingest.register import ontology_of
from labelop.landing.probe import require_safe
from labelop.landing.store import open_store
from labelop.pilot.protocol import Asked
from labelop.pilot.work import review_tasks
from labelop.prelabel.plan import pending
from labelop.prelabel.ranges import split_shards
from labelop.prelabel.shard import arm_models
from labelop.runs import current_version
from labelop.settings import load_settings
from tasks.artifacts import progress_shown, publish_table
from tasks.dispatch import run_children, shard_children
from tasks.naming import run_name
from tasks.pilot import plan_pilot
from tasks.prelabel import land_cards, land_prices, route_dataset
from tasks.review import land_edits, simulate_reviews
from tasks.told import telling_safely

_SHARD_BATCHES = 16


@flow(name="run-pilot", persist_result=False)
@telling_safely
def run_pilot(
    dataset: str,
    asked: dict[str, Any],
    store: str | None = None,
    run_id: str | None = None,
    batch_images: int = 32,
    simulate: bool = False,
) -> None:
    """Plan a pilot and draft its images under every arm; doing it again does only what is missing.

    Args:
        dataset: Dataset name; its newest version is taken.
        asked: What is asked for; fields of `labelop.pilot.protocol.Asked`.
        store: Root of the tables; the setting when None.
        run_id: Run this belongs to; a new one when None.
        batch_images: Images in a batch.
        simulate: Let simulated reviewers do the reviews from the truth (marked so).

    Raises:
        PilotError: The pilot cannot be planned as it was asked for.
        RunFailedError: Some batches did not land; the next run does exactly those.
    """
    settings = load_settings(store=store)
    tables, run = open_store(settings), run_id or run_name("pilot")
    require_safe(tables, settings)
    version = current_version(tables, dataset)
    files, ontology = load_configuration(settings), ontology_of(tables, dataset, version)
    arms = arm_models(settings, files.routing, ontology)
    said: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in asked.items()}
    wanted = Asked(**said)
    with progress_shown():
        land_prices(tables, files.prices, run)
        land_cards(tables, [card for models in arms.values() for card in models.cards], run)
        decisions = route_dataset(
            tables,
            dataset,
            version,
            routing=files.routing,
            policy=files.policy,
            catalog=files.catalog,
            prices=files.prices,
            settings=settings,
            run_id=run,
        )
        pilot, plan = plan_pilot(
            tables,
            dataset,
            version,
            wanted,
            decisions=decisions,
            arms=arms,
            policy=files.policy,
            batch_images=batch_images,
            run_id=run,
        )
        shards = split_shards(plan.plan_id, pending(tables, plan.batches), _SHARD_BATCHES)
        publish_table(f"pilot-{dataset}", [asdict(shard) for shard in shards], f"Shards of the pilot {wanted.name}")
        ended = run_children(shard_children(shards, ontology=ontology, store=settings.store, run_id=run))
        if left := pending(tables, plan.batches):
            first = next((one for one in ended if one.error), None)
            raise RunFailedError(
                f"{len(left)} of {len(plan.batches)} batches of pilot {wanted.name} did not land in run {run}."
                + (f" The first error: {first.error}" if first else ""),
                hint="Mend what the error names and plan the pilot again: only the missing batches are done.",
            )
        if simulate:
            assigned = {task.task_uid: reviewer for reviewer, task in review_tasks(tables, pilot)}
            simulate_reviews(tables, dataset, version, seed=wanted.seed, run_id=run, assigned=assigned)
            land_edits(tables, run, dataset=dataset)
