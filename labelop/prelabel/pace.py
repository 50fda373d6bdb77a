"""How long a batch will probably take: by attempts that are booked, else by a profile of this machine.

Attempts count more: they ran on the pool's own machines and hold decoding and waiting, where a profile is one machine's
forward pass. Sizes shards and nothing else: no prediction enters an id. Knows no orchestrator.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import choose_engine
from labelop.catalog.profile import host_facts, newest_profile
from labelop.engines.prelabeller import ArmModels
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.prelabel.plan import ONPREM, PlannedBatch, models_for
from labelop.settings import Settings

USAGE, PROFILE = "usage", "profile"

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
        store: Where `batches`, `usage` and `profiles` are.
        batches: Batches to predict.
        arms: Models by arm name.
        settings: Which engine would run here, with how many threads.

    Returns:
        Pace by batch id; a batch of which nothing was measured is missing.
    """
    columns = ["batch_id", "placement", "model_digest", "parameters"]
    kinds = {
        row["batch_id"]: (row["placement"], row["model_digest"], row["parameters"])
        for row in read_rows(store, "batches", columns=columns)
    }
    attempts: dict[tuple[str, str, str], list[tuple[int, float]]] = defaultdict(list)
    columns = ["batch_id", "images_count", "wall_seconds", "started_at"]
    rows = read_rows(store, "usage", columns=columns, filters=equal(outcome="finished"))
    for row in sorted(rows, key=lambda row: row["started_at"]):
        if row["batch_id"] in kinds and row["images_count"]:
            attempts[kinds[row["batch_id"]]].append((row["images_count"], row["wall_seconds"]))
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


def _mean(done: Sequence[tuple[int, float]]) -> float:
    return sum(seconds for _, seconds in done) / sum(images for images, _ in done)


def _profiled(store: Store, cards: Sequence[ModelCard], settings: Settings) -> float | None:
    """Add up what the models take with the engines that would run here; None when one is unknown."""
    total = 0.0
    for card in cards:
        choice = choose_engine(card, settings)
        measured = [
            row["image_seconds"]
            for row in newest_profile(store, card.digest, host_facts().host_id, settings.engine_threads)
            if row["image_seconds"] is not None
            and (row["engine"], row["precision"], row["device"], row["compiled"])
            == (choice.engine, choice.precision, choice.device, choice.compiled)
        ]
        if not measured:
            return None
        total += min(measured)
    return total
