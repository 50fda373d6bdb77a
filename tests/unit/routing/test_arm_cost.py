"""What an arm would cost with other images or another model."""

from __future__ import annotations

from decimal import Decimal

from labelop.routing.arm_cost import ArmCost, anew, reviewed_share, with_images

MINE = ArmCost(10.0, Decimal(5), Decimal(20), Decimal(30))
EXPECTED = (Decimal(3), Decimal(4))


def test_images_come_in_proportion() -> None:
    """Start and setup stay; machines and people go with the images."""
    after, basis = with_images(MINE, -5.0, ArmCost(), None, EXPECTED)
    assert (after.images, after.total) == (5.0, Decimal(5) + Decimal(10) + Decimal(15))
    assert basis == "record of this arm, in proportion"


def test_moved_images_are_reviewed_as_hard_as_they_are() -> None:
    """Where both arms had some images, review of the moved ones is the other arm's times the ratio."""
    other = ArmCost(10.0, Decimal(0), Decimal(0), Decimal(100))
    after, basis = with_images(MINE, 5.0, other, 0.5, EXPECTED)
    assert after.review == Decimal(30) + Decimal(10) * Decimal("2.5")
    assert basis == "record of this arm, review by images that both had"


def test_an_arm_nobody_has_reviewed_is_no_free_one() -> None:
    """Drafts that wait for people cost nothing yet; moved images take what they took under the other arm."""
    other = ArmCost(10.0, Decimal(0), Decimal(0), Decimal(50))
    after, basis = with_images(ArmCost(10.0, Decimal(5), Decimal(20)), 4.0, other, None, EXPECTED)
    assert (after.review, basis) == (Decimal(20), "record of this arm, review as hard as under the other arm")


def test_without_a_record_it_is_expected() -> None:
    """An arm that never ran, and one with another model, are machine and review of an image times the images."""
    assert with_images(ArmCost(), 4.0, MINE, None, EXPECTED) == anew(ArmCost(), 4.0, EXPECTED, "this arm")
    after, basis = anew(MINE, 0.0, EXPECTED, "its models")
    assert (after.images, after.total, basis) == (10.0, Decimal(70), "expected, no record of its models")


def test_an_arm_without_images_costs_nothing() -> None:
    """Not even its start."""
    assert with_images(MINE, -10.0, ArmCost(), None, EXPECTED) == (ArmCost(), "nothing runs here")


def test_people_came_as_far_as_they_did_in_all_arms() -> None:
    """Without a record nothing is missing, so that an expected cost is a whole one."""
    assert reviewed_share([ArmCost(10.0, reviewed=4), ArmCost(6.0, reviewed=4)]) == 0.5
    assert reviewed_share([ArmCost()]) == 1.0
