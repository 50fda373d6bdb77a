from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labelop.errors import PolicyError
from labelop.routing.policy import load_routing
from tests.unit.routing.routing_values import CONFIG, routing

CLOUD = {"arm": "cloud", "placement": "cloud", "ontology": "cells", "detector": "m", "seconds_per_image": 1}


def test_the_sample_routes_both_ontologies_both_ways() -> None:
    """Cells and parcels have a local and a cloud arm, and the cloud of the sample says that it is emulated."""
    policy = load_routing(CONFIG / "routing.yaml")
    assert {name: sorted(policy.arms_of(name)) for name in ("cells", "parcels")} == {
        "cells": ["cloud", "local"],
        "parcels": ["cloud", "local"],
    }
    assert policy.compare_share == 0.2
    assert policy.placements["cloud"].emulated
    assert not policy.placements["onprem"].emulated
    assert policy.arms_of("cells")["local"].cards == ("cells-small", "boxes-to-masks")


def test_any_change_is_another_policy(tmp_path: Path) -> None:
    """Every value takes part in the digest; comments and order of keys do not."""
    assert routing(tmp_path).digest == load_routing(CONFIG / "routing.yaml").digest
    assert routing(tmp_path, compare_share=0.3).digest != routing(tmp_path).digest


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"compare_share": 1.5}, r"compare_share has the value 1\.5; allowed is less than or equal to 1"),
        ({"arms": []}, r"arms has the value \[\]"),
        ({"arms": [CLOUD | {"placement": "onprem"}]}, r"arms\.0\.placement has the value 'onprem'; .* allows 'cloud'"),
        ({"arms": [CLOUD | {"ontology": "ships"}]}, r"arms\.0\.ontology has the value 'ships'; allowed are"),
        ({"arms": [CLOUD, CLOUD | {"detector": "n"}]}, r"arms\.1 is a second cloud arm"),
        ({"arms": [CLOUD | {"arm": "edge"}]}, r"arms\.0\.arm has the value 'edge'; .*'local' or 'cloud'"),
        ({"arms": [CLOUD | {"detector": "../m"}]}, r"arms\.0\.detector has the value '\.\./m'"),
        ({"arms": [CLOUD | {"seconds_per_image": 0}]}, r"seconds_per_image has the value 0"),
        ({"placements": {"onprem": {}}}, r"arms\.1\.placement has the value 'cloud'; allowed are"),
        ({"placements": {"moon": {}}}, r"placements\.moon is unknown; allowed are 'onprem' or 'cloud'"),
        (
            {"placements": {"onprem": {}, "cloud": {"offline": 1}}},
            r"placements\.cloud\.offline is unknown .* online, emulated",
        ),
        ({"placements": {"onprem": {"pool": "a"}, "cloud": {}}}, r"placements\.onprem\.pool is unknown"),
        (
            {"placements": {"onprem": {"emulated": True}, "cloud": {}}},
            r"placements\.onprem\.emulated has the value True; allowed is False",
        ),
        ({"levels": {"restricted": ["cloud"]}}, r"levels is unknown .*; allowed are schema, version"),
        ({"arms": [CLOUD | {"model": "m"}]}, r"arms\.0\.model is unknown \(value 'm'\); allowed are arm, placement"),
        ({"refusals": [{"id": "x", "placement": "cloud"}]}, r"refusals\.0\.because is missing"),
    ],
)
def test_a_fault_names_file_key_and_value(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """One clear error per fault: file, key, value found, what is allowed."""
    with pytest.raises(PolicyError, match=said) as caught:
        routing(tmp_path, **changes)
    assert "routing.yaml" in caught.value.message
