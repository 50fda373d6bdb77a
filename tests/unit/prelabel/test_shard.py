"""Shards: ranges of a plan that together hold every waiting batch once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from labelop.errors import CatalogError, PlacementForbiddenError, SettingsError
from labelop.prelabel import shard as sharding
from labelop.prelabel.batch import land_batches, run_batch
from labelop.prelabel.pace import Pace, paces
from labelop.prelabel.plan import PlannedBatch, pending
from labelop.prelabel.ranges import ShardRange, split_shards
from labelop.prelabel.shard import arm_models, open_shard
from labelop.routing.policy import load_routing
from tests.unit.prelabel.conftest import make_card

if TYPE_CHECKING:
    from tests.unit.prelabel.conftest import House


def planned(position: int, placement: str = "onprem") -> PlannedBatch:
    """Make a batch of one image."""
    return PlannedBatch(f"b-{position}", "local", "chosen", placement, "toy-small", position, ("a",))


def use_toys(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the arms and their cards, and a classifier nobody uses, where the files of the sample are."""
    cards = [card for models in house.arms.values() for card in models.cards]
    cards += [
        replace(make_card("toy-kind"), task="classification", classes=("toy",)),
        replace(make_card("other"), ontology="others", classes=("tree",)),
    ]
    monkeypatch.setattr(sharding, "arm_models", lambda *_: house.arms)
    monkeypatch.setattr(sharding, "load_catalog", lambda _: {card.id: card for card in cards})


def test_shards_cover_waiting_batches_once() -> None:
    """Each waiting batch is in exactly one range of its placement, and no range holds too many."""
    waiting = [planned(n, "cloud" if n % 3 == 0 else "onprem") for n in range(20) if n != 7]
    shards = split_shards("plan-1", waiting, 4)
    for batch in waiting:
        holders = [s for s in shards if s.placement == batch.placement and s.first <= batch.position <= s.last]
        assert len(holders) == 1
    for shard in shards:
        held = [b for b in waiting if b.placement == shard.placement and shard.first <= b.position <= shard.last]
        assert 1 <= len(held) <= 4


def test_nothing_waiting_means_no_shard() -> None:
    """A night without work starts no child."""
    assert split_shards("plan-1", [], 4) == []


def test_a_shard_holds_at_least_one_batch() -> None:
    """A shard size of zero is a mistake of the caller."""
    with pytest.raises(ValueError, match="shard_batches is 0"):
        split_shards("plan-1", [planned(0)], 0)


def test_an_unknown_ontology_names_the_known_ones(house: House) -> None:
    """An ontology that no arm labels is one clear error."""
    routing = load_routing(house.settings.config / "routing.yaml")
    with pytest.raises(CatalogError, match=r"'toys', expected one of \['cells', 'parcels'\]"):
        arm_models(house.settings, routing, "toys")


def test_a_missing_card_names_arm_and_model(house: House) -> None:
    """An arm that names a card the catalog does not have is refused with file, arm, key and model."""
    routing = load_routing(house.settings.config / "routing.yaml")
    shutil.copy(house.settings.catalog / "boxes-to-masks.yaml", house.root)
    poor = house.settings.model_copy(update={"catalog": house.root})
    with pytest.raises(CatalogError, match=r"routing\.yaml: arm 'local' of .*'cells': key detector .* 'cells-small'"):
        arm_models(poor, routing, "cells")


@pytest.mark.parametrize(
    ("role", "card", "found"),
    [
        ("detector", "parcels-small", "a detection model of ontology 'parcels'"),
        ("detector", "boxes-to-masks", "a segmentation model of ontology 'any'"),
        ("segmenter", "cells-large", "a detection model of ontology 'cells'"),
        ("classifier", "parcels-landuse", "a classification model of ontology 'parcels'"),
    ],
)
def test_a_card_in_the_wrong_place_names_file_arm_key_and_values(
    house: House, role: str, card: str, found: str
) -> None:
    """A card of another ontology, or of another task than its role, is refused before anything runs."""
    routing = load_routing(house.settings.config / "routing.yaml")
    named: dict[str, Any] = {role: card}
    wrong = replace(routing, arms=(replace(routing.arms_of("cells")["local"], **named),))
    with pytest.raises(CatalogError) as caught:
        arm_models(house.settings, wrong, "cells")
    said = str(caught.value)
    assert "routing.yaml: arm 'local' of ontology 'cells'" in said
    assert f"key {role} has the value {card!r}, {found}; allowed are" in said
    assert ("['cells-large', 'cells-small']" in said) == (role == "detector")


