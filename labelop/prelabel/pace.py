"""How long a batch will probably take: by attempts that are booked, else by a profile of this machine.

Attempts count more: they ran on the pool's own machines and hold decoding and waiting, where a profile is one machine's
forward pass. Sizes shards and nothing else: no prediction enters an id. Knows no orchestrator.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import choose_engine
from labelop.catalog.profile import host_facts, newest_figures
from labelop.engines.prelabeller import ArmModels
from labelop.ids import canonical_json
from labelop.landing.filters import equal
from labelop.landing.store import Store, read, read_rows
from labelop.prelabel.assign import ONPREM
from labelop.prelabel.plan import PlannedBatch, models_for
from labelop.settings import Settings

USAGE, PROFILE = "usage", "profile"

_Kind: TypeAlias = tuple[str, str, str, str]
"""Dataset, placement, digest of the detector, and what else changes predictions."""
_NEWEST = 32
"""Attempts that count: older ones may be of another machine or release."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What one kind of work takes."""

    image_seconds: float
    """Seconds of one image by the clock."""
    source: str
    """usage | profile."""


def paces(
    store: Store, batches: Sequence[PlannedBatch], arms: Mapping[str, ArmModels], settings: Settings
) -> dict[str, Pace]:
    """Predict the pace of each batch of a landed plan.

    Args:
        store: Where `batches`, `usage`, `prelabels` and `profiles` are.
        batches: Batches to predict.
        arms: Models by arm name.
        settings: Which engine would run here, with how many threads.

    Returns:
        Pace by batch id; a batch of which nothing was measured is missing.
    """
    columns = ["batch_id", "dataset", "placement", "model_digest", "parameters"]
    kinds = {row["batch_id"]: _kind(row) for row in read_rows(store, "batches", columns=columns)}
    wanted = {kinds[batch.batch_id] for batch in batches}
    seen = _seen_counts(store, {dataset for dataset, *_ in wanted})
    attempts: dict[_Kind, list[tuple[int, float]]] = defaultdict(list)
    columns = ["batch_id", "wall_seconds", "started_at"]
    rows = read_rows(store, "usage", columns=columns, filters=equal(outcome="finished"))
    for row in sorted(rows, key=lambda row: row["started_at"]):
        kind, count = kinds.get(row["batch_id"]), seen.get(row["batch_id"])
        if kind is not None and count:
            attempts[kind].append((count, row["wall_seconds"]))
    booked = {kind: _mean(done[-_NEWEST:]) for kind, done in attempts.items()}
    profiled: dict[tuple[str, str], float | None] = {}
    found: dict[str, Pace] = {}
    for batch in batches:
        if (seconds := booked.get(kinds[batch.batch_id])) is not None:
            found[batch.batch_id] = Pace(seconds, USAGE)
        elif batch.placement == ONPREM:
            key = (batch.arm, batch.role)
            if key not in profiled:
                profiled[key] = _profiled(store, models_for(arms[batch.arm], batch.role).cards, settings)
            if (seconds := profiled[key]) is not None:
                found[batch.batch_id] = Pace(seconds, PROFILE)
    return found


def _kind(row: Mapping[str, str]) -> _Kind:
    """Name the work that takes equally long: the dataset too, since its pictures have their own sizes and objects."""
    said = json.loads(row["parameters"])
    said.pop("forms", None)  # another region to paint over takes no longer
    return row["dataset"], row["placement"], row["model_digest"], canonical_json(said)


def _seen_counts(store: Store, datasets: Collection[str]) -> dict[str, int]:
    """Count the images of each landed batch that models really saw: one that was withheld takes no time."""
    filters = pc.field("dataset").isin(pa.array(datasets, pa.string())) & pc.field("outcome").isin(["ok", "empty"])
    counted = read(store, "prelabels", columns=["batch_id"], filters=filters)["batch_id"].value_counts()
    return {one["values"]: one["counts"] for one in counted.to_pylist()}


def _mean(done: Sequence[tuple[int, float]]) -> float:
    return sum(seconds for _, seconds in done) / sum(images for images, _ in done)


def _profiled(store: Store, cards: Sequence[ModelCard], settings: Settings) -> float | None:
    """Add up what the models take with the engines that would run here; None when one is unknown."""
    total = 0.0
    for card in cards:
        choice = choose_engine(card, settings)
        measured = [
            row["image_seconds"]
            for row in newest_figures(store, card.digest, host_facts().host_id, settings.engine_threads)
            if row["image_seconds"] is not None
            and (row["engine"], row["precision"], row["device"], row["compiled"])
            == (choice.engine, choice.precision, choice.device, choice.compiled)
        ]
        if not measured:
            return None
        total += min(measured)
    return total
