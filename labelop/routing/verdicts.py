"""What the newest valid pilot of a dataset says about its two arms; routing goes by it before it guesses.

Knows the table `pilot_contrasts`, no statistics. A verdict is valid while both arms still have the models it was about.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from labelop.catalog.cards import ModelCard
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.routing.policy import RoutingPolicy

SUPERIOR = "superior"
SETTLED = frozenset({SUPERIOR, "equivalent", "inconclusive"})
"""Verdicts that something follows from."""


@dataclass(frozen=True, slots=True)
class PilotVerdict:
    """A verdict about two arms."""

    contrast_id: str
    """Row of `pilot_contrasts` with all its figures."""
    verdict: str
    """superior | equivalent | inconclusive."""
    winner: str | None
    """Arm that takes less time, of a superior one."""
    arms: tuple[str, str]
    """Arm and reference."""
    ratio: float | None
    """Seconds under the arm / under the reference."""
    ratio_low: float | None
    """Lower end of its interval."""
    ratio_high: float | None
    """Upper end of its interval."""
    seconds: Mapping[str, float | None]
    """Mean review seconds per image by arm."""
    sentence: str
    """What a person reads."""


def verdict_about(
    store: Store,
    dataset: str,
    ontology: str,
    routing: RoutingPolicy,
    catalog: Mapping[str, ModelCard],
    *,
    before: dt.datetime | None = None,
) -> PilotVerdict | None:
    """Find the verdict about a policy's arms; one of simulated reviews counts only where the cloud is played as well.

    Args:
        store: Where the tables are.
        dataset: Dataset name.
        ontology: Its class set.
        routing: Placements and arms.
        catalog: Model cards by id.
        before: Time by which the verdict was known; now when None.
    """
    models = {
        name: catalog[arm.detector].digest for name, arm in routing.arms_of(ontology).items() if arm.detector in catalog
    }
    emulated = any(placement.emulated for placement in routing.placements.values())
    return newest_verdict(store, dataset, models, with_simulated=emulated, before=before)


def newest_verdict(
    store: Store, dataset: str, models: Mapping[str, str], *, with_simulated: bool, before: dt.datetime | None = None
) -> PilotVerdict | None:
    """Find the verdict that is valid now.

    Args:
        store: Where the tables are.
        dataset: Dataset name; a verdict about an earlier version counts.
        models: Digest of each arm's detector.
        with_simulated: Whether a verdict from simulated reviews or an emulated placement counts: where everything is.
        before: Time by which the verdict was known; now when None.

    Returns:
        The newest verdict over all strata that was not exploratory, blocked or running, about these very models, of a
        pilot that nobody stopped.
    """
    ends = read_rows(store, "pilot_ends", filters=equal(dataset=dataset, kind="stopped"))
    stopped = {row["pilot_id"] for row in ends if before is None or row["landed_at"] < before}
    rows = [
        row
        for row in read_rows(store, "pilot_contrasts", filters=equal(dataset=dataset, stratum="all"))
        if row["verdict"] in SETTLED
        and not row["exploratory"]
        and row["pilot_id"] not in stopped
        and (before is None or row["landed_at"] < before)
        and (with_simulated or not row["simulated"])
        and models.get(row["arm"]) == row["model_digest"]
        and models.get(row["reference"]) == row["reference_digest"]
    ]
    if not rows:
        return None
    row = max(rows, key=lambda one: (one["landed_at"], one["contrast_id"]))
    return PilotVerdict(
        contrast_id=row["contrast_id"],
        verdict=row["verdict"],
        winner=row["winner"],
        arms=(row["arm"], row["reference"]),
        ratio=row["ratio"],
        ratio_low=row["ratio_low"],
        ratio_high=row["ratio_high"],
        seconds={row["arm"]: row["arm_seconds"], row["reference"]: row["reference_seconds"]},
        sentence=row["sentence"],
    )
