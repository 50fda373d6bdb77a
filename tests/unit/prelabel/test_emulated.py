"""What the routing policy calls emulated reaches the engine that marks the rows."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from labelop.errors import SettingsError
from labelop.prelabel import shard as sharding
from labelop.prelabel.ranges import ShardRange
from labelop.prelabel.shard import open_shard

if TYPE_CHECKING:
    from tests.unit.prelabel.conftest import House


@pytest.mark.parametrize("emulated", [True, False])
def test_the_policys_word_reaches_the_cloud_engine(
    house: House, monkeypatch: pytest.MonkeyPatch, emulated: bool
) -> None:
    """`emulated` of the routing policy decides how the rows of a cloud shard are marked."""
    house.fill()
    plan = house.plan(compare_share=1.0)
    config = house.root / "config"
    shutil.copytree(house.settings.config, config)
    routing = (config / "routing.yaml").read_text(encoding="utf-8")
    assert "emulated: true" in routing
    (config / "routing.yaml").write_text(
        routing.replace("emulated: true", f"emulated: {str(emulated).lower()}"), encoding="utf-8"
    )
    settings = house.settings.model_copy(update={"config": config, "cloud_url": "https://models.example"})
    told: list[bool] = []

    def refuse(*_: Any, simulated: bool) -> None:
        told.append(simulated)
        raise SettingsError("Nobody is asked in this test.")

    monkeypatch.setattr(sharding, "arm_models", lambda *_: house.arms)
    monkeypatch.setattr(sharding, "open_cloud", refuse)
    whole = ShardRange(plan.plan_id, "cloud", 0, plan.batches[-1].position)
    with open_shard(house.store, whole, "toys", settings, "r") as shard, pytest.raises(SettingsError):
        shard.run(shard.batches[0])
    assert told == [emulated]
