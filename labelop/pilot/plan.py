"""Declare a pilot and plan its work: protocol, sample, assignments and batches, once; asked again, the same comes back.

Knows tables, no engine and no orchestrator.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from labelop.engines.prelabeller import ArmModels
from labelop.errors import PilotError
from labelop.ids import canonical_json, digest_of, row_id
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.pilot.design import BLIND, Assignment, Candidate, check_strata, draw_sample, split, stratify
from labelop.pilot.design import assign as assign_reviews
from labelop.pilot.ends import End, Kind, ends_of, require_unstopped
from labelop.pilot.protocol import Asked, Protocol
from labelop.pilot.statistics import least_pairs
from labelop.prelabel.assign import ONPREM, PARITY, PILOT
from labelop.prelabel.assign import Assignment as Place
from labelop.prelabel.plan import Plan, load_plan, plan_assigned
from labelop.queries import run_query
from labelop.routing.decide import Decision
from labelop.schemas import utc_now
from labelop.sensitivity.clearance import NamedPolicy, cloud_group, group_of, standings

PARITY_IMAGES = 20
"""Images on which a model that runs elsewhere is run on premises as well."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """A pilot as the tables have it."""

    protocol: Protocol
    """The protocol that was declared last."""
    weights: Mapping[str, float]
    """Share of all candidates by stratum."""
    registered: tuple[datetime, ...]
    """When its protocols were declared."""
    plan_id: str
    """Batches that draft for it."""
    design: Mapping[str, Any]
    """See `Asked.design`."""
    ends: Mapping[Kind, End] = field(default_factory=dict)
    """How it ended before all of its reviews came."""


def load_pilot(store: Store, dataset: str, dataset_version: str, name: str) -> Pilot:
    """Read a pilot.

    Raises:
        PilotError: There is none of this name.
    """
    found = find_pilot(store, dataset, dataset_version, name)
    if found is None:
        raise _undeclared(name, f"{dataset} {dataset_version}", list_pilots(store, dataset))
    return found


def newest_pilot(store: Store, dataset: str, name: str) -> Pilot:
    """Read the pilot of a name that was declared last, about whatever version of the dataset.

    Raises:
        PilotError: There is none of this name.
    """
    every = list_pilots(store, dataset)
    found = [one for one in every if one.protocol.name == name]
    if not found:
        raise _undeclared(name, dataset, every)
    return max(found, key=lambda one: one.registered)


def _undeclared(name: str, of: str, known: Iterable[Pilot]) -> PilotError:
    names = sorted({one.protocol.name for one in known})
    return PilotError(
        f"Pilot {name!r} of {of} is not declared; expected one of {names}.",
        hint="Declare it with `labelop pilot plan`.",
    )


def list_pilots(store: Store, dataset: str | None = None) -> list[Pilot]:
    """Read every pilot, of one dataset or of all, by dataset and name."""
    rows = read_rows(store, "pilots", filters=None if dataset is None else equal(dataset=dataset))
    keys = sorted({(row["dataset"], row["dataset_version"], row["name"]) for row in rows})
    return [load_pilot(store, *key) for key in keys]


def find_pilot(store: Store, dataset: str, dataset_version: str, name: str) -> Pilot | None:
    """Read a pilot; None when there is none of this name."""
    where = equal(dataset=dataset, dataset_version=dataset_version, name=name)
    rows = sorted(read_rows(store, "pilots", filters=where), key=lambda row: row["landed_at"])
    if not rows:
        return None
    values = json.loads(rows[-1]["protocol"])
    said: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Pilot(
        Protocol(**said),
        json.loads(rows[-1]["weights"]),
        tuple(row["landed_at"] for row in rows),
        rows[-1]["plan_id"],
        json.loads(rows[-1]["asked"]),
        ends_of(store, rows[-1]["pilot_id"]),
    )


def plan_pilot(
    store: Store,
    dataset: str,
    dataset_version: str,
    asked: Asked,
    *,
    decisions: Iterable[Decision],
    arms: Mapping[str, ArmModels],
    policy: NamedPolicy,
    batch_images: int,
    run_id: str,
) -> tuple[Pilot, Plan]:
    """Declare a pilot and land its assignments and batches.

    Args:
        store: Where the tables are.
        dataset: Dataset name.
        dataset_version: Dataset version.
        asked: What is asked for.
        decisions: What routing says now: an image is a candidate where every arm of the pilot is allowed.
        arms: Models by arm name.
        policy: Sensitivity policy in force.
        batch_images: Images in a batch.
        run_id: Run that plans, for provenance only.

    Returns:
        The pilot and its batches. One that was declared before keeps its sample; other margins are a further protocol.

    Raises:
        PilotError: The design cannot be balanced, nothing may be compared, a stratum would have too few images for a
            verdict of its own, the pilot was drawn with another design or stopped, or is of another version.
        EmptyArmError: An arm would have no image.
    """
    before = find_pilot(store, dataset, dataset_version, asked.name)
    if before is not None:
        return _again(store, before, asked, run_id), load_plan(store, before.plan_id)
    if any(one.protocol.name == asked.name for one in list_pilots(store, dataset)):
        raise PilotError(
            f"Pilot {asked.name!r} is of another version of {dataset} than {dataset_version}, the current one.",
            hint="It can still be reviewed and compared; another pilot needs another name.",
        )
    if unknown := [arm for arm in asked.arms if arm != BLIND and arm not in arms]:
        raise PilotError(f"Arms {unknown} have no model for {dataset}; expected some of {[*sorted(arms), BLIND]}.")
    options = {
        (group_of(one.level, one.release_rule), one.arm): one.placement
        for one in decisions
        if one.allowed and one.arm in asked.arms
    }
    standing = standings(store, dataset, dataset_version, policy)
    drafting = [arm for arm in asked.arms if arm != BLIND]
    open_ids = {
        image_id
        for image_id, one in standing.items()
        if all((cloud_group(policy, one), arm) in options for arm in drafting)
    }
    rows = run_query(store, "pilot_candidates", {"dataset": dataset, "dataset_version": dataset_version}).to_pylist()
    candidates = [Candidate(**row) for row in rows if row["image_id"] in open_ids]
    strata = split(candidates, asked.verdict_by) if asked.verdict_by else stratify(candidates, asked.images_count)
    sample = draw_sample(strata, asked.images_count, asked.seed)
    reviews = assign_reviews(sample, asked.arms, asked.reviewers, asked.seed)
    if asked.verdict_by:
        check_strata(strata, [one for one in reviews if one.arm == asked.reference], least_pairs(len(asked.reviewers)))
    detectors = {arm: arms[arm].detector for arm in drafting}
    protocol = Protocol(
        name=asked.name,
        dataset=dataset,
        dataset_version=dataset_version,
        task=detectors[asked.reference].task if asked.reference in detectors else "",
        arms=asked.arms,
        models=tuple(detectors[arm].digest if arm in detectors else "" for arm in asked.arms),
        reference=asked.reference,
        reviewers=tuple(sorted(asked.reviewers)),
        seed=asked.seed,
        sample_digest=digest_of([dict(sample.stratum_of), [asdict(one) for one in reviews]]),
        images_count=len(sample.stratum_of),
        verdict_by=asked.verdict_by,
        **asked.declared,
    )
    assigned = _places(reviews, {arm: place for (_, arm), place in options.items()})
    plan = plan_assigned(
        store,
        dataset,
        dataset_version,
        assigned,
        arms=arms,
        policy=policy,
        standing=standing,
        batch_images=batch_images,
        run_id=run_id,
    )
    pilot = Pilot(protocol, dict(sample.weights), (), plan.plan_id, asked.design)
    _land_assignments(store, protocol, reviews, plan, run_id)
    _register(store, pilot, run_id)
    return load_pilot(store, dataset, dataset_version, asked.name), plan


def _again(store: Store, before: Pilot, asked: Asked, run_id: str) -> Pilot:
    """Take a pilot that was drawn before; what may still be declared otherwise is registered as a further protocol."""
    name = asked.name
    require_unstopped(name, before.ends)
    if before.design != asked.design:
        raise PilotError(
            f"Pilot {name} was drawn with {dict(before.design)}, asked for is {asked.design}.",
            hint="A drawn pilot keeps its arms, reviewers and images; plan another one under another name.",
        )
    plain = {one: getattr(before.protocol, one) for one in asked.declared}
    if plain == dict(asked.declared) and before.protocol.reference == asked.reference:
        return before
    changed = replace(before.protocol, reference=asked.reference, **asked.declared)
    _register(store, replace(before, protocol=changed), run_id)
    return load_pilot(store, changed.dataset, changed.dataset_version, name)


def _places(reviews: Sequence[Assignment], placement_of: Mapping[str, str]) -> dict[Place, Sequence[str]]:
    """Say what is drafted where: each arm its images, and some of them by the same model on premises."""
    made: dict[Place, Sequence[str]] = {}
    for arm, placement in placement_of.items():
        images = sorted({one.image_id for one in reviews if one.arm == arm})
        made[Place(arm, PILOT, placement)] = images
        if placement != ONPREM:
            made[Place(arm, PARITY, ONPREM)] = images[:PARITY_IMAGES]
    return made


def _land_assignments(store: Store, protocol: Protocol, reviews: Sequence[Assignment], plan: Plan, run_id: str) -> None:
    batch_of = {
        (batch.arm, image_id): batch.batch_id
        for batch in plan.batches
        if batch.role == PILOT
        for image_id in batch.image_ids
    }
    rows = [
        {
            **asdict(one),
            "pilot_id": protocol.pilot_id,
            "dataset": protocol.dataset,
            "dataset_version": protocol.dataset_version,
            "batch_id": batch_of.get((one.arm, one.image_id), protocol.pilot_id),
            "run_id": run_id,
            "landed_at": utc_now(),
        }
        for one in reviews
    ]
    land(store, "pilot_assignments", rows, key=f"assignments:{protocol.pilot_id}")


def _register(store: Store, pilot: Pilot, run_id: str) -> None:
    protocol = pilot.protocol
    row = {
        "pilot_id": protocol.pilot_id,
        "protocol_digest": protocol.digest,
        "dataset": protocol.dataset,
        "dataset_version": protocol.dataset_version,
        "name": protocol.name,
        "task": protocol.task,
        "arms": list(protocol.arms),
        "reference": protocol.reference,
        "images_count": protocol.images_count,
        "asked": canonical_json(dict(pilot.design)),
        "protocol": canonical_json(asdict(protocol)),
        "weights": canonical_json(dict(pilot.weights)),
        "plan_id": pilot.plan_id,
        "run_id": run_id,
        "landed_at": utc_now(),
    }
    land(store, "pilots", [row], key=row_id("pilots", protocol.pilot_id, protocol.digest, str(len(pilot.registered))))
