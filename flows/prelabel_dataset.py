"""The parent: route, plan batches, split them into shards, send each shard to its placement's pool, see what landed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from prefect import flow

from labelop import ids
from labelop.configuration import Configuration, load_configuration
from labelop.engines.prelabeller import ArmModels
from labelop.errors import RunFailedError
from labelop.ingest.register import ontology_of
from labelop.landing.probe import require_safe
from labelop.landing.store import Store, open_store
from labelop.pilot.capacity import load_team
from labelop.prelabel.admit import admit
from labelop.prelabel.pace import Pace, paces
from labelop.prelabel.plan import Plan, PlannedBatch, load_plan, pending
from labelop.prelabel.ranges import split_shards
from labelop.prelabel.shard import arm_models
from labelop.recovery import Asked, is_cancelled, plan_to_finish, start, stop_if_cancelled
from labelop.runs import PLANNED, PRELABELLED, RunEvent, current_version, record, under_way
from labelop.settings import Settings, load_settings
from labelop.site.place import find_site
from labelop.site.work import keep_for_sync
from tasks.artifacts import progress_shown, publish_table
from tasks.belt import reserve
from tasks.dispatch import ChildOutcome, run_children, shard_children
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
    resumes: str | None = None,
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
        resumes: Run that this one finishes: its plan is taken where the configuration is still the same.

    Raises:
        RunCancelledError: Somebody called the run off, or another does its rest; what has landed stays landed.
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
    files, ontology = load_configuration(settings), ontology_of(tables, dataset, version)
    arms = arm_models(settings, files.routing, ontology)
    with progress_shown():
        land_prices(tables, files.prices, run)
        land_cards(tables, [card for models in arms.values() for card in models.cards], run)
        plan, in_force = _planned(
            tables, settings, files, arms, RunEvent(run, dataset, version, PLANNED), batch_images, resumes
        )
        record(tables, in_force)
        beside = under_way(tables, dataset, version, run)
        if beside:
            _log.warning(
                "%s %s was planned by %s too and not ended there: "
                "what still runs there does the same work; what lands is right",
                dataset,
                version,
                " and ".join(beside),
            )
        waiting = pending(tables, plan.batches)
        todo, kept = keep_for_sync(
            None if syncs else find_site(settings),
            dataset,
            version,
            waiting,
            {"batch_images": batch_images, "shard_batches": shard_batches},
        )
        team = load_team(settings.config / "capacity.yaml")
        # what a finished run's rest takes of reviewers was reserved by that run
        todo, held, said = admit(tables, team, todo, in_force.decision_set, None if resumes else reserve)
        if held:
            _log.warning("%s: %s", dataset, said)
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
                shard_children(shards, ontology=ontology, store=settings.store, run_id=run, attempt=attempt)
            )
            outcomes = [*(one for one in outcomes if not one.can_retry), *ended]
            hopeless = [shard for shard, outcome in zip(shards, ended, strict=True) if not outcome.can_retry]
            todo = [b for b in pending(tables, todo) if not any(shard.holds(b) for shard in hopeless)]
            if not todo or is_cancelled(tables, run):
                break
        waiting = [batch for batch in pending(tables, waiting) if batch not in kept and batch not in held]
    reached = RunEvent(
        run,
        dataset,
        version,
        PRELABELLED,
        "partial" if waiting or kept or held else "complete",
        summary={
            "batches_count": planned,
            "landed_before_count": skipped,
            "missing_count": len(waiting),
            "deferred_count": len(kept),
            **({"held_count": len(held), "held_from_position": held[0].position, "held_because": said} if held else {}),
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


def _planned(
    tables: Store,
    settings: Settings,
    files: Configuration,
    arms: Mapping[str, ArmModels],
    event: RunEvent,
    batch_images: int,
    resumes: str | None,
) -> tuple[Plan, RunEvent]:
    """Route and plan, or take the plan of the run that is being finished; says what is then in force."""
    policy, prices, version = files.policy, files.prices, str(event.dataset_version)
    made_of = ids.digest_of([version, policy.digest, files.routing.digest, prices.digest, batch_images, _models(arms)])
    earlier = plan_to_finish(tables, resumes, event.dataset, made_of) if resumes else None
    if earlier is not None:
        plan, decision_set = load_plan(tables, earlier[0]), earlier[1]
    else:
        decisions = route_dataset(
            tables,
            event.dataset,
            version,
            routing=files.routing,
            policy=policy,
            catalog=files.catalog,
            prices=prices,
            settings=settings,
            run_id=event.run_id,
        )
        plan = plan_dataset(
            tables,
            event.dataset,
            version,
            decisions=[asdict(decision) for decision in decisions],
            arms=arms,
            policy=policy,
            compare_share=files.routing.compare_share,
            batch_images=batch_images,
            run_id=event.run_id,
        )
        decision_set = decisions[0].decision_set if decisions else None
    in_force = replace(
        event,
        policy_digest=policy.digest,
        price_book=prices.digest,
        decision_set=decision_set,
        plan_id=plan.plan_id,
        summary={"made_of": made_of},
    )
    return plan, in_force


def _models(arms: Mapping[str, ArmModels]) -> list[list[str]]:
    """Name each arm with its models' digests."""
    return [[arm, *(card.digest for card in models.cards)] for arm, models in sorted(arms.items())]


def _sized_by(batches: Sequence[PlannedBatch], known: Mapping[str, Pace]) -> dict[str, int]:
    """Count batches by what said how long they take: usage, profile or count."""
    return dict(Counter(known[b.batch_id].source if b.batch_id in known else "count" for b in batches))
