"""What there is to review: one task per prelabel that a person should look at, under a name that hides the arm.

Knows the tables and no tool. The name of a task is content-derived, so an export made twice names the same tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.dataset as ds

from labelop.ids import row_id
from labelop.labels import Ontology, Prediction
from labelop.landing.filters import equal
from labelop.landing.store import Store, dataset_of, read, read_rows
from labelop.review.gate import state_chains
from labelop.review.rows import prediction_of
from labelop.review.states import SEEDED
from labelop.runs import plan_in_force

_REVIEWED_ROLES = frozenset({"chosen", "compare", "pilot"})
_BLIND = "blind"
_REVIEWED_OUTCOMES = frozenset({"ok", "empty"})


@dataclass(frozen=True, slots=True)
class ReviewTask:
    """One image with the drafts of one arm, for one reviewer."""

    task_uid: str
    """Content-derived name; tells neither arm nor model."""
    dataset: str
    """Dataset name."""
    dataset_version: str
    """Dataset version."""
    image_id: str
    """SHA-256 of the original bytes."""
    path: str
    """Percent-encoded path below the source root, of the first file with these bytes."""
    batch_id: str
    """Batch of the prelabel; the pilot where nothing is drafted."""
    arm: str
    """local | cloud | blind | seeded; never shown to a reviewer."""
    model_id: str
    """Detector that drafted, empty where nothing is; never shown to a reviewer."""
    model_digest: str
    """Its digest."""
    width_px: int
    """Width of the upright image."""
    height_px: int
    """Height of the upright image."""
    drafts: tuple[Prediction, ...]
    """Predictions a reviewer is shown, by id."""
    source_batch_id: str = ""
    """Batch whose draft of the image goes out after this task, which measures reviewers; empty for drafts."""


def load_tasks(store: Store, dataset: str, dataset_version: str) -> list[ReviewTask]:
    """List the review tasks of a dataset version.

    Args:
        store: Where.
        dataset: Dataset name.
        dataset_version: Dataset version.

    Returns:
        Tasks ordered by task name. The name is a hash, so this order is random to a reviewer and the same every time.
    """
    where = equal(dataset=dataset, dataset_version=dataset_version)
    paths: dict[str, str] = {}
    images = read_rows(store, "images", columns=["image_id", "path"], filters=where)
    for row in sorted(images, key=lambda r: str(r["path"])):
        paths.setdefault(row["image_id"], row["path"])
    tasks = []
    for row in read_rows(store, "prelabels", filters=where):
        if row["role"] not in _REVIEWED_ROLES or row["outcome"] not in _REVIEWED_OUTCOMES:
            continue
        drafts = [prediction_of(value) for value in row["predictions"] or [] if value["draft"]]
        tasks.append(
            ReviewTask(
                task_uid=row_id("t", dataset_version, row["image_id"], row["batch_id"]),
                dataset=dataset,
                dataset_version=dataset_version,
                image_id=row["image_id"],
                path=paths.get(row["image_id"], ""),
                batch_id=row["batch_id"],
                arm=row["arm"],
                model_id=row["model_id"],
                model_digest=row["model_digest"],
                width_px=row["width_px"],
                height_px=row["height_px"],
                drafts=tuple(sorted(drafts, key=lambda p: p.prediction_id)),
            )
        )
    tasks += [*_blind_tasks(store, where, paths), *_bias_tasks(store, where, paths)]
    return sorted(tasks, key=lambda task: task.task_uid)


def _blind_tasks(store: Store, where: ds.Expression, paths: Mapping[str, str]) -> list[ReviewTask]:
    """List what pilots ask people to label without a draft."""
    asked = read_rows(store, "pilot_assignments", filters=where & equal(arm=_BLIND))
    wanted = {row["image_id"] for row in asked}
    images = read_rows(store, "images", columns=["image_id", "width_px", "height_px"], filters=where) if asked else []
    size_of = {row["image_id"]: row for row in images if row["image_id"] in wanted}
    return [
        ReviewTask(
            task_uid=row_id("t", row["dataset_version"], row["image_id"], row["pilot_id"]),
            dataset=row["dataset"],
            dataset_version=row["dataset_version"],
            image_id=row["image_id"],
            path=paths.get(row["image_id"], ""),
            batch_id=row["pilot_id"],
            arm=_BLIND,
            model_id="",
            model_digest="",
            width_px=size_of[row["image_id"]]["width_px"],
            height_px=size_of[row["image_id"]]["height_px"],
            drafts=(),
        )
        for row in asked
    ]


def _bias_tasks(store: Store, where: ds.Expression, paths: Mapping[str, str]) -> list[ReviewTask]:
    """List what measures reviewers; its seeds are landed before it, so none goes out unknown (`labelop.meter`)."""
    return [
        ReviewTask(
            task_uid=row["task_uid"],
            dataset=row["dataset"],
            dataset_version=row["dataset_version"],
            image_id=row["image_id"],
            path=paths.get(row["image_id"], ""),
            batch_id=row["batch_id"],
            arm=SEEDED if row["purpose"] == SEEDED else _BLIND,
            model_id=row["model_id"] or "",
            model_digest=row["model_digest"] or "",
            width_px=row["width_px"],
            height_px=row["height_px"],
            drafts=tuple(prediction_of(value) for value in row["predictions"]),
            source_batch_id=row["source_batch_id"],
        )
        for row in read_rows(store, "bias_tasks", filters=where)
    ]


def tasks_in_force(store: Store, dataset: str, dataset_version: str, tasks: Iterable[ReviewTask]) -> list[ReviewTask]:
    """Keep the tasks of the plan that counts now: what a review is of when nothing else says which draft was corrected.

    Corrections of replaced drafts that come back all the same are still imported: the work was done. Tasks of a pilot
    are in no plan that counts. Whether a task may go out is another question: see `tasks_to_give_out`.
    """
    plan_id = plan_in_force(store, dataset, dataset_version)
    if plan_id is None:
        return without_pilots(store, dataset, tasks)
    batches = read(store, "batches", columns=["batch_id"], filters=equal(plan_id=plan_id))
    wanted = set(batches["batch_id"].to_pylist())
    return [task for task in tasks if (task.source_batch_id or task.batch_id) in wanted]


def without_pilots(store: Store, dataset: str, tasks: Iterable[ReviewTask]) -> list[ReviewTask]:
    """Leave out the tasks of pilots: each is of the reviewer it was assigned to (`labelop.pilot.work`)."""
    piloted = {batch_id for batch_id, _ in _pairs(store, "pilot_assignments", equal(dataset=dataset))}
    return [task for task in tasks if task.batch_id not in piloted]


def tasks_to_give_out(
    store: Store, dataset: str, dataset_version: str, tasks: Iterable[ReviewTask]
) -> list[ReviewTask]:
    """Keep the tasks in force that reviewers may be given now: nobody should correct drafts that were replaced.

    Until all tasks of a pilot have come back, or it has ended, other tasks of its images wait, under later versions of
    the dataset too: whoever met an image before is no fair judge of its draft.
    """
    # a pilot goes on while its dataset gets further versions
    waiting = _piloted_images(store, equal(dataset=dataset))
    found = tasks_in_force(store, dataset, dataset_version, tasks)
    return [task for task in found if task.image_id not in waiting]


def _piloted_images(store: Store, where: ds.Expression) -> set[str]:
    """List the images of which a pilot that was declared and goes on still asks for a review."""
    declared, ended = (
        {row["pilot_id"] for row in read_rows(store, name, columns=["pilot_id"], filters=where)}
        for name in ("pilots", "pilot_ends")
    )
    if not (names := sorted(declared - ended)):
        return set()
    running = where & ds.field("pilot_id").isin(names)
    asked = _pairs(store, "pilot_assignments", running) - _pairs(store, "reviews", where)
    # an assigned draft that failed is nobody's task: nothing waits for it
    made = equal(role="pilot") & ds.field("outcome").isin(sorted(_REVIEWED_OUTCOMES))
    drafted = _pairs(store, "prelabels", where & made)
    blind = _pairs(store, "pilot_assignments", running & equal(arm=_BLIND))
    return {image_id for _, image_id in asked & (drafted | blind)}


def still_open(store: Store, dataset: str, dataset_version: str, tasks: Iterable[ReviewTask]) -> list[ReviewTask]:
    """Keep the tasks without a review, and those of which every review was sent back for a revision."""
    where = equal(dataset=dataset, dataset_version=dataset_version)
    chains = state_chains(dataset_of(store, "review_states"))
    sent_back = {name for name, chain in chains.items() if chain[-1].state == "revision_requested"}
    reviews = read_rows(store, "reviews", columns=["review_id", "batch_id", "image_id"], filters=where)
    done = {(row["batch_id"], row["image_id"]) for row in reviews if row["review_id"] not in sent_back}
    return [task for task in tasks if (task.batch_id, task.image_id) not in done]


def _pairs(store: Store, table: str, where: ds.Expression) -> set[tuple[str, str]]:
    """List batch and image of each row."""
    rows = read(store, table, columns=["batch_id", "image_id"], filters=where)
    return set(zip(rows["batch_id"].to_pylist(), rows["image_id"].to_pylist(), strict=True))


def load_ontology(store: Store, dataset: str, dataset_version: str, *, with_source: bool = True) -> Ontology:
    """Gather the classes a reviewer of this dataset may choose from.

    They are the classes of every landed model card with the ontology of a model that prelabelled the dataset, and the
    classes that came with its source. Without cards the classes seen in predictions stand in.

    Args:
        store: Where.
        dataset: Dataset name.
        dataset_version: Dataset version.
        with_source: Whether to take classes that came with the source: their words may say more than a model's.
    """
    where = equal(dataset=dataset, dataset_version=dataset_version)
    used = set(read(store, "prelabels", columns=["model_id"], filters=where)["model_id"].to_pylist())
    cards = sorted(read_rows(store, "cards"), key=lambda row: (row["task"], row["model_id"]))
    ontologies = {card["ontology"] for card in cards if card["model_id"] in used}
    found: dict[bool, list[str]] = {False: [], True: []}
    for card in cards:
        if card["ontology"] in ontologies and card["task"] in {"detection", "classification"}:
            found[card["task"] == "classification"] += card["classes"] or []
    values = _nested(store, "reviews", "labels", where & equal(arm="import")) if with_source else []
    if not ontologies:
        values += _nested(store, "prelabels", "predictions", where)
    for value in sorted(values, key=lambda v: str(v["label"])):
        found[value["x0_px"] is None].append(value["label"])
    return Ontology(tuple(dict.fromkeys(found[False])), tuple(dict.fromkeys(found[True])))


def _nested(store: Store, table: str, column: str, where: ds.Expression) -> list[dict[str, Any]]:
    return [value for row in read_rows(store, table, columns=[column], filters=where) for value in row[column] or []]
