"""Choose the tasks that measure reviewers: images without a draft, and drafts that are wrong on purpose.

All are drawn from the front of one order of the images, so that a seeded image is labelled blind as well and both can
be compared. Seeds land before their task. Knows tables; the errors are made in `seeds`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from labelop.errors import ReviewError
from labelop.ids import digest_of, row_id
from labelop.labels import Ontology, Prediction
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.meter.seeds import KIND_OF_OP, ErrorMix, Kind, seed_task, shown_drafts
from labelop.review.rows import prediction_values
from labelop.review.states import SEEDED
from labelop.review.tasks import ReviewTask, load_ontology, load_tasks, tasks_to_give_out
from labelop.runs import current_version
from labelop.schemas import utc_now

BLIND, DOUBLE = "blind", "double"
"""Purposes of tasks without a draft: for one reviewer, and for a second one."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of the images measures reviewers; each 0..1 (defaults of measures.md 2.2)."""

    blind: float = 0.05
    """Images that somebody labels without a draft too: with the drafted review they are a double review across arms,
    which is what the 5 % of double review are for."""
    double: float = 0.02
    """Images that two people label without a draft; among the blind ones, so at most as many."""
    seeded: float = 0.05
    """Images that go out with one wrong draft before they go out as they are."""


@dataclass(frozen=True, slots=True)
class BiasPlan:
    """What was planned; which images is in the tables only."""

    images_count: int
    """Images that nobody has reviewed yet: what was drawn from."""
    blind_count: int
    """Tasks for one reviewer without a draft."""
    double_count: int
    """Tasks for a second one."""
    seeded_count: int
    """Tasks with a wrong draft."""


def plan_bias(
    store: Store,
    dataset: str,
    run_id: str,
    *,
    shares: Shares = Shares(),
    seed: int = 0,
    dataset_version: str | None = None,
) -> BiasPlan:
    """Plan the silent-bias meter of a dataset, before its drafts go out; the same plan a second time lands nothing.

    Args:
        store: Where.
        dataset: Dataset name.
        run_id: Run that plans.
        shares: How many of each.
        seed: Of everything that is drawn.
        dataset_version: Dataset version; the one landed last when None.

    Raises:
        RunFailedError: The dataset has never been ingested.
        ReviewError: A share is not within 0..1, double is above blind, there is no draft that nobody reviewed, or seeds
            are wanted and no correction of the dataset says how its drafts are wrong.
    """
    _check(shares)
    version = dataset_version or current_version(store, dataset)
    where = equal(dataset=dataset, dataset_version=version)
    planned = read_rows(store, "bias_tasks", columns=["image_id", "batch_id", "purpose"], filters=where)
    if again := Counter(row["purpose"] for row in planned if row["batch_id"] == _batch(version, seed, row["purpose"])):
        return BiasPlan(0, again[BLIND], again[DOUBLE], again[SEEDED])
    mix = error_mix(store, dataset, load_ontology(store, dataset, version)) if shares.seeded else {}
    tasks = _open_tasks(store, dataset, version, {row["image_id"] for row in planned})
    count = len(tasks)
    lots = sorted(tasks, key=lambda task: digest_of(["bias", seed, version, task.image_id]))
    slices = {BLIND: lots[: math.ceil(shares.blind * count)], DOUBLE: lots[: math.ceil(shares.double * count)]}
    rows = [_task_row(task, purpose, seed, run_id) for purpose, chosen in slices.items() for task in chosen]
    seeds: list[dict[str, Any]] = []
    for task in lots:
        if len(seeds) == math.ceil(shares.seeded * count):
            break
        random = np.random.default_rng(int(digest_of(["bias seed", seed, version, task.image_id])[:16], 16))
        made = seed_task(task, mix, random)
        if made is None:  # nothing of the mix can be wrong there
            continue
        row = _task_row(task, SEEDED, seed, run_id, shown_drafts(task.drafts, made))
        rows.append(row)
        seeds.append(_seed_row(row, made.kind, made.prediction_id))
    name = row_id("bias", version, seed)
    # first what keeps them out of every label set, then the tasks
    land(store, "bias_seeds", seeds, key=f"{name}:seeds")
    land(store, "bias_tasks", rows, key=f"{name}:tasks")
    return BiasPlan(count, len(slices[BLIND]), len(slices[DOUBLE]), len(seeds))


def error_mix(store: Store, dataset: str, ontology: Ontology) -> ErrorMix:
    """Count how drafts of a dataset were wrong, from the corrections people made of all its versions.

    Raises:
        ReviewError: Nobody has corrected anything yet.
    """
    columns = ["op", "predicted_label", "accepted_label"]
    counts: Counter[tuple[Kind, str, str]] = Counter()
    for row in read_rows(store, "edits", columns=columns, filters=equal(dataset=dataset)):
        right = row["accepted_label"] or row["predicted_label"]
        for kind in KIND_OF_OP.get(row["op"], ()):
            counts[kind, right, row["predicted_label"] if kind == "wrong_class" else right] += 1
    known = {*ontology.box_classes, *ontology.image_classes}
    mix = {key: float(count) for key, count in counts.items() if {*key[1:]} <= known}
    if not mix:
        raise ReviewError(
            f"No correction of {dataset} says how its drafts are wrong, so no seed can be drawn.",
            hint="Review some drafts or run a pilot first, or plan with --seeded 0.",
        )
    return mix


