"""A look at a pilot is taken once, whatever comes in later."""

from __future__ import annotations

from pathlib import Path

from labelop.landing.store import Store, land, read_rows
from labelop.pilot.plan import load_pilot
from labelop.pilot.results import Comparison, compare, land_contrasts
from labelop.queries import run_query
from labelop.routing.verdicts import newest_verdicts
from tests.approved import approve_all
from tests.unit.pilot.pilots import world


def look(store: Store, run_id: str, *, over: bool = False) -> Comparison:
    """Compare and land, as the command does."""
    made = compare(store, load_pilot(store, "d", "v1", "spring"), over=over, resamples=99)
    land_contrasts(store, made, run_id)
    return made


def test_a_second_look_replaces_no_verdict(tmp_path: Path) -> None:
    """Each compare from 80 % on was a look at full level that routing took: of equal arms one in eleven then won.

    Now it runs until all have come or it is said to be over; with more reviews after that it is exploratory, and
    both routing and the page keep the first verdict.
    """
    made = world()
    late = [row for row in made.rows["reviews"] if row["arm"] == "cloud"][:6]
    made.rows["reviews"] = [row for row in made.rows["reviews"] if row not in late]
    store = made.land(Store(str(tmp_path)))
    assert [one.verdict for one in look(store, "r1").findings] == ["running"]
    [runs] = read_rows(store, "pilot_contrasts")
    figures = ("ratio", "mean_ratio", "p_value", "arm_seconds", "reference_seconds", "her", "saving")
    assert [runs[name] for name in figures] == [None] * len(figures)
    [first] = look(store, "r2", over=True).findings
    assert (first.verdict, first.exploratory) == ("superior", False)
    assert not look(store, "r3", over=True).exploratory  # the same reviews are the same look
    land(store, "reviews", late, key="late")
    approve_all(store)
    again = look(store, "r4")
    assert again.exploratory
    assert "this look was taken before" in again.findings[0].said
    landed = read_rows(store, "pilot_contrasts")
    assert sorted((row["run_id"], row["exploratory"]) for row in landed) == [("r1", False), ("r2", False), ("r4", True)]
    verdict = newest_verdicts(store, "d", {"local": "small", "cloud": "large"}, with_simulated=False).pooled
    [shown] = run_query(store, "pilot_verdicts").to_pylist()
    [kept] = [row["contrast_id"] for row in landed if row["run_id"] == "r2"]
    assert verdict is not None
    assert (verdict.contrast_id, shown["contrast_id"]) == (kept, kept)
