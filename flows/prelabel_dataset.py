"""The parent: route, plan batches, split them into shards, send each shard to its placement's pool, see what landed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from prefect import flow

from labelop.catalog.cards import load_catalog
from labelop.configuration import check_engines
from labelop.cost.prices import load_prices
from labelop.errors import RunFailedError
from labelop.ingest.register import ontology_of
from labelop.landing.probe import require_safe
from labelop.landing.store import open_store
from labelop.prelabel.pace import Pace, paces
from labelop.prelabel.plan import PlannedBatch, pending
from labelop.prelabel.ranges import split_shards
from labelop.prelabel.shard import arm_models
from labelop.recovery import Asked, is_cancelled, start, stop_if_cancelled
from labelop.routing.policy import load_routing
from labelop.runs import PLANNED, PRELABELLED, RunEvent, current_version, record, under_way
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings
from labelop.site.place import find_site
from labelop.site.work import keep_for_sync
from tasks.artifacts import progress_shown, publish_table
from tasks.dispatch import Child, ChildOutcome, run_children
from tasks.naming import cancel_its_run, run_name
from tasks.prelabel import land_cards, land_prices, plan_dataset, route_dataset
from tasks.told import telling_safely

_log = logging.getLogger(__name__)

_SHARD_BATCHES = 16
"""Batches of a shard where nothing was measured about them."""

_ATTEMPTS = 2
"""Shards that come back unfinished are sent once more; what has landed is never done again."""


@flow(name="prelabel-dataset", persist_result=False, on_cancellation=[cancel_its_run])
@telling_safely
def prelabel_dataset(
    dataset: str,
    dataset_version: str | None = None,
    store: str | None = None,
    run_id: str | None = None,
    batch_images: int = 256,
    shard_batches: int | None = None,
    syncs: bool = False,
) -> None:
    """Prelabel every image of a dataset version once per arm it was given.

    Args:
        dataset: Dataset name.
        dataset_version: Version; the newest when None.
        store: Root of the tables; the setting when None.
        run_id: Run this belongs to; a new one when None.
        batch_images: Images in a batch, the unit of landing.
        shard_batches: Batches in a shard, the unit of a child run; by their predicted time when None.
        syncs: Do also what a site keeps for its sync: work that leaves the premises.

    Raises:
        RunCancelledError: Somebody called the run off; what has landed stays landed.
        RunFailedError: Some batches did not land; the next run does exactly those.
    """
    settings = load_settings(store=store)
    tables, run = open_store(settings), run_id or run_name("prelabel")
    require_safe(tables, settings)
    version = dataset_version or current_version(tables, dataset)
    if run_id is None:
        asked = Asked(dataset, PRELABELLED, None, version, batch_images, shard_batches)
        start(tables, run, [asked])
    stop_if_cancelled(tables, run)
    policy = load_policy(settings.config / "policy.yaml")
    routing, prices = load_routing(settings.config / "routing.yaml"), load_prices(settings.config / "prices.yaml")
    ontology = ontology_of(tables, dataset, version)
    arms = arm_models(settings, routing, ontology)
    check_engines(settings, routing, load_catalog(settings.catalog))
    with progress_shown():
        land_prices(tables, prices, run)
        land_cards(tables, [card for models in arms.values() for card in models.cards], run)
        decisions = route_dataset(
            tables,
            dataset,
            version,
            routing=routing,
            policy=policy,
            catalog=load_catalog(settings.catalog),
            prices=prices,
            settings=settings,
            run_id=run,
        )
        plan = plan_dataset(
            tables,
            dataset,
            version,
            decisions=[asdict(decision) for decision in decisions],
            arms=arms,
            policy=policy,
            compare_share=routing.compare_share,
            batch_images=batch_images,
            run_id=run,
        )
        in_force = RunEvent(
            run,
            dataset,
            version,
            PLANNED,
            policy_digest=policy.digest,
            price_book=prices.digest,
            decision_set=decisions[0].decision_set if decisions else None,
            plan_id=plan.plan_id,
        )
        record(tables, in_force)
        beside = under_way(tables, dataset, version, run)
        if beside:
            _log.warning(
                "%s has planned %s %s and not ended: if it still runs, both do the same work; what lands is right",
                " and ".join(beside),
                dataset,
                version,
            )
        waiting = pending(tables, plan.batches)
        todo, kept = keep_for_sync(
            None if syncs else find_site(settings),
            dataset,
            version,
            waiting,
            {"batch_images": batch_images, "shard_batches": shard_batches},
        )
        planned, skipped = len(plan.batches), len(plan.batches) - len(waiting)
        outcomes: list[ChildOutcome] = []
        sized_by: dict[str, int] = {}
        for attempt in range(1, _ATTEMPTS + 1):
            known = {} if shard_batches else paces(tables, todo, arms, settings)
            shards = split_shards(
                plan.plan_id,
                todo,
                shard_batches or _SHARD_BATCHES,
                paces=known,
                shard_seconds=settings.shard_seconds,
                least=1 if shard_batches else settings.shard_workers,
            )
            sized_by = _sized_by(todo, known)
            _log.info("attempt %d: %d shards of %s, batches sized by %s", attempt, len(shards), dataset, sized_by)
            about = f"Shards of {dataset}, attempt {attempt}; batches by what sized them: {sized_by}"
            publish_table(f"shards-{dataset}", [asdict(s) for s in shards], about)
            ended = run_children(
                [
                    Child(
                        "prelabel-batches",
                        shard.placement,
                        {**asdict(shard), "ontology": ontology, "store": settings.store, "run_id": run},
                        f"{run}:{shard.plan_id}:{shard.placement}:{shard.first}-{shard.last}:{attempt}",
                    )
                    for shard in shards
                ]
            )
            outcomes = [*(one for one in outcomes if not one.can_retry), *ended]
            hopeless = [shard for shard, outcome in zip(shards, ended, strict=True) if not outcome.can_retry]
            todo = [b for b in pending(tables, todo) if not any(shard.holds(b) for shard in hopeless)]
            if not todo or is_cancelled(tables, run):
                break
        waiting = [batch for batch in pending(tables, waiting) if batch not in kept]
    reached = RunEvent(
        run,
        dataset,
        version,
        PRELABELLED,
        "partial" if waiting or kept else "complete",
        summary={
            "batches_count": planned,
            "landed_before_count": skipped,
            "missing_count": len(waiting),
            "deferred_count": len(kept),
            "shards_sized_by": sized_by,
            "beside_runs": beside,
        },
    )
    record(tables, reached)
    if waiting:
        stop_if_cancelled(tables, run)
        first = [outcome for outcome in outcomes if outcome.error][:1]
        said = "".join(f" The first error: {outcome.error}" for outcome in first)
        again = "Mend what the error names and run again: only the missing batches are done."
        raise RunFailedError(
            f"{len(waiting)} of {planned} batches of {dataset} {version} did not land in run {run}, "
            f"first {waiting[0].batch_id}.{said}",
            hint=" ".join([*(outcome.hint for outcome in first if outcome.hint), again]),
        )


def _sized_by(batches: Sequence[PlannedBatch], known: Mapping[str, Pace]) -> dict[str, int]:
    """Count batches by what said how long they take: usage, profile or count."""
    return dict(Counter(known[b.batch_id].source if b.batch_id in known else "count" for b in batches))
