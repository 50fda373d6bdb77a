from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labelop.routing import rules
from labelop.routing.decide import CHEAPEST, DEARER, ONLY_ALLOWED, TIE_LOCAL
from labelop.routing.expect import CARD, MEASURED, PRIOR, Evidence, Workload, prior_seconds
from tests.unit.routing.routing_values import card, catalog, cost_of, decided, routing


def test_the_cheaper_arm_is_chosen_and_the_other_compares(tmp_path: Path) -> None:
    """Where both are allowed the lower expected total cost wins, and the other works on the comparison share."""
    options = decided("public", routing(tmp_path))
    assert (options["cloud"]["role"], options["cloud"]["rule_id"]) == ("chosen", CHEAPEST)
    assert (options["local"]["role"], options["local"]["rule_id"]) == ("compare", DEARER)
    assert cost_of(options["cloud"]) < cost_of(options["local"])
    assert "20%" in options["local"]["reason"]


def test_a_better_draft_outweighs_a_dearer_machine(tmp_path: Path) -> None:
    """With equal drafts the cheaper machine wins; the cloud only won by its better model."""
    same = catalog(cells_large=card("cells-large", ap50=0.6))
    options = decided("public", routing(tmp_path), cards=same)
    assert options["local"]["role"] == "chosen"
    assert cost_of(options["local"]) < cost_of(options["cloud"])


def test_few_images_do_not_pay_for_the_start_of_a_cloud(tmp_path: Path) -> None:
    """Start and setup are shared by the images of the version, so a small dataset stays local."""
    assert decided("public", routing(tmp_path), images=5)["local"]["role"] == "chosen"
    assert decided("public", routing(tmp_path), images=500)["cloud"]["role"] == "chosen"


def test_a_tie_stays_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arms of equal cost go to the local one, which needs no trust."""
    monkeypatch.setattr("labelop.routing.expect._machine", lambda *_: 1.0)
    same = catalog(cells_large=card("cells-large", ap50=0.6))
    options = decided("public", routing(tmp_path), cards=same)
    assert (options["local"]["role"], options["local"]["rule_id"]) == ("chosen", TIE_LOCAL)
    assert (options["cloud"]["role"], options["cloud"]["rule_id"]) == ("compare", TIE_LOCAL)


def test_without_a_share_nothing_is_compared(tmp_path: Path) -> None:
    """With a comparison share of 0 the dearer arm is allowed and has nothing to do."""
    option = decided("public", routing(tmp_path, compare_share=0))["local"]
    assert (option["role"], option["allowed"], option["rule_id"]) == (None, True, DEARER)


@pytest.mark.parametrize("level", ["confidential", "restricted"])
def test_a_level_keeps_its_images_here(tmp_path: Path, level: str) -> None:
    """A forbidden placement is refused before any cost, and the only arm left is chosen."""
    options = decided(level, routing(tmp_path))
    assert (options["cloud"]["allowed"], options["cloud"]["rule_id"]) == (False, rules.LEVEL_NOT_ALLOWED)
    assert options["cloud"]["expected_cost"] is None
    assert f"level {level} may be at onprem" in options["cloud"]["reason"]
    assert (options["local"]["role"], options["local"]["rule_id"]) == ("chosen", ONLY_ALLOWED)


@pytest.mark.parametrize(
    ("changes", "arguments", "rule", "said"),
    [
        ({}, {"allowed": {}}, rules.LEVEL_NOT_ALLOWED, "not at cloud"),
        ({}, {"ontology": "ships"}, rules.ONTOLOGY_WITHOUT_MODEL, "ontology ships"),
        ({}, {"cards": catalog(cells_large=None)}, rules.MODEL_CARD_MISSING, "cells-large"),
        ({}, {"cards": catalog(boxes_to_masks=None)}, rules.MODEL_CARD_MISSING, "boxes-to-masks"),
        (
            {"placements": {"onprem": {}, "cloud": {"online": False}}},
            {},
            rules.PLACEMENT_OFFLINE,
            "cloud is offline",
        ),
        (
            {"refusals": [{"id": "no-consent", "dataset": "d*", "placement": "cloud", "because": "no consent"}]},
            {},
            "no-consent",
            "no consent",
        ),
    ],
)
def test_every_hard_rule_refuses_with_a_reason(
    tmp_path: Path, changes: dict[str, Any], arguments: dict[str, Any], rule: str, said: str
) -> None:
    """Each hard rule refuses the cloud with its own id and a sentence that says what is wrong."""
    option = decided("public", routing(tmp_path, **changes), **arguments)["cloud"]
    assert (option["allowed"], option["role"], option["rule_id"]) == (False, None, rule)
    assert said in option["reason"]
    assert option["reason"].endswith(".")


def test_a_refusal_covers_its_datasets_only(tmp_path: Path) -> None:
    """An operator's refusal for other datasets changes nothing here."""
    refusals = [{"id": "no-consent", "dataset": "clinic-*", "placement": "cloud", "because": "no consent"}]
    assert decided("public", routing(tmp_path, refusals=refusals))["cloud"]["allowed"]
    assert not decided("public", routing(tmp_path, refusals=refusals), dataset="clinic-7")["cloud"]["allowed"]


