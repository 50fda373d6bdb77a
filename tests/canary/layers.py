"""Switches layers of the way out off, one at a time or two, and tells which combinations let restricted pixels out.

The switches are patches of tests: the product has none. The numbers are those of the layers in decision 0018.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from labelop.egress import gate
from labelop.egress.far_end import FarEnd
from labelop.engines import leaving
from labelop.ids import sha256_hex
from labelop.ingest.decode import decode
from labelop.prelabel import shard
from labelop.prelabel.context import BatchContext
from labelop.sensitivity.levels import Level
from labelop.sensitivity.policy import SensitivityPolicy
from tests.canary import attempts
from tests.canary.attempts import Battery
from tests.canary.canaries import Tagged
from tests.canary.capture import inference_server
from tests.canary.search import Hit
from tests.canary.world import World

LAYERS: Mapping[int, str] = {
    1: "type boundary",
    2: "lattice and policy",
    3: "signed decision",
    4: "check at the far end",
    5: "separation by placement",
    6: "network",
    7: "byte hygiene",
}

LEAKING = frozenset({(1, 3), (2, 3), (3, 7), (5, 6)})
"""Pairs without which something leaves, as decision 0018 says and why."""


def _nothing(*_: Any, **__: Any) -> None:
    """Look at nothing and refuse nothing."""


def _anywhere(*_: Any) -> frozenset[str]:
    return frozenset({"onprem", "cloud"})


def switch_off(layers: Iterable[int], patch: pytest.MonkeyPatch, pictures: Iterable[Tagged]) -> None:
    """Take layers away in this process; the network is taken care of by `pair_leaks`."""
    off = set(layers)
    if 1 in off:
        patch.setattr(leaving, "hold_to_type", _nothing)
    if 2 in off:
        patch.setattr(SensitivityPolicy, "allowed_placements", _anywhere)
        patch.setattr(Level, "from_text", classmethod(_open_text))
    if 3 in off:
        patch.setattr(gate, "_stays", lambda *_: False)
        patch.setattr(gate.Gate, "check", _nothing)
        patch.setattr(leaving, "hold_to_pixels", _nothing)
    if 4 in off:
        patch.setattr(FarEnd, "check_all", _nothing)
        patch.setattr(BatchContext, "may_be_at", lambda *_: True)
    if 5 in off:
        patch.setattr(shard, "_check_place", _nothing)
        patch.setattr(attempts, "child_environment", lambda _, parent: dict(parent))
    if 7 in off:
        # pixels know no file: the originals, all notes in them, stand for a gate that hands files on
        files = {
            digest: one.encoded for one in pictures for digest in (_digest(one.pixels), _digest(decode(one.encoded)))
        }
        patch.setattr(gate, "encode_payload", lambda pixels: files[_digest(pixels)])


def _digest(pixels: NDArray[np.uint8]) -> str:
    return sha256_hex(pixels.tobytes())


def _open_text(levels: type[Level], text: str | None) -> Level:
    known = {level.text: level for level in levels}
    return known.get((text or "").strip().lower(), levels.PUBLIC)


def hits_without(world: World, layers: tuple[int, ...]) -> set[Hit]:
    """Try every way once with some layers taken away; give what arrived of restricted pictures and of public notes."""
    with (
        inference_server(world.catalog, world.settings, world.far_end()) as (url, kept),
        pytest.MonkeyPatch.context() as patch,
    ):
        battery = Battery(world, url, seed=sum(layers))
        battery.control()  # with every layer in place: what is seen of it are pixels alone
        switch_off(layers, patch, [*battery.secret, *battery.open])
        for way in (battery.unknown, battery.other_placement, battery.borrowed, battery.stray, battery.other_run):
            way(6)
        battery.forged_batches("cloud")
        battery.forged_batches("onprem")
        battery.process_on_premises(without_network=6 not in layers)
        battery.control()
    arrived = kept.all()
    assert world.control.hits(arrived), "no public picture was seen, so the search proves nothing"
    return world.search.hits(arrived)


def combinations() -> list[tuple[int, ...]]:
    """List none, every layer and every pair."""
    return [(), *((one,) for one in LAYERS), *itertools.combinations(LAYERS, 2)]
