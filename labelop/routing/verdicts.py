"""What the newest valid pilots of a dataset say about its two arms; routing goes by them before it guesses.

Knows the table `pilot_contrasts`, no statistics. A verdict is valid while both arms still have the models it was about.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labelop.catalog.cards import ModelCard
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.routing.policy import RoutingPolicy
from labelop.routing.strata import ALL_STRATA, split_of

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
    stratum: str = ALL_STRATA
    """Images it is about."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What counts for the images of a dataset."""

    pooled: PilotVerdict | None = None
    """About all images; None where no pilot is valid."""
    by_stratum: Mapping[str, PilotVerdict] = field(default_factory=dict)
    """Of strata that have a verdict of their own, all of one split."""

    @property
    def contrast_ids(self) -> list[str]:
        """Name the verdicts."""
        found = [self.by_stratum[name] for name in sorted(self.by_stratum)]
        return [one.contrast_id for one in (self.pooled, *found) if one is not None]

    def about(self, stratum: str | None) -> PilotVerdict | None:
        """Give what counts for a stratum: its own verdict, or that about all images where it has none."""
        return self.by_stratum.get(stratum or ALL_STRATA, self.pooled)


def verdicts_about(
    store: Store,
    dataset: str,
    ontology: str,
    routing: RoutingPolicy,
    catalog: Mapping[str, ModelCard],
    *,
    before: dt.datetime | None = None,
) -> Verdicts:
    """Find the verdicts about a policy's arms; one of simulated reviews counts only where the cloud is played as well.

    Args:
        store: Where the tables are.
        dataset: Dataset name.
        ontology: Its class set.
        routing: Placements and arms.
        catalog: Model cards by id.
        before: Time by which a verdict was known; now when None.
    """
    models = {
        name: catalog[arm.detector].digest for name, arm in routing.arms_of(ontology).items() if arm.detector in catalog
    }
    emulated = any(placement.emulated for placement in routing.placements.values())
    return newest_verdicts(store, dataset, models, with_simulated=emulated, before=before)


def newest_verdicts(
    store: Store, dataset: str, models: Mapping[str, str], *, with_simulated: bool, before: dt.datetime | None = None
) -> Verdicts:
    """Find the verdicts that are valid now.

    Args:
        store: Where the tables are.
        dataset: Dataset name; a verdict about an earlier version counts.
        models: Digest of each arm's detector.
        with_simulated: Whether a verdict from simulated reviews or an emulated placement counts: where everything is.
        before: Time by which a verdict was known; now when None.

    Returns:
        The newest verdict of each stratum and over all that was not exploratory, blocked or running, about these very
        models, of a pilot that nobody stopped. Strata are those of the split that was judged last: an image is in one.
    """
    ends = read_rows(store, "pilot_ends", filters=equal(dataset=dataset, kind="stopped"))
    stopped = {row["pilot_id"] for row in ends if before is None or row["landed_at"] < before}
    rows = [
        row
        for row in read_rows(store, "pilot_contrasts", filters=equal(dataset=dataset))
        if row["verdict"] in SETTLED
        and not row["exploratory"]
        and row["pilot_id"] not in stopped
        and (before is None or row["landed_at"] < before)
        and (with_simulated or not row["simulated"])
        and models.get(row["arm"]) == row["model_digest"]
        and models.get(row["reference"]) == row["reference_digest"]
    ]
    rows.sort(key=lambda one: (one["landed_at"], one["contrast_id"]))
    newest = {row["stratum"]: _verdict(row) for row in rows}
    splits = [found for found in (split_of(row["stratum"]) for row in rows) if found is not None]
    own = {name: one for name, one in newest.items() if splits and split_of(name) == splits[-1]}
    return Verdicts(newest.get(ALL_STRATA), own)


def _verdict(row: Mapping[str, Any]) -> PilotVerdict:
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
        stratum=row["stratum"],
    )
