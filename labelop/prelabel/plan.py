"""Turn routing decisions into batches: which images, which models, which placement.

A plan is content-derived and lands before any work starts, so that a child run can be told a range of it. Knows no
engine and no orchestrator.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.dataset as ds

from labelop import ids
from labelop.egress.forms import FORM_STYLE
from labelop.egress.gate import PAYLOAD_FORMAT
from labelop.engines.prelabeller import ArmModels, arm_parameters
from labelop.errors import ManifestError
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, landed_keys, read, read_rows
from labelop.prelabel.assign import EVALUATE, ONPREM, Assignment, assign
from labelop.routing.strata import strata_of
from labelop.schemas import utc_now
from labelop.sensitivity.clearance import NamedPolicy, Standing, changes, cloud_group, standings


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """One unit of landing."""

    batch_id: str
    """Content-derived key; its presence in `prelabels` means done."""
    arm: str
    """local | cloud."""
    role: str
    """chosen | compare | evaluate | pilot | parity."""
    placement: str
    """onprem | cloud: where it may run."""
    model_id: str
    """Detector of the arm."""
    position: int
    """Order inside the plan."""
    image_ids: tuple[str, ...]
    """Images in order."""
    forms: str = ""
    """Digest of what was to be done to them before they leave, see `forms_of`; empty where nothing was."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every batch of one dataset version under one set of decisions."""

    plan_id: str
    """Content-derived name."""
    dataset: str
    """Dataset name."""
    dataset_version: str
    """Dataset version."""
    batches: tuple[PlannedBatch, ...]
    """In order of position."""


def models_for(models: ArmModels, role: str) -> ArmModels:
    """Say which of an arm's models run: where boxes and classes are judged alone, masks would be paid for nothing."""
    return replace(models, segmenter=None) if role == EVALUATE else models


