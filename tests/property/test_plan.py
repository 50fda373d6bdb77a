"""Laws of planning: every image once per arm, nothing beyond what is allowed, shards that lose no batch."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from labelop import ids
from labelop.prelabel.assign import assign, in_slice
from labelop.prelabel.pace import Pace
from labelop.prelabel.plan import PlannedBatch
from labelop.prelabel.ranges import split_shards

LEVELS = ("public", "internal", "confidential", "restricted")
KEYS = st.integers(min_value=0, max_value=10_000).map(lambda n: ids.sha256_hex(str(n).encode()))
IMAGES = st.dictionaries(KEYS, st.sampled_from(LEVELS), max_size=40)
SHARES = st.floats(min_value=0, max_value=1)


def decisions(cloud_up_to: int, chosen: str) -> list[dict[str, Any]]:
    """Allow the cloud arm for the lowest levels and choose an arm where it is allowed."""
    rows = []
    for number, level in enumerate(LEVELS):
        cloud = number < cloud_up_to
        pick = chosen if cloud else "local"
        for arm, placement, allowed in (("local", "onprem", True), ("cloud", "cloud", cloud)):
            role = "chosen" if arm == pick else "compare"
            rows.append({"level": level, "arm": arm, "placement": placement, "allowed": allowed, "role": role})
    return rows


def planned(positions: list[tuple[int, str]]) -> list[PlannedBatch]:
    """Make batches at positions and placements."""
    return [PlannedBatch(f"b-{n}", "local", "chosen", where, "m", n, ("a",)) for n, where in positions]


@given(IMAGES, st.integers(min_value=0, max_value=3), st.sampled_from(["local", "cloud"]), SHARES)
def test_every_image_is_chosen_once_and_in_order(images: dict[str, str], up_to: int, chosen: str, share: float) -> None:
    """Each image has exactly one chosen arm, and every list is sorted without repeats."""
    given_arms = assign(images, decisions(up_to, chosen), frozenset(), share, ["cloud", "local"])
    picked = [key for assignment, keys in given_arms.items() if assignment.role == "chosen" for key in keys]
    assert sorted(picked) == sorted(images)
    assert all(keys == sorted(set(keys)) for keys in given_arms.values())


@given(IMAGES, st.integers(min_value=0, max_value=3), SHARES)
def test_no_image_is_planned_where_its_level_forbids(images: dict[str, str], up_to: int, share: float) -> None:
    """Only allowed levels are in the cloud, whatever is compared or evaluated."""
    given_arms = assign(images, decisions(up_to, "cloud"), frozenset(images), share, ["cloud", "local"])
    for assignment, keys in given_arms.items():
        if assignment.placement == "cloud":
            assert {images[key] for key in keys} <= set(LEVELS[:up_to])
        if assignment.role == "evaluate":
            assert assignment.placement == "onprem"


@given(IMAGES, st.integers(min_value=0, max_value=3), SHARES)
def test_an_arm_never_does_an_image_twice(images: dict[str, str], up_to: int, share: float) -> None:
    """Chosen, compared and evaluated never name the same arm for one image, and held-out images get every arm."""
    given_arms = assign(images, decisions(up_to, "local"), frozenset(images), share, ["cloud", "local"])
    runs = Counter((key, assignment.arm) for assignment, keys in given_arms.items() for key in keys)
    assert set(runs) == {(key, arm) for key in images for arm in ("local", "cloud")}
    assert set(runs.values()) <= {1}


@given(KEYS, SHARES, SHARES)
def test_a_larger_share_holds_a_smaller_one(key: str, one: float, other: float) -> None:
    """Growing the comparison never drops an image that was compared before."""
    if in_slice(key, min(one, other)):
        assert in_slice(key, max(one, other))


@given(
    st.lists(st.tuples(st.integers(0, 500), st.sampled_from(["onprem", "cloud"])), unique_by=lambda t: t[0]),
    st.integers(min_value=1, max_value=9),
)
def test_shards_cover_waiting_batches_once(positions: list[tuple[int, str]], size: int) -> None:
    """Every waiting batch is in exactly one range of its placement, at most `size` of them in each."""
    waiting = planned(positions)
    shards = split_shards("plan-1", waiting, size)
    held = Counter()  # type: Counter[str]
    for shard in shards:
        mine = [b for b in waiting if b.placement == shard.placement and shard.first <= b.position <= shard.last]
        assert 1 <= len(mine) <= size
        held.update(b.batch_id for b in mine)
    assert held == Counter(b.batch_id for b in waiting)


@given(
    st.lists(st.floats(min_value=1e-6, max_value=1e4), min_size=1, max_size=40),
    st.integers(min_value=1, max_value=12),
)
def test_every_worker_gets_a_shard_while_there_are_batches(seconds: list[float], least: int) -> None:
    """However long single batches are, there are as many shards as workers or as batches; none of several is too long.

    Fails where a long batch takes the share of the shards that are still wanted.
    """
    waiting = planned([(n, "onprem") for n in range(len(seconds))])
    known = {batch.batch_id: Pace(one, "usage") for batch, one in zip(waiting, seconds, strict=True)}
    shards = split_shards("plan-1", waiting, 16, paces=known, shard_seconds=60.0, least=least)
    assert len(shards) >= min(least, len(waiting))
    assert [n for shard in shards for n in range(shard.first, shard.last + 1)] == list(range(len(waiting)))
    for shard in shards:
        assert shard.first == shard.last or sum(seconds[shard.first : shard.last + 1]) <= 60.0 * (1 + 1e-6)
