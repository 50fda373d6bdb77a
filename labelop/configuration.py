"""All files an operator writes, read together, so that a wrong one fails once and before the first dataset.

Knows which files there are, not what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labelop.catalog.cards import ModelCard, load_catalog
from labelop.catalog.choice import choose_engine
from labelop.cost.prices import PriceBook, load_prices
from labelop.prelabel.assign import ONPREM
from labelop.prelabel.shard import check_arms
from labelop.roles import Roles, load_roles
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
    roles: Roles
    """`roles.yaml`: who may approve, override and release."""
    catalog: Mapping[str, ModelCard]
    """Model cards by id."""


def load_configuration(settings: Settings) -> Configuration:
    """Read every configuration file that the settings point at, and check that they fit together.

    Raises:
        ConfigurationError: One of them is missing or has a fault, or an arm names a model that is not there or does
            not fit its role; names file, key, value found and what is allowed. Or a model has no engine here.
    """
    files = Configuration(
        policy=load_policy(settings.config / "policy.yaml"),
        routing=load_routing(settings.config / "routing.yaml"),
        prices=load_prices(settings.config / "prices.yaml"),
        roles=load_roles(settings.config / "roles.yaml"),
        catalog=load_catalog(settings.catalog),
    )
    check_arms(settings, files.routing)
    check_engines(settings, files.routing, files.catalog)
    return files


def check_engines(settings: Settings, routing: RoutingPolicy, catalog: Mapping[str, ModelCard]) -> None:
    """Find out which engine each model of the arms on premises would run on, so that none is missed only at its images.

    Raises:
        MissingExtraError: An engine, or the device it was to use, is not here.
        SettingsError: Engine, precision and device do not fit together.
    """
    named = [(arm.detector, arm.segmenter, arm.classifier) for arm in routing.arms if arm.placement == ONPREM]
    for model in sorted({model for models in named for model in models if model}):
        choose_engine(catalog[model], settings)
