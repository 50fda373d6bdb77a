"""Laws of the gap rule, for any events of a person."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelop.effort import active_seconds
from labelop.effort.parameters import DEFAULTS
from labelop.review.worked import gaps_by_image, seconds_of

CAP = DEFAULTS.gap_cap_seconds
START = dt.datetime(2026, 11, 20, 9, tzinfo=dt.UTC)
TIMES = st.lists(st.integers(0, 2000).map(lambda tenths: tenths / 2), max_size=12)
EVENTS = st.lists(st.tuples(st.integers(0, 1500), st.sampled_from("abc")), max_size=12)


def shared_out(events: Iterable[tuple[dt.datetime, str]]) -> dict[str, float]:
    """Give the active seconds of each image."""
    return {image_id: seconds_of(gaps) for image_id, gaps in gaps_by_image(events).items()}


@given(TIMES, st.randoms(use_true_random=False))
def test_order_and_repeats_of_events_do_not_matter(times: list[float], random: object) -> None:
    """Events that come shuffled, or twice, give the same seconds."""
    shuffled = times * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert active_seconds(shuffled) == active_seconds(times)


@given(TIMES)
def test_active_seconds_are_what_passed_without_pauses(times: list[float]) -> None:
    """They are all of the time between first and last event but for gaps of the cap or longer."""
    ordered = sorted(times)
    pauses = [b - a for a, b in pairwise(ordered) if b - a >= CAP]
    passed = ordered[-1] - ordered[0] if ordered else 0.0
    assert active_seconds(times) == pytest.approx(passed - sum(pauses))


@given(TIMES, TIMES)
def test_work_before_and_after_a_pause_adds_up(before: list[float], after: list[float]) -> None:
    """What is done after a pause counts by itself."""
    later = [time + max(before, default=0.0) + CAP for time in after]
    assert active_seconds([*before, *later]) == pytest.approx(active_seconds(before) + active_seconds(after))


@given(EVENTS)
def test_no_second_is_counted_for_two_images(events: list[tuple[int, str]]) -> None:
    """However images take turns, their seconds together are no more than the person's, and each is above 0."""
    stamped = [(START + dt.timedelta(seconds=seconds), name) for seconds, name in events]
    shared = shared_out(stamped)
    assert sum(shared.values()) <= active_seconds(float(seconds) for seconds, _ in events) + 1e-6
    assert all(seconds > 0 for seconds in shared.values())
    assert shared_out(stamped[::-1]) == shared


@given(TIMES)
def test_one_image_has_all_of_its_seconds(times: list[float]) -> None:
    """Where a person works on one image alone it has the seconds of the rule, and none, not 0, without a short gap."""
    shared = shared_out((START + dt.timedelta(seconds=time), "a") for time in times)
    assert shared.get("a", 0.0) == pytest.approx(active_seconds(times))
