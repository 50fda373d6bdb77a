"""What came of the tasks that measure reviewers: errors they caught, how far drafts lead them, how far they agree.

Knows tables; the statistics are those of `labelop.effort`. Agreement rests on blind pairs and pairs across arms only:
two people who saw one draft agree through it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow.compute as pc

from labelop.effort.bias import CATCH_TARGET, Verdict, WrongPrediction, anchoring_excess, catch_rate, residual_errors
from labelop.effort.estimates import Estimate
from labelop.ids import digest_of, row_id
from labelop.labels import Prediction
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.meter.pairs import Pass, agreement_figures
from labelop.meter.seeds import KIND_OF_OP, KINDS, Seed, escaped, seed_between
from labelop.queries import run_query
from labelop.review.rows import label_of, prediction_of
from labelop.review.states import SEEDED
from labelop.runs import current_version
from labelop.schemas import utc_now

_BLIND, _TRUTH = "blind", "import"
_Key: TypeAlias = tuple[str, str]  # batch id and image id


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its interval."""

    measure: str
    """Which, see `bias_figures` in docs/tables.md."""
    slice: str
    """all | kind | reviewer | arm | source | pairs."""
    name: str
    """Of the slice; empty for all."""
    found: Estimate
    """Value, interval and what it rests on."""
    verdict: Verdict | None = None
    """Against the target where one stands."""


def land_figures(store: Store, dataset: str, run_id: str, *, dataset_version: str | None = None) -> list[Figure]:
    """Compute and land the figures of a dataset; the same reviews a second time land nothing.

    Args:
        store: Where.
        dataset: Dataset name.
        run_id: Run that lands them.
        dataset_version: Dataset version; the one landed last when None.

    Returns:
        The figures; those that nothing is known about have no value.

    Raises:
        RunFailedError: The dataset has never been ingested.
    """
    version = dataset_version or current_version(store, dataset)
    where = equal(dataset=dataset, dataset_version=version)
    rows = read_rows(store, "reviews", filters=where)
    figures = _figures(store, dataset, version, rows)
    simulated = any(row["simulated"] for row in rows)
    values = [
        (one.measure, one.slice, one.name, one.found.value, one.found.low, one.found.high, one.found.count, one.verdict)
        for one in figures
    ]
    name = row_id("bf", version, sorted(row["review_id"] for row in rows), digest_of(values))
    columns = ("measure", "slice", "name", "value", "value_low", "value_high", "units_count", "verdict")
    common = {"figure_set": name, "dataset": dataset, "dataset_version": version, "simulated": simulated}
    landed = {"run_id": run_id, "landed_at": utc_now()}
    made = [common | dict(zip(columns, value, strict=True)) | landed for value in values]
    land(store, "bias_figures", made, key=name)
    return figures


def catches(store: Store, dataset: str, dataset_version: str) -> dict[str, Estimate]:
    """Compute what share of seeded errors each reviewer caught, from the reviews that have come."""
    where = equal(dataset=dataset, dataset_version=dataset_version, arm=SEEDED)
    tried = _tried(_seeds(store, dataset, dataset_version)[0], _passes(read_rows(store, "reviews", filters=where)))
    return {one.name: one.found for one in caught_figures(tried) if one.slice == "reviewer"}


def _tried(seeds: Mapping[_Key, Seed], passes: Iterable[Pass]) -> list[tuple[Seed, Pass]]:
    return [(seeds[key], one) for one in passes if (key := (one.batch_id, one.image_id)) in seeds]


def _figures(store: Store, dataset: str, version: str, rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    by_arm: dict[str, list[Pass]] = defaultdict(list)
    for one in _passes(rows):
        by_arm[one.arm].append(one)
    seeds, drafts = _seeds(store, dataset, version)
    tried = _tried(seeds, by_arm[SEEDED])
    drafted = [*by_arm["local"], *by_arm["cloud"]]
    drafts |= _drafts(store, dataset, version, {one.batch_id for one in drafted} if by_arm[_BLIND] else set())
    return [
        *caught_figures(tried),
        *_residual(store, dataset, tried),
        *excess_figures(tried, by_arm, drafted, drafts),
        *(Figure(*found) for found in agreement_figures(by_arm[_BLIND], drafted)),
    ]


def _passes(rows: Sequence[Mapping[str, Any]]) -> Iterator[Pass]:
    """Give the last pass of each person over each task; what they skipped says nothing."""
    last: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (str(row["submitted_at"] or ""), str(row["review_id"]))):
        if row["decision"] == "approved":
            last[row["batch_id"] or "", row["image_id"], row["arm"], row["reviewer"] or ""] = row
    for (batch_id, image_id, arm, reviewer), row in sorted(last.items()):
        yield Pass(image_id, batch_id, arm, reviewer, tuple(label_of(value) for value in row["labels"]))