def plan_dataset(
    store: Store,
    dataset: str,
    dataset_version: str,
    *,
    decisions: Iterable[Mapping[str, Any]],
    arms: Mapping[str, ArmModels],
    policy: NamedPolicy,
    compare_share: float,
    batch_images: int,
    run_id: str,
) -> Plan:
    """Plan a dataset version's batches and land them in `batches`.

    Args:
        store: Where the tables are; `images` and `levels` of this version are read.
        dataset: Dataset name.
        dataset_version: Dataset version.
        decisions: What routing decided now, see `assign`; not what has ever landed, or an old permission could outlive
            a new refusal.
        arms: Models by arm name.
        policy: Sensitivity policy under which the levels and decisions were made.
        compare_share: Share of images, 0..1, that both arms prelabel.
        batch_images: Images in a batch, at least 1.
        run_id: Run that plans, for provenance only.

    Returns:
        The plan; the same inputs give the same plan.

    Raises:
        ManifestError: An image has no level.
        NoEligiblePlacementError: A level has no chosen placement.
    """
    where = {"dataset": dataset, "dataset_version": dataset_version}
    images = _image_ids(store, "images", **where, outcome="ok")
    known = standings(store, dataset, dataset_version, policy)
    standing = {image_id: one for image_id, one in known.items() if image_id in images}
    missing = sorted(images - standing.keys())
    if missing:
        raise ManifestError(
            f"{len(missing)} images of {dataset} {dataset_version} have no level under policy {policy.digest[:12]}, "
            f"first {missing[0][:12]}.",
            hint=f"Run `labelop classify --dataset {dataset}` first.",
        )
    made = list(decisions)
    strata = strata_of(store, dataset, dataset_version, {row["stratum"] for row in made if row.get("stratum")})
    groups = {image_id: cloud_group(policy, one, strata.get(image_id)) for image_id, one in standing.items()}
    assigned = assign(groups, made, _held_out(store, where), compare_share, sorted(arms))
    return plan_assigned(
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


def plan_assigned(
    store: Store,
    dataset: str,
    dataset_version: str,
    assigned: Mapping[Assignment, Sequence[str]],
    *,
    arms: Mapping[str, ArmModels],
    policy: NamedPolicy,
    standing: Mapping[str, Standing],
    batch_images: int,
    run_id: str,
) -> Plan:
    """Cut assigned images into batches and land them; see `plan_dataset`, which says what every image gets.

    Args:
        store: Where the tables are.
        dataset: Dataset name.
        dataset_version: Dataset version.
        assigned: Image ids by what they get.
        arms: Models by arm name.
        policy: Sensitivity policy in force.
        standing: What counts for each of the images.
        batch_images: Images in a batch, at least 1.
        run_id: Run that plans, for provenance only.
    """
    batches: list[PlannedBatch] = []
    said: dict[str, dict[str, Any]] = {}
    for assignment in sorted(assigned, key=lambda a: (a.placement, a.role, a.arm)):
        models = models_for(arms[assignment.arm], assignment.role)
        for chunk in _chunks(assigned[assignment], batch_images):
            forms = forms_of(policy, standing, chunk, assignment.placement)
            changing = _parameters(models, assignment.placement, forms)
            # the dataset too: the same pictures under another name are another owner's work
            parameters = {**changing, "arm": assignment.arm, "role": assignment.role, "dataset": dataset}
            key = ids.batch_id(dataset_version, assignment.placement, models.detector.digest, parameters, chunk)
            said[key] = changing
            does = assignment.arm, assignment.role, assignment.placement, models.detector.id
            batches.append(PlannedBatch(key, *does, len(batches), chunk, forms))
    plan = Plan(ids.row_id("plan", [b.batch_id for b in batches]), dataset, dataset_version, tuple(batches))
    _land(store, plan, arms, said, policy_digest=policy.digest, run_id=run_id)
    return plan


def forms_of(policy: NamedPolicy, standing: Mapping[str, Standing], image_ids: Sequence[str], placement: str) -> str:
    """Digest what has to be done to images before they go to a placement; empty where nothing has to."""
    changed = changes(policy, standing, image_ids, placement)
    return ids.digest_of([FORM_STYLE, changed]) if changed else ""


def pending(store: Store, batches: Iterable[PlannedBatch]) -> list[PlannedBatch]:
    """Keep the batches that have not landed; the tables decide, never the orchestrator."""
    wanted = list(batches)
    done = landed_keys(store, "prelabels", [b.batch_id for b in wanted])
    return [b for b in wanted if b.batch_id not in done]


def load_plan(store: Store, plan_id: str, only: ds.Expression | None = None) -> Plan:
    """Read a landed plan.

    Args:
        store: Where the tables are.
        plan_id: The plan.
        only: Batches to read; all when None.

    Raises:
        ManifestError: No plan of this id has landed, or none of its batches is wanted.
    """
    wanted = equal(plan_id=plan_id) if only is None else equal(plan_id=plan_id) & only
    rows = sorted(read_rows(store, "batches", filters=wanted), key=lambda r: int(r["position"]))
    if not rows:
        what = f"Plan {plan_id}" if only is None else f"Plan {plan_id} with batches where {only}"
        raise ManifestError(f"{what} has not landed.", hint="Plan it again with `labelop prelabel`.")
    batches = tuple(
        PlannedBatch(
            r["batch_id"],
            r["arm"],
            r["role"],
            r["placement"],
            r["model_id"],
            int(r["position"]),
            tuple(r["image_ids"]),
            json.loads(r["parameters"]).get("forms", ""),
        )
        for r in rows
    )
    return Plan(plan_id, rows[0]["dataset"], rows[0]["dataset_version"], batches)


def _held_out(store: Store, where: Mapping[str, str]) -> frozenset[str]:
    with_truth = _image_ids(store, "reviews", **where, arm="import")
    return frozenset(with_truth & _image_ids(store, "images", **where, split="val"))


def _image_ids(store: Store, name: str, **where: str) -> set[str]:
    """Read which images rows of a table are about, and nothing else of them: a dataset may have 100,000."""
    return set(read(store, name, columns=["image_id"], filters=equal(**where))["image_id"].to_pylist())


def _chunks(image_ids: Sequence[str], size: int) -> list[tuple[str, ...]]:
    if size < 1:
        raise ValueError(f"batch_images is {size}, expected at least 1")
    return [tuple(image_ids[i : i + size]) for i in range(0, len(image_ids), size)]


def _parameters(models: ArmModels, placement: str, forms: str) -> dict[str, Any]:
    """Name what changes predictions beside the detector: the other models, and how pixels travel off the premises."""
    payload = {} if placement == ONPREM else {"payload": PAYLOAD_FORMAT}
    return {**arm_parameters(models), **payload, **({"forms": forms} if forms else {})}


def _land(
    store: Store, plan: Plan, arms: Mapping[str, ArmModels], said: Mapping[str, Any], *, policy_digest: str, run_id: str
) -> None:
    rows = [
        {
            "batch_id": b.batch_id,
            "plan_id": plan.plan_id,
            "dataset": plan.dataset,
            "dataset_version": plan.dataset_version,
            "arm": b.arm,
            "role": b.role,
            "placement": b.placement,
            "model_id": b.model_id,
            "model_digest": arms[b.arm].detector.digest,
            "parameters": ids.canonical_json(said[b.batch_id]),
            "position": b.position,
            "image_ids": list(b.image_ids),
            "policy_digest": policy_digest,
            "run_id": run_id,
            "landed_at": utc_now(),
        }
        for b in plan.batches
    ]
    land(store, "batches", rows, plan.plan_id)
