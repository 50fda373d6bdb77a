"""Layers are taken away one at a time and two at a time: no single one may be needed, and the pairs are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.canary.layers import LAYERS, LEAKING, combinations, hits_without
from tests.canary.results import keep
from tests.canary.world import make_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_no_single_layer_is_needed_and_the_pairs_that_leak_are_known(tmp_path: Path) -> None:
    """Without any one layer nothing arrives; without two, exactly where decision 0018 says."""
    world = make_world(tmp_path)
    world.ingest()
    found = {layers: hits_without(world, layers) for layers in combinations()}
    keep(
        "layers",
        [
            {"without": [f"{layer} {LAYERS[layer]}" for layer in layers], "canaries_found": len(hits)}
            for layers, hits in found.items()
        ],
    )
    leaking = {layers for layers, hits in found.items() if hits}
    assert {layers for layers in leaking if len(layers) < 2} == set()
    assert leaking == LEAKING