def test_nothing_allowed_is_told_not_raised(tmp_path: Path) -> None:
    """When every option is refused each still has its reason; planning is what stops."""
    options = decided("public", routing(tmp_path), cards={})
    assert [option["allowed"] for option in options.values()] == [False, False]
    assert {option["rule_id"] for option in options.values()} == {rules.MODEL_CARD_MISSING}


def test_measured_seconds_come_first(tmp_path: Path) -> None:
    """What earlier versions measured counts more than cards, and can turn the decision."""
    cards = catalog(
        cells_small=card("cells-small", review_seconds=90.0), cells_large=card("cells-large", review_seconds=20.0)
    )
    seen = {
        ("local", "cells-small"): Evidence(machine_seconds=0.1, review_seconds=30.0),
        ("cloud", "cells-large"): Evidence(machine_seconds=0.1, review_seconds=60.0),
    }
    from_cards = decided("public", routing(tmp_path), cards=cards)
    measured = decided("public", routing(tmp_path), cards=cards, evidence=seen)
    assert from_cards["cloud"]["role"] == "chosen"
    assert CARD in from_cards["cloud"]["reason"]
    assert measured["local"]["role"] == "chosen"
    assert MEASURED in measured["local"]["reason"]
    assert measured["local"]["expected_review_seconds"] == 30.0


def test_a_measured_arm_is_not_compared_with_a_guess(tmp_path: Path) -> None:
    """When only one arm has measured reviews, both are expected from the next kind of source that both have."""
    seen = {("local", "cells-small"): Evidence(machine_seconds=None, review_seconds=1.0)}
    options = decided("public", routing(tmp_path), evidence=seen)
    assert all(PRIOR in option["reason"] for option in options.values())


def test_measured_machine_seconds_replace_the_default(tmp_path: Path) -> None:
    """A machine that was slow on earlier versions is expected to be slow."""
    slow = {("local", "cells-small"): Evidence(machine_seconds=100.0, review_seconds=None)}
    assert cost_of(decided("public", routing(tmp_path), evidence=slow)["local"]) > cost_of(
        decided("public", routing(tmp_path))["local"]
    )


@pytest.mark.parametrize(("ap50", "seconds"), [(1.0, 7.8 + 10 * 1.8), (0.0, 7.8 + 10 * 12.5), (None, 7.8 + 10 * 12.5)])
def test_the_prior_lies_between_confirming_and_drawing(ap50: float | None, seconds: float) -> None:
    """A perfect model leaves only confirming, no model leaves drawing every label by hand."""
    assert prior_seconds(ap50, Workload("d", 1, 0, 10.0)) == pytest.approx(seconds)