def one_at_a_time(store: Store, tasks: list[ReviewTask]) -> list[ReviewTask]:
    """Hold tasks back so that nobody meets an image twice in one export, or its draft before its blind task.

    Of an image that measures reviewers the blind task goes out first, then the second blind one, then the seeded one,
    then its drafts: each once the one before was reviewed.
    """
    measuring: dict[str, list[ReviewTask]] = {}
    for task in tasks:
        if task.source_batch_id:
            measuring.setdefault(task.image_id, []).append(task)
    if not measuring:
        return tasks
    purposes = read_rows(store, "bias_tasks", columns=["task_uid", "purpose"])
    place = {row["task_uid"]: (BLIND, DOUBLE, SEEDED).index(row["purpose"]) for row in purposes}
    reviews = read_rows(store, "reviews", columns=["batch_id", "image_id"])
    reviewed = {(row["batch_id"], row["image_id"]) for row in reviews}
    held: set[str] = set()
    is_open: set[str] = set()
    for image_id, some in measuring.items():
        for task in sorted(some, key=lambda one: place[one.task_uid]):
            if image_id in is_open:
                held.add(task.task_uid)
            elif (task.batch_id, image_id) not in reviewed:
                is_open.add(image_id)
    return [
        task for task in tasks if task.task_uid not in held and (task.source_batch_id or task.image_id not in is_open)
    ]


def _check(shares: Shares) -> None:
    for name in Shares.__dataclass_fields__:
        if not 0 <= getattr(shares, name) <= 1:
            raise ReviewError(f"The share {name} is {getattr(shares, name)}, expected 0..1.")
    if shares.double > shares.blind:
        raise ReviewError(
            f"The share double is {shares.double} and the share blind {shares.blind}: images would "
            "have a second reader without a draft and no first one to agree with.",
            hint="Give --double at most what --blind has, or --double 0.",
        )


def _open_tasks(store: Store, dataset: str, version: str, planned: set[str]) -> list[ReviewTask]:
    """List one draft of each image that nobody has reviewed and no other plan holds, by image id."""
    # whoever saw an image under an earlier version is no blind judge of it
    reviews = read_rows(store, "reviews", columns=["image_id", "arm"], filters=equal(dataset=dataset))
    seen = {row["image_id"] for row in reviews if row["arm"] != "import"} | planned
    drafted: dict[str, ReviewTask] = {}
    for task in tasks_to_give_out(store, dataset, version, load_tasks(store, dataset, version)):
        if task.model_id and not task.source_batch_id and task.image_id not in seen:
            # of several arms the first by name, so that the draw does not depend on the order of landing
            before = drafted.get(task.image_id)
            if before is None or (task.arm, task.batch_id) < (before.arm, before.batch_id):
                drafted[task.image_id] = task
    if not drafted:
        raise ReviewError(
            f"Every draft of {dataset} {version} was reviewed, or there is none.",
            hint="Plan the meter after the drafts have landed and before they go out.",
        )
    return [drafted[image_id] for image_id in sorted(drafted)]


def _batch(version: str, seed: int, purpose: str) -> str:
    return row_id("bias", version, seed, purpose)


def _task_row(
    task: ReviewTask, purpose: str, seed: int, run_id: str, drafts: tuple[Prediction, ...] = ()
) -> dict[str, Any]:
    batch = _batch(task.dataset_version, seed, purpose)
    made = replace(task, batch_id=batch)
    return {
        "task_uid": row_id("t", made.dataset_version, made.image_id, batch),
        "dataset": made.dataset,
        "dataset_version": made.dataset_version,
        "image_id": made.image_id,
        "batch_id": batch,
        "purpose": purpose,
        "source_batch_id": task.batch_id,
        "source_arm": task.arm,
        "model_id": task.model_id if purpose == SEEDED else None,
        "model_digest": task.model_digest if purpose == SEEDED else None,
        "width_px": task.width_px,
        "height_px": task.height_px,
        "predictions": prediction_values(drafts),
        "run_id": run_id,
        "landed_at": utc_now(),
    }


def _seed_row(task: Mapping[str, Any], kind: Kind, prediction_id: str) -> dict[str, Any]:
    same = ("task_uid", "dataset", "dataset_version", "image_id", "batch_id", "run_id", "landed_at")
    return {"seed_id": row_id("seed", task["task_uid"]), "kind": kind, "prediction_id": prediction_id} | {
        name: task[name] for name in same
    }
