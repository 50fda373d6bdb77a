"""Factories of what routing needs: policies, cards, work."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from labelop.catalog.cards import ModelCard, QualityFigure
from labelop.cost.prices import PriceBook, load_prices
from labelop.routing.decide import decide
from labelop.routing.expect import Evidence, Workload
from labelop.routing.policy import RoutingPolicy, load_routing
from labelop.sensitivity.levels import Level
from labelop.sensitivity.release import ReleaseRule
from tests.cards import make_card

CONFIG = Path(__file__).resolve().parents[3] / "data/sample/config"

STRICT = {"public": ("onprem", "cloud"), "internal": ("onprem", "cloud"), "confidential": ("onprem",)}


@dataclass(frozen=True, slots=True)
class Policy:
    """A sensitivity policy with nothing but placements."""

    allowed: dict[str, tuple[str, ...]]
    """Placements by level; other levels allow onprem only."""
    digest: str = "p" * 64
    """Its name in tables."""
    release_rules: tuple[ReleaseRule, ...] = ()
    """In which forms images may leave."""
    stale: bool = False
    """Whether its last day is over."""

    def allowed_placements(self, level: Level) -> frozenset[str]:
        """Placements of a level."""
        return frozenset(self.allowed.get(level.text, ("onprem",)))


def card(model_id: str, *, ap50: float | None = 0.7, review_seconds: float | None = None) -> ModelCard:
    """Make a card with the figures routing reads."""
    figures = {"ap50": ap50, "model_review_seconds_per_image": review_seconds}
    quality = tuple(QualityFigure("d", "val", m, v, 9) for m, v in figures.items() if v is not None)
    return make_card(model_id, ontology="cells", classes=("a",), quality=quality, digest=model_id.ljust(64, "0"))


def catalog(**changes: ModelCard | None) -> dict[str, ModelCard]:
    """Make the catalog of the cells arms; None takes a card away, `_` stands for `-`."""
    cards = {
        "cells-small": card("cells-small", ap50=0.6),
        "cells-large": card("cells-large", ap50=0.8),
        "boxes-to-masks": card("boxes-to-masks", ap50=None),
    } | {name.replace("_", "-"): changed for name, changed in changes.items()}
    return {name: kept for name, kept in cards.items() if kept is not None}


def routing(folder: Path, **changes: Any) -> RoutingPolicy:
    """Load the sample's routing policy with other values of some keys."""
    content = yaml.safe_load((CONFIG / "routing.yaml").read_text(encoding="utf-8")) | changes
    path = folder / "routing.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_routing(path)


def prices() -> PriceBook:
    """Load the sample's price book."""
    return load_prices(CONFIG / "prices.yaml")


def decided(
    level: str,
    policy: RoutingPolicy,
    *,
    cards: dict[str, ModelCard] | None = None,
    allowed: dict[str, tuple[str, ...]] | None = None,
    evidence: dict[tuple[str, str], Evidence] | None = None,
    images: int = 160,
    dataset: str = "d",
    ontology: str = "cells",
) -> dict[str, dict[str, Any]]:
    """Decide one level; options by arm."""
    options = decide(
        Level.from_text(level),
        Workload(dataset, images, images * 20000, 15.0),
        ontology,
        routing=policy,
        policy=Policy(STRICT if allowed is None else allowed),
        catalog=catalog() if cards is None else cards,
        evidence=evidence or {},
        prices=prices(),
    )
    return {option["arm"]: option for option in options}


def cost_of(option: dict[str, Any]) -> Decimal:
    """Expected cost of an allowed option."""
    cost = option["expected_cost"]
    assert isinstance(cost, Decimal)
    return cost
