"""Laws of routing: more sensitive never means further away, and every option has its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelop.routing.expect import Evidence
from labelop.routing.policy import RoutingPolicy
from labelop.sensitivity.levels import LEVEL_TEXTS
from tests.unit.routing.routing_values import catalog, cost_of, decided, routing

SECONDS = st.none() | st.floats(0.0, 1e4)
EVIDENCE = st.builds(Evidence, machine_seconds=SECONDS, review_seconds=SECONDS)
CARDS = st.sets(st.sampled_from(sorted(catalog())))
PLACES = st.sampled_from([("onprem",), ("cloud",), ("onprem", "cloud"), ()])


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> RoutingPolicy:
    """The sample's routing policy."""
    folder: Path = tmp_path_factory.mktemp("routing")
    return routing(folder)


@st.composite
def orderly(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Draw placements per level where a higher level allows no more than a lower one."""
    allowed: dict[str, tuple[str, ...]] = {}
    left = {"onprem", "cloud"}
    for level in LEVEL_TEXTS:
        left &= set(draw(PLACES)) if draw(st.booleans()) else left
        allowed[level] = tuple(sorted(left))
    return allowed


@settings(max_examples=60, deadline=None)
@given(allowed=orderly(), local=EVIDENCE, cloud=EVIDENCE, cards=CARDS, images=st.integers(1, 10**6))
def test_raising_sensitivity_never_adds_a_placement(
    policy: RoutingPolicy,
    *,
    allowed: dict[str, tuple[str, ...]],
    local: Evidence,
    cloud: Evidence,
    cards: set[str],
    images: int,
) -> None:
    """Whatever cards, costs and counts say, a higher level may be at a subset of the lower level's placements."""
    seen = {("local", "cells-small"): local, ("cloud", "cells-large"): cloud}
    kept = {name: found for name, found in catalog().items() if name in cards}
    before = {"onprem", "cloud"}
    for level in LEVEL_TEXTS:
        options = decided(level, policy, allowed=allowed, evidence=seen, cards=kept, images=images)
        here = {option["placement"] for option in options.values() if option["allowed"]}
        assert here <= before
        assert here <= set(allowed[level])
        before = here


@settings(max_examples=60, deadline=None)
@given(allowed=orderly(), local=EVIDENCE, cloud=EVIDENCE, level=st.sampled_from(LEVEL_TEXTS), cards=CARDS)
def test_one_arm_is_chosen_and_none_is_cheaper(
    policy: RoutingPolicy,
    *,
    allowed: dict[str, tuple[str, ...]],
    local: Evidence,
    cloud: Evidence,
    level: str,
    cards: set[str],
) -> None:
    """Where anything is allowed exactly one arm is chosen, none allowed is cheaper, and every option has a reason."""
    seen = {("local", "cells-small"): local, ("cloud", "cells-large"): cloud}
    kept = {name: found for name, found in catalog().items() if name in cards}
    options = decided(level, policy, allowed=allowed, evidence=seen, cards=kept).values()
    possible = [option for option in options if option["allowed"]]
    chosen = [option for option in options if option["role"] == "chosen"]
    assert len(chosen) == min(1, len(possible))
    assert all(option in possible for option in chosen)
    assert all(cost_of(chosen[0]) <= cost_of(option) for option in possible)
    assert all(option["reason"] and option["rule_id"] for option in options)
