"""Hard rules: they veto an option before any cost is looked at, and no cost can overrule them.

Knows no price. Every veto has a rule id and a sentence. `measures.md` section 6.1.
"""

from __future__ import annotations

from collections.abc import Container
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeAlias

from labelop.routing.policy import Arm, RoutingPolicy
from labelop.sensitivity.clearance import NamedPolicy
from labelop.sensitivity.levels import Level

LEVEL_NOT_ALLOWED = "level-not-allowed"
ONTOLOGY_WITHOUT_MODEL = "ontology-without-model"
MODEL_CARD_MISSING = "model-card-missing"
PLACEMENT_OFFLINE = "placement-offline"

HARD_RULES = (LEVEL_NOT_ALLOWED, ONTOLOGY_WITHOUT_MODEL, MODEL_CARD_MISSING, PLACEMENT_OFFLINE)
"""Built-in rules in the order they are asked; they cannot be switched off."""


LevelPolicy: TypeAlias = NamedPolicy
"""What routing needs of the sensitivity policy."""


@dataclass(frozen=True, slots=True)
class Veto:
    """Why an option is refused."""

    rule_id: str
    """Hard rule, or id of an operator's refusal."""
    reason: str
    """One sentence."""


def veto(
    *,
    dataset: str,
    ontology: str,
    level: Level,
    arm_name: str,
    placement: str,
    arm: Arm | None,
    routing: RoutingPolicy,
    policy: LevelPolicy,
    cards: Container[str],
    released: AbstractSet[str] = frozenset(),
) -> Veto | None:
    """Ask every hard rule about one option.

    Args:
        dataset: Dataset name.
        ontology: Labels the dataset uses.
        level: Sensitivity of the images.
        arm_name: local | cloud.
        placement: Where the arm runs.
        arm: Its models, None when it has none for this ontology.
        routing: Placements and refusals.
        policy: What each level allows.
        cards: Ids of the model cards at hand.
        released: Placements where the images may be in a changed form, by a release rule of the policy.

    Returns:
        The first veto, None when nothing stands against the option.
    """
    allowed = policy.allowed_placements(level) | released
    if placement not in allowed:
        places = ", ".join(sorted(allowed)) or "no placement"
        return Veto(LEVEL_NOT_ALLOWED, f"Images of level {level.text} may be at {places}, not at {placement}.")
    for refusal in routing.refusals:
        if refusal.covers(dataset, placement):
            return Veto(refusal.id, f"{dataset} is refused at {placement}: {refusal.because}.")
    if arm is None:
        return Veto(ONTOLOGY_WITHOUT_MODEL, f"The {arm_name} arm has no model for the ontology {ontology}.")
    missing = [card for card in arm.cards if card not in cards]
    if missing:
        return Veto(MODEL_CARD_MISSING, f"The {arm_name} arm needs {', '.join(missing)}, not in the catalog.")
    if not routing.placements[placement].online:
        return Veto(PLACEMENT_OFFLINE, f"The placement {placement} is offline.")
    return None
