"""All files an operator writes, read together, so that a wrong one fails once and before the first dataset.

Knows which files there are, not what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labelop.catalog.cards import ModelCard, load_catalog
from labelop.cost.prices import PriceBook, load_prices
from labelop.prelabel.shard import check_arms
from labelop.routing.policy import RoutingPolicy, load_routing
from labelop.sensitivity.policy import SensitivityPolicy, load_policy
from labelop.settings import Settings


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a night needs to know before it looks at an image."""

    policy: SensitivityPolicy
    """`policy.yaml`: what is how sensitive, and where each level may go."""
    routing: RoutingPolicy
    """`routing.yaml`: arms, and how to choose among them."""
    prices: PriceBook
    """`prices.yaml`."""
    catalog: Mapping[str, ModelCard]
    """Model cards by id."""


def load_configuration(settings: Settings) -> Configuration:
    """Read every configuration file that the settings point at, and check that they fit together.

    Raises:
        ConfigurationError: One of them is missing or has a fault, or an arm names a model that is not there or does
            not fit its role; names file, key, value found and what is allowed.
    """
    files = Configuration(
        policy=load_policy(settings.config / "policy.yaml"),
        routing=load_routing(settings.config / "routing.yaml"),
        prices=load_prices(settings.config / "prices.yaml"),
        catalog=load_catalog(settings.catalog),
    )
    check_arms(settings, files.routing)
    return files