def test_a_shard_opens_its_own_batches_only(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child sees the batches of its placement and range; engines are opened once and closed at the end."""
    house.fill()
    plan = house.plan(compare_share=1.0, batch_images=1)
    use_toys(house, monkeypatch)
    opened: list[str] = []
    closed: list[bool] = []

    def opening(models: object, settings: object) -> object:
        opened.append("local")
        prelabeller = house.prelabeller()
        prelabeller.close = lambda: closed.append(True)  # type: ignore[method-assign]
        return prelabeller

    monkeypatch.setattr(sharding, "open_local", opening)
    mine = [b for b in plan.batches if b.placement == "onprem"]
    wanted = ShardRange(plan.plan_id, "onprem", mine[1].position, mine[2].position)
    with open_shard(house.store, wanted, "toys", house.settings, "run-1") as shard:
        assert list(shard.batches) == mine[1:3]
        results = [shard.run(batch) for batch in shard.batches]
        assert [r.rows[0]["run_id"] for r in results] == ["run-1", "run-1"]
        assert shard.classes == ("ball", "cube", "toy")
        assert {shard.group_of_image(key) for key in shard.context.refs} == {"public"}
    assert (opened, closed) == (["local"], [True])


def test_a_cloud_shard_needs_an_address(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an inference server the cloud arm says which setting is missing."""
    house.fill()
    plan = house.plan(compare_share=1.0)
    use_toys(house, monkeypatch)
    last = plan.batches[-1].position
    with (
        open_shard(house.store, ShardRange(plan.plan_id, "cloud", 0, last), "toys", house.settings, "r") as shard,
        pytest.raises(SettingsError, match="LABELOP_CLOUD_URL"),
    ):
        shard.run(shard.batches[0])


def test_a_process_of_one_placement_does_no_work_of_another(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard in the wrong pool is refused before anything is read, and so is one beside a cloud credential."""
    onprem = house.settings.model_copy(update={"placement": "onprem"})
    with (
        pytest.raises(PlacementForbiddenError, match="cloud reached a process of onprem"),
        open_shard(house.store, ShardRange("p", "cloud", 0, 0), "toys", onprem, "r"),
    ):
        pass
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    with (
        pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY") as caught,
        open_shard(house.store, ShardRange("p", "onprem", 0, 0), "toys", onprem, "r"),
    ):
        pass
    assert "canary" not in str(caught.value)


def test_shards_are_as_long_as_wanted_where_the_pace_is_known() -> None:
    """Batches of known pace fill a shard by their seconds, others by their number."""
    slow = [replace(planned(n), image_ids=("a", "b")) for n in range(4)]
    known = {batch.batch_id: Pace(20.0, "usage") for batch in slow}
    unknown = [planned(n) for n in range(4, 10)]
    shards = split_shards("p", [*slow, *unknown], 3, paces=known, shard_seconds=80.0)
    assert [(s.first, s.last) for s in shards] == [(0, 1), (2, 3), (4, 6), (7, 9)]


def test_a_batch_longer_than_a_shard_is_a_shard() -> None:
    """A batch is never cut, whatever its pace."""
    known = {f"b-{n}": Pace(1000.0, "profile") for n in range(3)}
    shards = split_shards("p", [planned(n) for n in range(3)], 16, paces=known, shard_seconds=300.0)
    assert [(s.first, s.last) for s in shards] == [(0, 0), (1, 1), (2, 2)]


def test_every_worker_of_a_pool_gets_something() -> None:
    """Work for less than a shard is still cut for all workers, as far as there are batches."""
    known = {f"b-{n}": Pace(0.001, "usage") for n in range(8)}
    waiting = [planned(n) for n in range(8)]
    assert len(split_shards("p", waiting, 16, paces=known)) == 1
    assert len(split_shards("p", waiting, 16, paces=known, least=4)) == 4
    assert len(split_shards("p", waiting[:2], 16, paces=known, least=4)) == 2


def test_another_pace_changes_ranges_and_no_batch(house: House) -> None:
    """Planned again after attempts were booked, what has landed stays done and only the rest is cut anew."""
    keys = house.fill()
    plan = house.plan(batch_images=1)
    first = plan.batches[0]
    assert paces(house.store, plan.batches, house.arms, house.settings) == {}
    land_batches(house.store, [run_batch(house.context(plan), first, house.prelabeller())])
    again = house.plan(batch_images=1)
    assert again == plan
    waiting = pending(house.store, again.batches)
    assert waiting == list(plan.batches[1:])
    known = paces(house.store, waiting, house.arms, house.settings)
    assert {pace.source for pace in known.values()} == {"usage"}
    seconds = known[waiting[0].batch_id].image_seconds
    shards = split_shards(plan.plan_id, waiting, 16, paces=known, shard_seconds=1.5 * seconds)
    assert [(s.first, s.last) for s in shards] == [(n, n) for n in range(1, len(keys))]
