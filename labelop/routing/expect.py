"""What an image is expected to cost in an arm: machine plus review, from the best evidence that every arm has.

Knows no rule. Evidence comes from earlier versions of the same dataset only: how long people correct depends on the
images, and a night's decisions must not depend on which dataset happened to finish first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from labelop.catalog.cards import ModelCard
from labelop.cost.formulas import cloud_parts, local_parts, planned_seconds, review_part, total
from labelop.cost.prices import PriceBook
from labelop.effort.parameters import DEFAULTS
from labelop.routing.policy import Arm

REVIEW_METRIC = "model_review_seconds_per_image"
"""Figure of a model card: review seconds per image by the edit script."""

PILOTED = "measured in a pilot"
MEASURED, CARD, PRIOR = "measured on earlier versions", "from the model card", "assumed from its AP50"
"""Sources of review seconds, best first."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What earlier versions of the dataset showed about one arm and model."""

    machine_seconds: float | None
    """Machine seconds per image by the clock, None when never run."""
    review_seconds: float | None
    """Review seconds per image, None when never reviewed."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be prelabelled."""

    dataset: str
    """Dataset name."""
    images_count: int
    """Images of the dataset version, at least 1; an arm's start and setup are shared by all of them."""
    size_bytes: int
    """Bytes of all images together."""
    labels_per_image: float
    """Labels an image has in the mean."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Expected cost of one image in one arm."""

    machine_cost: float
    """Machine side per image, in the book's currency."""
    review_cost: float
    """People's paid time per image, in the book's currency."""
    review_seconds: float
    """Active seconds of review per image."""
    source: str
    """Where the review seconds come from."""

    @property
    def cost(self) -> float:
        """Machine and review per image, rounded to the digits money is stored with."""
        return round(self.machine_cost + self.review_cost, 6)


def expect(
    arms: Iterable[Arm],
    work: Workload,
    *,
    catalog: Mapping[str, ModelCard],
    evidence: Mapping[tuple[str, str], Evidence],
    book: PriceBook,
    piloted: Mapping[str, float | None] | None = None,
) -> dict[str, Expectation]:
    """Expect the cost of each arm.

    Args:
        arms: Arms no rule refuses.
        work: What is to be done.
        catalog: Model cards by id.
        evidence: What was seen, by arm and detector.
        book: Prices.
        piloted: Review seconds per image by arm, of a pilot that is valid.

    Returns:
        Expectation by arm. Review seconds of all arms have the same kind of source: a measured arm and a guessed one
        cannot be compared.
    """
    wanted = list(arms)
    by_source: dict[str, dict[str, float | None]] = {
        PILOTED: {a.arm: (piloted or {}).get(a.arm) for a in wanted},
        MEASURED: {a.arm: _measured(evidence, a) for a in wanted},
        CARD: {a.arm: _figure(catalog[a.detector], REVIEW_METRIC, work.dataset) for a in wanted},
        PRIOR: {a.arm: prior_seconds(_figure(catalog[a.detector], "ap50", work.dataset), work) for a in wanted},
    }
    source = next(s for s, found in by_source.items() if all(value is not None for value in found.values()))
    result = {}
    for arm in wanted:
        seen = evidence.get((arm.arm, arm.detector))
        per_image = seen.machine_seconds if seen and seen.machine_seconds is not None else arm.seconds_per_image
        seconds = by_source[source][arm.arm]
        assert seconds is not None
        result[arm.arm] = Expectation(
            machine_cost=_machine(book, arm, work, per_image) / work.images_count,
            review_cost=review_part(book, seconds).amount,
            review_seconds=seconds,
            source=source,
        )
    return result


def prior_seconds(ap50: float | None, work: Workload) -> float:
    """Guess review seconds per image from a model's AP50, or without any draft when it has none.

    Of the labels a share of AP50 is taken as drafted well and only confirmed, the rest as drawn by hand: t_base +
    n * (AP50 * t_accept + (1 - AP50) * t_add), seconds of `measures.md` section 9.

    Args:
        ap50: Average precision at IoU 0.5, 0..1.
        work: Tells labels per image.
    """
    good = ap50 or 0.0
    each = good * DEFAULTS.accept_box_seconds + (1.0 - good) * DEFAULTS.add_box_seconds
    return DEFAULTS.base_box_seconds + work.labels_per_image * each


def _machine(book: PriceBook, arm: Arm, work: Workload, seconds_per_image: float) -> float:
    seconds = planned_seconds(book, arm.placement, work.images_count, seconds_per_image)
    if arm.placement == "onprem":
        return total(local_parts(book, seconds))
    return total(cloud_parts(book, [seconds], images_count=work.images_count, sent_bytes=work.size_bytes))


def _measured(evidence: Mapping[tuple[str, str], Evidence], arm: Arm) -> float | None:
    seen = evidence.get((arm.arm, arm.detector))
    return seen.review_seconds if seen else None


def _figure(card: ModelCard, metric: str, dataset: str) -> float | None:
    own = card.quality_of(metric, dataset=dataset, split="val")
    return own if own is not None else card.quality_of(metric, split="val")