def _seeds(store: Store, dataset: str, version: str) -> tuple[dict[_Key, Seed], dict[_Key, list[Prediction]]]:
    """Read every seeded task: its error, and under its key the drafts as the model made them."""
    where = equal(dataset=dataset, dataset_version=version)
    tasks = {row["task_uid"]: row for row in read_rows(store, "bias_tasks", filters=where & equal(purpose=SEEDED))}
    made = _drafts(store, dataset, version, {row["source_batch_id"] for row in tasks.values()})
    seeds: dict[_Key, Seed] = {}
    for row in read_rows(store, "bias_seeds", filters=where):
        task = tasks.get(row["task_uid"])
        if task is None:  # planned, but its task never landed
            continue
        drafts = made.get((task["source_batch_id"], task["image_id"]), [])
        shown = [prediction_of(value) for value in task["predictions"]]
        seeds[task["batch_id"], task["image_id"]] = seed_between(row["kind"], row["prediction_id"], drafts, shown)
    return seeds, made


def _drafts(store: Store, dataset: str, version: str, batches: set[str]) -> dict[_Key, list[Prediction]]:
    if not batches:
        return {}
    where = equal(dataset=dataset, dataset_version=version) & pc.field("batch_id").isin(sorted(batches))
    rows = read_rows(store, "prelabels", columns=["batch_id", "image_id", "predictions"], filters=where)
    return {
        (row["batch_id"], row["image_id"]): [prediction_of(v) for v in row["predictions"] or [] if v["draft"]]
        for row in rows
    }


def caught_figures(tried: Sequence[tuple[Seed, Pass]]) -> Iterator[Figure]:
    """Give the catch rate and its verdict over all, by kind of error and by reviewer.

    Args:
        tried: Each seeded error with a pass over its task.
    """
    sliced: dict[tuple[str, str], list[bool]] = {("all", ""): []}
    for seed, one in tried:
        caught = not escaped(seed, one.labels)
        for key in (("all", ""), ("kind", seed.kind), ("reviewer", one.reviewer)):
            sliced.setdefault(key, []).append(caught)
    for (part, name), hits in sorted(sliced.items()):
        rate = catch_rate(sum(hits), len(hits), target=CATCH_TARGET)
        yield Figure("catch_rate", part, name, rate.rate, rate.verdict)


def _residual(store: Store, dataset: str, tried: Sequence[tuple[Seed, Pass]]) -> Iterator[Figure]:
    """Estimate what is left in accepted labels, by arm and by kind of error."""
    params = {"dataset": dataset}
    labels: Counter[str] = Counter()
    for row in run_query(store, "arm_effort", params).to_pylist():
        labels[row["arm"]] += row["labels_count"]
    fixed: Counter[tuple[str, str]] = Counter()
    for row in run_query(store, "effort_by_operation", params).to_pylist():
        for kind in KIND_OF_OP.get(row["op"], ()):
            fixed["kind", kind] += row["ops_count"]
            fixed["arm", row["arm"]] += row["ops_count"]
    hits = [(seed.kind, not escaped(seed, one.labels)) for seed, one in tried]
    parts = [("all", "")] + [("arm", arm) for arm in sorted(labels)] + [("kind", kind) for kind in KINDS]
    for part, name in parts:
        some = [caught for kind, caught in hits if part != "kind" or kind == name]
        count = fixed[part, name] if part != "all" else sum(n for (of, _), n in fixed.items() if of == "arm")
        accepted = labels[name] if part == "arm" else labels.total()
        left = residual_errors(count, sum(some), len(some), accepted)
        yield Figure("residual_errors", part, name, left.errors)
        yield Figure("residual_rate", part, name, left.rate)


def excess_figures(
    tried: Sequence[tuple[Seed, Pass]],
    by_arm: Mapping[str, Sequence[Pass]],
    drafted: Sequence[Pass],
    drafts: Mapping[_Key, Sequence[Prediction]],
) -> Iterator[Figure]:
    """Compare how often wrong drafts are followed by who saw them with how often by who did not.

    Known to be wrong are seeds, and drafts that the truth which came with the source contradicts.

    Args:
        tried: Each seeded error with a pass over its task.
        by_arm: Passes by arm: those of `blind`, and the truth as `import`.
        drafted: Passes over drafts as the models made them.
        drafts: Those drafts by batch id and image id.
    """
    truth = {one.image_id: one.labels for one in by_arm.get(_TRUTH, ())}
    wrong = {"seeded": list(tried), "natural": []}
    for one in drafted:
        for draft in drafts.get((one.batch_id, one.image_id), ()) if one.image_id in truth else ():
            claim = Seed("wrong_class", draft.prediction_id, None, draft)
            if not escaped(claim, truth[one.image_id]):
                wrong["natural"].append((claim, one))
    blind: dict[str, list[Pass]] = defaultdict(list)
    for one in by_arm.get(_BLIND, ()):
        blind[one.image_id].append(one)
    found: dict[str, list[WrongPrediction]] = {"": []}
    for source, claims in wrong.items():
        found[source] = []
        for seed, one in claims:
            # nobody is their own blind reviewer
            other = next((b for b in blind[one.image_id] if b.reviewer != one.reviewer), None)
            unseen = None if other is None else escaped(seed, other.labels)
            for name in (source, ""):
                found[name].append(WrongPrediction(one.image_id, escaped(seed, one.labels), unseen))
    for name, predictions in found.items():
        yield Figure("anchoring_excess", "source" if name else "all", name, anchoring_excess(predictions))
