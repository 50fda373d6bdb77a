"""Who reviews what in a pilot: strata, sample, Latin square and the protocol that is declared before."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import replace

import pytest

from labelop.errors import EmptyArmError, PilotError
from labelop.pilot.design import Candidate, Sample, assign, check_once, draw_sample, stratify
from labelop.pilot.protocol import is_exploratory
from tests.unit.pilot.pilots import ARMS, plan, protocol


def candidates(count: int = 600) -> list[Candidate]:
    """Draw images of two sources, every tenth with a rare class."""
    return [
        Candidate(f"i{n:04}", (n * 7) % 30, 1000 + n % 5, ("north", "south")[n % 3 == 0], n % 10 == 0)
        for n in range(count)
    ]


def test_nobody_sees_an_image_twice_and_every_image_is_seen_under_every_arm() -> None:
    """Each image has one review per arm by different people, whatever the number of reviewers."""
    for people in (("a", "b", "c"), ("a", "b", "c", "d", "e", "f", "g")):
        made = plan(protocol(reviewers=people))
        assert max(Counter((one.reviewer, one.image_id) for one in made).values()) == 1
        assert Counter((one.image_id, one.arm) for one in made) == {
            (f"i{n:04}", arm): 1 for n in range(120) for arm in ARMS
        }


def test_arms_are_balanced_over_reviewers_periods_and_strata() -> None:
    """Six reviewers get each arm equally often in each period's block, and so does each stratum."""
    made = plan(protocol(reviewers=tuple("abcdef")))
    assert set(Counter((one.reviewer, one.arm) for one in made).values()) == {20}
    assert set(Counter((one.period, one.arm) for one in made).values()) == {40}
    assert set(Counter((one.stratum, one.arm, one.period) for one in made).values()) == {20}
    assert len({one.arm for one in made if one.reviewer == "a" and one.period == 0}) == 1


def test_two_reviewers_cross_two_arms_and_review_blind_images_apart() -> None:
    """With three arms two people would see an image twice: the blind arm gets a third of its own."""
    made = plan(protocol(reviewers=("a", "b")))
    check_once((one.reviewer, one.image_id) for one in made)
    arms = Counter(one.arm for one in made)
    assert arms == {"local": 80, "cloud": 80, "blind": 40}
    assert protocol(reviewers=("a", "b")).pairs_count == 80
    assert not {o.image_id for o in made if o.arm == "blind"} & {o.image_id for o in made if o.arm == "local"}


@pytest.mark.parametrize(
    ("arms", "people", "said"),
    [
        (("local", "cloud"), ("a",), "at least 2 reviewers, got 1"),
        (("local", "cloud", "other"), ("a", "b"), "at least 3 reviewers, got 2"),
        (("local",), ("a", "b"), "compares nothing"),
        (("local", "local"), ("a", "b"), "compares nothing"),
    ],
)
def test_a_design_that_cannot_be_balanced_is_refused(arms: tuple[str, ...], people: tuple[str, ...], said: str) -> None:
    """One reviewer, too few of them, one arm or one twice: an error that says what is needed."""
    with pytest.raises(PilotError, match=said):
        assign(Sample({f"i{n}": "all" for n in range(30)}, {"all": 1.0}), arms, people, 0)


def test_an_arm_without_images_is_refused() -> None:
    """Fewer images than arms would leave an arm empty."""
    with pytest.raises(EmptyArmError, match="an arm would have none"):
        assign(Sample({"i1": "all", "i2": "all"}, {"all": 1.0}), ARMS, ("a", "b", "c"), 0)
    with pytest.raises(PilotError, match=r"0 candidates.*nobody has reviewed yet"):
        draw_sample({}, 120, 0)


def test_strata_have_twenty_images_each_and_keep_their_weights() -> None:
    """A sample of 120 has at most six strata of at least twenty, and weights that sum to one."""
    strata = stratify(candidates(), 120)
    sample = draw_sample(strata, 120, 3)
    sizes = Counter(sample.stratum_of.values())
    assert 2 <= len(sizes) <= 6
    assert min(sizes.values()) >= 20
    assert sum(sizes.values()) == 120
    assert sum(sample.weights.values()) == pytest.approx(1.0)
    assert sample.weights == pytest.approx({name: count / 600 for name, count in Counter(strata.values()).items()})


def test_the_order_of_candidates_never_matters() -> None:
    """The same images in another order give the same sample and the same assignments."""
    forwards, backwards = (
        draw_sample(stratify(given, 60), 60, 5) for given in (candidates(), list(reversed(candidates())))
    )
    assert dict(forwards.stratum_of) == dict(backwards.stratum_of)
    assert assign(forwards, ARMS, "abc", 5) == assign(backwards, ARMS, "cba", 5)


def test_a_second_look_is_an_error() -> None:
    """A reviewer who saw one image under both arms is named."""
    with pytest.raises(PilotError, match="Reviewer ann reviewed image i1 more than once"):
        check_once([("ann", "i1"), ("ben", "i1"), ("ann", "i1")])


def test_a_protocol_is_its_content() -> None:
    """Any change of a declared number changes the digest and keeps the pilot; nonsense is refused."""
    made = protocol()
    assert made.digest == protocol().digest
    assert replace(made, time_margin=0.2).digest != made.digest
    assert replace(made, time_margin=0.2).pilot_id == made.pilot_id
    for wrong in ({"reference": "blind"}, {"alpha": 0.0}, {"looks": 3}, {"models": ("small",)}):
        with pytest.raises(PilotError):
            replace(made, **wrong)


def test_a_late_change_makes_a_pilot_exploratory() -> None:
    """A protocol registered after the first review was made with a look at the data."""
    day = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    later = day + dt.timedelta(days=2)
    assert not is_exploratory([day], later)
    assert not is_exploratory([day, later], None)
    assert is_exploratory([day, later], day + dt.timedelta(days=1))
    assert is_exploratory([later], day)
