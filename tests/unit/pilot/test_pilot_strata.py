"""Strata with a verdict of their own: how they are drawn, judged together and landed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelop.errors import PilotError
from labelop.landing.store import Store, land, read_rows
from labelop.pilot.design import Candidate, Sample, assign, check_strata, draw_sample, split, stratify
from labelop.pilot.plan import load_pilot
from labelop.pilot.protocol import Asked
from labelop.pilot.results import compare, land_contrasts
from labelop.pilot.verdict import judge
from labelop.routing.verdicts import newest_verdicts
from tests.approved import approve_all
from tests.unit.pilot.pilots import EVEN, plan, protocol, reviewed, world
from tests.unit.report_rows import World

TWO = {"arms": ("local", "cloud"), "models": ("s", "l")}
HALVES = {"easy": 60, "hard": 60}
LIMIT = {"local": 0.0, "cloud": -float(np.log(1 - 0.2))}


def candidates(count: int = 300, *, areas: tuple[int, ...] = (100, 200, 400)) -> list[Candidate]:
    """Draw images of two sources, every tenth of them of the south."""
    return [
        Candidate(f"i{n:04}", n % 30, areas[n % len(areas)], ("north", "south")[n % 10 == 0], n % 7 == 0)
        for n in range(count)
    ]


def test_strata_of_verdicts_are_known_before_a_draft() -> None:
    """By source and by size alone, whatever is expected in an image; the limit leaves images on both sides of it."""
    assert Counter(split(candidates(), "source").values()) == {"source north": 270, "source south": 30}
    assert Counter(split(candidates(), "size").values()) == {"size up to 200 px": 200, "size above 200 px": 100}
    mostly = split(candidates(areas=(100, 400, 400)), "size")
    assert Counter(mostly.values()) == {"size up to 100 px": 100, "size above 100 px": 200}
    sample = draw_sample(split(candidates(), "source"), 60, 0)
    assert Counter(sample.stratum_of.values())["source south"] == 20
    assert sample.weights["source south"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("by", "areas", "said"),
    [("size", (100,), "all 300 candidates are in .'size up to 100 px'."), ("moon", (1, 2), "expected source or size")],
)
def test_what_tells_no_images_apart_is_refused(by: str, areas: tuple[int, ...], said: str) -> None:
    """One stratum would get the verdict about all under another name."""
    with pytest.raises(PilotError, match=said):
        split(candidates(areas=areas), by)


def test_a_stratum_too_small_for_any_verdict_is_named() -> None:
    """Two people review two thirds of the images under both arms: nine of fourteen are below the ten it takes."""
    few = [one for one in candidates() if one.source == "north" or one.image_id < "i0140"]
    strata = split(few, "source")
    sample = draw_sample(strata, 60, 0)
    both = [one for one in assign(sample, ("local", "cloud", "blind"), "ab", 0) if one.arm == "local"]
    with pytest.raises(PilotError, match=r"'source south' (9|10) \(of 14 candidates\); at least 11"):
        check_strata(strata, both, 11)
    check_strata(strata, both, 9)


def test_a_pilot_of_one_verdict_is_what_it_was() -> None:
    """Protocols and designs of before keep their hash, so that the look they took is still the same look."""
    assert protocol().digest == "a0215bdddf2c864969c19939be3d4f6fb4d89a630417e0fb45600faf2ded724e"
    assert protocol(verdict_by="source").digest != protocol().digest
    asked = Asked("spring", ("local", "cloud"), "local", ("a", "b"))
    assert "verdict_by" not in asked.design
    assert replace(asked, verdict_by="size").design["verdict_by"] == "size"
    assert set(stratify(candidates(), 120).values()).isdisjoint(split(candidates(), "source").values())


def test_one_family_of_verdicts_has_one_error_rate() -> None:
    """Cloud wins in one stratum and not in the other; each p counts as often as there are arms and strata."""
    made = protocol(**TWO)
    gaps = {"easy": -0.6, "hard": 0.0}
    reviews = [
        replace(one, seconds=one.seconds * float(np.exp(gaps[one.stratum] * (one.arm == "cloud"))))
        for one in reviewed(plan(made), {"local": 0.0, "cloud": 0.0}, 3)
    ]
    found = {one.stratum: one for one in judge(made, reviews, EVEN, strata=HALVES, resamples=499)}
    assert list(found) == ["all", "easy", "hard"]
    assert (found["easy"].verdict, found["easy"].winner) == ("superior", "cloud")
    assert found["hard"].winner is None
    assert found["hard"].images_to_settle is not None
    assert found["hard"].said.startswith("In stratum 'hard': Between cloud and local it is open")
    assert "more images would settle it" in found["hard"].said
    assert found["easy"].contrast.images_count == 60
    hard = [one for one in reviews if one.stratum == "hard"]
    [alone] = judge(replace(made, images_count=60), hard, EVEN, strata={}, resamples=499)
    assert found["hard"].contrast.p_value == alone.contrast.p_value
    smallest = min(found.values(), key=lambda one: one.contrast.p_value or 1.0)
    assert smallest.p_holm == pytest.approx(3 * (smallest.contrast.p_value or 0.0))


def test_equivalence_in_strata_has_the_same_error_rate() -> None:
    """Of 40 pilots whose arms differ by the margin everywhere at most 2 find equivalence anywhere; 13 of them did."""
    names = [f"s{number}" for number in range(6)]
    weights = dict.fromkeys(names, 1 / 6)
    false = 0
    for seed in range(40):
        made = protocol(**TWO, images_count=180, seed=seed, time_margin=0.2)
        drawn = Sample({f"i{number:04}": names[number % 6] for number in range(180)}, weights)
        reviews = reviewed(assign(drawn, made.arms, made.reviewers, seed), LIMIT, 5_000 + seed, residual_sd=0.25)
        found = judge(made, reviews, weights, strata=dict.fromkeys(names, 30), resamples=9)
        false += any(one.verdict == "equivalent" for one in found)
    assert false <= 2


def test_a_look_waits_for_every_stratum() -> None:
    """Nothing is judged before the last stratum has its reviews, nor is one said to be open before."""
    made = protocol(**TWO)
    reviews = reviewed(plan(made), {"local": 0.0, "cloud": -0.6}, 4)
    late = [one for one in reviews if one.stratum == "easy" or one.arm == "local" or int(one.image_id[1:]) < 10]
    findings = judge(made, late, EVEN, strata=HALVES, over=True, resamples=99)
    assert {one.verdict for one in findings} == {"running"}
    assert {one.verdict for one in judge(made, reviews, EVEN, strata=HALVES, resamples=99)} != {"running"}


@pytest.mark.slow
def test_equal_arms_have_no_winner_in_any_stratum() -> None:
    """Of 60 pilots of equal arms at most 3 name a winner anywhere; without one family of p values 6 of them did."""
    false = 0
    for seed in range(60):
        made = protocol(**TWO, seed=seed)
        reviews = reviewed(plan(made), {"local": 0.0, "cloud": 0.0}, 7_000 + seed)
        false += any(one.winner for one in judge(made, reviews, EVEN, strata=HALVES, resamples=299))
    assert false <= 3


def test_each_stratum_lands_its_figures(tmp_path: Path) -> None:
    """Routing finds a verdict of each stratum with that stratum's seconds; a second look takes none of their places.

    It is not over while a stratum lacks more than a fifth of its reviews, though of all only an eighth are missing.
    """
    made = world(verdict_by="source")
    for row in made.rows["pilot_assignments"]:
        row["stratum"] = {"easy": "source north", "hard": "source south"}[row["stratum"]]
    for row in made.rows["pilots"]:
        row["weights"] = row["weights"].replace("easy", "source north").replace("hard", "source south")
    slow = {row["image_id"] for row in made.rows["pilot_assignments"] if row["stratum"] == "source south"}
    for row in made.rows["reviews"]:
        row["active_seconds"] *= 3 if row["image_id"] in slow else 1
    late = made.rows["reviews"].pop()
    south = [row for row in made.rows["reviews"] if row["image_id"] in slow and row["arm"] == "cloud"][:8]
    few = [row for row in made.rows["reviews"] if row not in south]
    most = World(made.rows | {"reviews": few}).land(Store(str(tmp_path / "most")))
    assert not compare(most, load_pilot(most, "d", "v1", "spring"), over=True, resamples=99).can_end
    store = made.land(Store(str(tmp_path / "all")))
    pilot = load_pilot(store, "d", "v1", "spring")
    first = compare(store, pilot, over=True, resamples=99)
    assert first.can_end
    land_contrasts(store, first, "r1")
    rows = {row["stratum"]: row for row in read_rows(store, "pilot_contrasts")}
    assert set(rows) == {"all", "source north", "source south"}
    assert {row["verdict"] for row in rows.values()} == {"superior"}
    assert rows["source south"]["arm_seconds"] > 2 * rows["source north"]["arm_seconds"]
    assert all(row["saving"] is not None and row["her"] is not None for row in rows.values())
    land(store, "reviews", [late], key="late")
    approve_all(store)
    again = compare(store, pilot, resamples=99)
    assert again.exploratory
    land_contrasts(store, again, "r2")
    found = newest_verdicts(store, "d", {"local": "small", "cloud": "large"}, with_simulated=False)
    assert set(found.contrast_ids) == {row["contrast_id"] for row in rows.values()}
