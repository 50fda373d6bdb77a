"""What an arm cost, and what it would with other images or another model.

Knows what is on record of an arm and what is expected of it; must not know why its images or its model change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from labelop.views import Session


@dataclass(frozen=True, slots=True)
class ArmCost:
    """What an arm cost on one dataset version, or would."""

    images: float = 0.0
    """Images it did."""
    fixed: Decimal = Decimal(0)
    """Money for its start and setup, whatever the number of images."""
    growing: Decimal = Decimal(0)
    """Money for machines, which goes with the images."""
    review: Decimal = Decimal(0)
    """Money for people's time, as far as they came."""
    reviewed: int = 0
    """Images that people reviewed."""

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.fixed + self.growing + self.review


def costs_by_arm(session: Session) -> dict[tuple[str, str, str], ArmCost]:
    """Read what each arm cost of each dataset version: what does not grow with images, what does, and review."""
    found = session.sql("""
        SELECT
            dataset, dataset_version, arm, any_value(images_count), any_value(reviewed_count),
            coalesce(sum(amount) FILTER (once), 0),
            coalesce(sum(amount) FILTER (NOT once AND category <> 'review'), 0),
            coalesce(sum(amount) FILTER (category = 'review'), 0)
        FROM (
            SELECT *, category = 'setup' OR item IN ('work blocked', 'start, minimum, rounding') AS once
            FROM v_cost_line
        )
        LEFT JOIN v_arm_count USING (dataset, dataset_version, arm)
        WHERE purpose = 'work'
        GROUP BY dataset, dataset_version, arm
    """).fetchall()
    return {
        (dataset, version, arm): ArmCost(float(images or 0), fixed, growing, review, reviewed or 0)
        for dataset, version, arm, images, reviewed, fixed, growing, review in found
    }


def reviewed_share(arms: Iterable[ArmCost]) -> float:
    """Say how far people came with the images on record, 0..1; all of them where there is none."""
    found = list(arms)
    images = sum(arm.images for arm in found)
    return min(1.0, sum(arm.reviewed for arm in found) / images) if images else 1.0


def with_images(
    mine: ArmCost, moved: float, other: ArmCost, ratio: float | None, expected: tuple[Decimal, Decimal]
) -> tuple[ArmCost, str]:
    """Cost an arm with more or fewer images.

    Args:
        mine: What is on record of it.
        moved: By how many images it gets more, or fewer where negative.
        other: What is on record of the arm that they come from.
        ratio: Review seconds under this arm / under the other, of images that both had; None where none did.
        expected: Money of one image, machine and review as far as people came, for an arm without a record.

    Returns:
        Its cost, and what that rests on.
    """
    images = max(0.0, mine.images + moved)
    if round(images) == 0 or not mine.images:
        return anew(mine, moved, expected, "this arm")
    share = Decimal(str(images / mine.images))
    review, basis = mine.review * share, "record of this arm, in proportion"
    if moved > 0 and other.images and (ratio is not None or not mine.review):
        # how hard the moved images are is known from the arm that had them, as far as people came there
        review = mine.review + other.review / Decimal(str(other.images)) * Decimal(str((ratio or 1.0) * moved))
        seen = "by images that both had" if ratio is not None else "as hard as under the other arm"
        basis = f"record of this arm, review {seen}"
    return ArmCost(images, mine.fixed, mine.growing * share, review, mine.reviewed), basis


def anew(mine: ArmCost, moved: float, expected: tuple[Decimal, Decimal], what: str) -> tuple[ArmCost, str]:
    """Cost an arm of which the record says nothing; `what` has none. See `with_images`."""
    images = max(0.0, mine.images + moved)
    if round(images) == 0:
        return ArmCost(), "nothing runs here"
    machine, review = (amount * Decimal(str(images)) for amount in expected)
    return ArmCost(images, Decimal(0), machine, review), f"expected, no record of {what}"
