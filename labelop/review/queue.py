"""In which order drafts are reviewed: most value per second first, nothing starves, and a fixed part is left to chance.

index = p_error * reuse / expected seconds (measures.md section 5; seconds in force for the dataset), against the median
of the queue, plus the days a draft has waited. A tenth is ordered by a hash instead, spread evenly: figures taken on it
are not biased by the order.
Knows no clock: waiting is counted from the newest draft, so equal tables give equal orders.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.effort.saved import parameters_of
from labelop.ids import digest_of
from labelop.landing.filters import equal
from labelop.landing.store import Store, read, read_rows
from labelop.review.tasks import ReviewTask
from labelop.settings import load_settings

RANDOM_SHARE = 0.10
"""Share of every stretch of the queue that is drawn by chance, 0..1."""
DAY_VALUE = 1.0
"""What a day of waiting adds, in indices of the queue's median task: default cover is one day."""
LEAST_SECONDS = 1.0
"""What every review takes: learnt seconds may be 0."""
EMPTY_P_ERROR = 0.5
"""Chance that a draft without any prediction is wrong, while nobody has measured it, 0..1."""


@dataclass(frozen=True, slots=True)
class Queued:
    """One task at its place."""

    task: ReviewTask
    """What is to be reviewed."""
    position: int
    """0, 1, ... from the front."""
    is_random: bool
    """Whether chance put it there; only such tasks are a fair sample."""


def queue_order(
    tasks: Sequence[ReviewTask],
    landed_at: Mapping[str, dt.datetime] | None = None,
    reuse: Mapping[str, int] | None = None,
    params: EffortParameters = DEFAULTS,
) -> list[Queued]:
    """Order tasks for review.

    Args:
        tasks: In any order.
        landed_at: When each draft landed, by task name; those that are missing are as new as the newest.
        reuse: Files that an image stands for, by image id; 1 where it is missing.
        params: Seconds of operations.

    Returns:
        Each task once; equal for equal inputs.
    """
    times, copies = landed_at or {}, reuse or {}
    newest = max(times.values(), default=None)
    index = {task.task_uid: _index(task, params) * copies.get(task.image_id, 1) for task in tasks}
    usual = median(index.values()) if index else 0.0

    def worth(task: ReviewTask) -> tuple[float, str]:
        # whole days: minutes between batches of one night are no reason
        waited = 0 if newest is None else (newest - times.get(task.task_uid, newest)).days
        return -(index[task.task_uid] / (usual or 1.0) + DAY_VALUE * waited), task.task_uid

    lots = {task.task_uid: int(digest_of(["queue", task.task_uid])[:12], 16) for task in tasks}
    drawn = sorted(tasks, key=lambda task: (lots[task.task_uid], task.task_uid))[: math.ceil(RANDOM_SHARE * len(tasks))]
    names = {task.task_uid for task in drawn}
    valued = sorted((task for task in tasks if task.task_uid not in names), key=worth)
    every = round(1 / RANDOM_SHARE)
    ordered: list[tuple[ReviewTask, bool]] = []
    for place in range(len(tasks)):
        by_chance = place % every == 0
        ordered.append((drawn.pop(0) if by_chance else valued.pop(0), by_chance))
    return [Queued(task, position, is_random) for position, (task, is_random) in enumerate(ordered)]


def in_queue_order(store: Store, dataset: str, dataset_version: str, tasks: Sequence[ReviewTask]) -> list[ReviewTask]:
    """Order tasks of a dataset version for review, with what the tables know of waiting and reuse.

    Raises:
        ConfigurationError: The saved seconds of the dataset cannot be used.
    """
    where = equal(dataset=dataset, dataset_version=dataset_version)
    names = {(task.batch_id, task.image_id): task.task_uid for task in tasks}
    rows = read_rows(store, "prelabels", columns=["batch_id", "image_id", "landed_at"], filters=where)
    landed = {names[key]: row["landed_at"] for row in rows if (key := (row["batch_id"], row["image_id"])) in names}
    reuse = Counter(read(store, "images", columns=["image_id"], filters=where)["image_id"].to_pylist())
    params = parameters_of(load_settings(store=store.root), dataset)
    return [one.task for one in queue_order(tasks, landed, reuse, params)]


def _index(task: ReviewTask, params: EffortParameters) -> float:
    """Value per second: the chance that something has to be corrected by the seconds it will take."""
    scores = [draft.score for draft in task.drafts]
    p_error = 1 - math.prod(scores) if scores else EMPTY_P_ERROR
    work = sum(score * params.accept_box_seconds + (1 - score) * params.adjust_two_drags_seconds for score in scores)
    return p_error / max(params.base_box_seconds + work, LEAST_SECONDS)
