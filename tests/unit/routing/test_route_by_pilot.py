"""A pilot's verdict decides where images go, and what is open leaves them on premises."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from labelop.landing.store import Store, land
from labelop.routing.decide import CHEAPEST, PILOT_OPEN, PILOT_SUPERIOR, decide
from labelop.routing.expect import Workload
from labelop.routing.verdicts import PilotVerdict, Verdicts, newest_verdicts
from labelop.schemas import TABLES
from labelop.sensitivity.levels import Level
from tests.unit.routing.routing_values import STRICT, Policy, catalog, prices, routing

MODELS = {"cloud": "large", "local": "small"}


def verdict(word: str = "superior", winner: str | None = "cloud", **seconds: float) -> PilotVerdict:
    """Make the verdict of a pilot of cloud against local."""
    said = {"cloud": 20.0, "local": 60.0, **seconds}
    return PilotVerdict("c-1", word, winner, ("cloud", "local"), 0.4, 0.3, 0.5, said, "Cloud takes 0.40 times as long.")


def decided(folder: Path, pilot: PilotVerdict | None, level: str = "public") -> dict[str, dict[str, Any]]:
    """Decide one level; options by arm."""
    options = decide(
        Level.from_text(level),
        Workload("d", 160, 160 * 20000, 15.0),
        "cells",
        routing=routing(folder),
        policy=Policy(STRICT),
        catalog=catalog(),
        evidence={},
        prices=prices(),
        pilot=pilot,
    )
    return {option["arm"]: option for option in options}


def test_a_superior_arm_is_chosen_with_what_it_rests_on(tmp_path: Path) -> None:
    """The winner runs; interval, verdict, runner-up and sentence stand in the decision, and seconds are the pilot's."""
    options = decided(tmp_path, verdict())
    chosen = options["cloud"]
    assert (chosen["role"], chosen["rule_id"], chosen["runner_up"]) == ("chosen", PILOT_SUPERIOR, "local")
    assert (chosen["contrast_id"], chosen["ratio"], chosen["ratio_low"], chosen["ratio_high"]) == ("c-1", 0.4, 0.3, 0.5)
    assert chosen["expected_review_seconds"] == 20.0
    assert "Cloud takes 0.40 times as long." in chosen["reason"]
    assert (options["local"]["role"], options["local"]["expected_review_seconds"]) == ("compare", 60.0)


def test_what_is_open_stays_on_premises(tmp_path: Path) -> None:
    """Inconclusive and equivalent pilots choose local though the cloud is expected to be cheaper."""
    assert decided(tmp_path, None)["cloud"]["rule_id"] == CHEAPEST
    for word in ("inconclusive", "equivalent"):
        options = decided(tmp_path, verdict(word, None))
        assert (options["local"]["role"], options["local"]["rule_id"]) == ("chosen", PILOT_OPEN)
        assert word in options["local"]["reason"]


def test_a_winner_that_costs_more_is_not_chosen(tmp_path: Path) -> None:
    """Seconds saved that the machine eats up again are no reason to leave."""
    options = decided(tmp_path, verdict(cloud=59.99))
    assert (options["local"]["role"], options["local"]["rule_id"]) == ("chosen", PILOT_OPEN)


def test_no_verdict_opens_a_closed_placement(tmp_path: Path) -> None:
    """Restricted images stay whatever a pilot found."""
    options = decided(tmp_path, verdict(), level="restricted")
    assert not options["cloud"]["allowed"]
    assert options["local"]["role"] == "chosen"
    assert options["local"]["contrast_id"] is None


def contrast(number: int, **changed: Any) -> dict[str, Any]:
    """Make a row of `pilot_contrasts`, each landed a day after the one before."""
    said = {
        "contrast_id": f"c-{number}",
        "dataset": "d",
        "stratum": "all",
        "arm": "cloud",
        "reference": "local",
        "model_digest": "large",
        "reference_digest": "small",
        "verdict": "superior",
        "winner": "cloud",
        "exploratory": False,
        "simulated": False,
        "sentence": "Said.",
        "landed_at": dt.datetime(2026, 11, number, tzinfo=dt.UTC),
    }
    return dict.fromkeys(TABLES["pilot_contrasts"].schema.names) | said | changed


def test_the_newest_valid_verdict_counts(tmp_path: Path) -> None:
    """Later ones that are exploratory, blocked, running, simulated or about other models or datasets do not count."""
    store = Store(str(tmp_path))
    assert newest_verdicts(store, "d", MODELS, with_simulated=False) == Verdicts()
    rows = [
        contrast(1, verdict="inconclusive", winner=None),
        contrast(2),
        contrast(3, exploratory=True),
        contrast(4, verdict="blocked"),
        contrast(5, verdict="running"),
        contrast(6, model_digest="other"),
        contrast(7, dataset="e"),
        contrast(8, simulated=True),
    ]
    land(store, "pilot_contrasts", rows, key="k")
    found = newest_verdicts(store, "d", MODELS, with_simulated=False).pooled
    assert found is not None
    assert (found.contrast_id, found.winner) == ("c-2", "cloud")
    emulated = newest_verdicts(store, "d", MODELS, with_simulated=True).pooled
    assert emulated is not None
    assert emulated.contrast_id == "c-8"
    assert newest_verdicts(store, "d", {"cloud": "new", "local": "small"}, with_simulated=True) == Verdicts()
