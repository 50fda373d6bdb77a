"""Plans: content-derived, in order, and never more than was allowed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from labelop import ids
from labelop.egress.gate import PAYLOAD_FORMAT
from labelop.errors import ManifestError, NoEligiblePlacementError
from labelop.landing.store import land, read_rows
from labelop.prelabel import plan as planning
from labelop.prelabel.assign import PARITY, Assignment, assign, in_slice
from labelop.prelabel.context import image_refs
from labelop.prelabel.plan import load_plan, pending
from labelop.prelabel.ranges import ShardRange

if TYPE_CHECKING:
    from tests.unit.prelabel.conftest import House


def decision(level: str, arm: str, *, role: str = "compare", allowed: bool = True) -> dict[str, Any]:
    """Make the part of a `decisions` row that planning reads."""
    return {
        "level": level,
        "arm": arm,
        "role": role,
        "allowed": allowed,
        "placement": {"local": "onprem"}.get(arm, arm),
    }


BOTH = [decision("public", "local", role="chosen"), decision("public", "cloud")]
KEYS = [ids.sha256_hex(str(n).encode()) for n in range(200)]


def test_batches_partition_the_images_in_order(house: House) -> None:
    """Every image is in exactly one chosen batch, sorted by id, no batch above the limit."""
    keys = house.fill(("public",) * 5)
    batches = house.plan(batch_images=2).batches
    assert [len(b.image_ids) for b in batches] == [2, 2, 1]
    assert [key for b in batches for key in b.image_ids] == sorted(keys)
    assert [b.position for b in batches] == [0, 1, 2]
    assert {(b.role, b.arm, b.placement, b.model_id) for b in batches} == {("chosen", "local", "onprem", "toy-small")}


def test_the_same_inputs_give_the_same_plan(house: House) -> None:
    """Another run plans the same ids and lands nothing twice."""
    house.fill()
    first, second = house.plan(run_id="monday"), house.plan(run_id="tuesday")
    assert first == second
    assert len(read_rows(house.store, "batches")) == len(first.batches)


def test_other_inputs_give_another_plan(house: House) -> None:
    """Batch size, compare share and model each change the batch ids."""
    house.fill()
    before = {b.batch_id for b in house.plan().batches}
    assert before.isdisjoint(b.batch_id for b in house.plan(batch_images=3).batches)
    house.arms["local"] = house.arms["cloud"]
    assert before.isdisjoint(b.batch_id for b in house.plan().batches)


def test_a_landed_plan_reads_back(house: House) -> None:
    """What a child run loads is what the parent planned."""
    house.fill(("public", "restricted", "internal"))
    plan = house.plan(compare_share=1.0)
    assert load_plan(house.store, plan.plan_id) == plan


def test_a_shard_reads_its_own_range(house: House) -> None:
    """A child run holds its range's batches and their images, not those of the whole dataset."""
    keys = house.fill(("public", "public", "restricted", "internal", "public"))
    plan = house.plan(batch_images=1, compare_share=1.0)
    end = len(plan.batches) - 1
    for wanted in (ShardRange(plan.plan_id, "cloud", 1, end), ShardRange(plan.plan_id, "onprem", 0, end - 1)):
        part = load_plan(house.store, plan.plan_id, wanted.batches())
        assert part.batches == tuple(batch for batch in plan.batches if wanted.holds(batch))
        refs = image_refs(house.store, part, house.policy)
        assert set(refs) == {key for batch in part.batches for key in batch.image_ids} < set(keys)
    with pytest.raises(ManifestError, match="position"):
        load_plan(house.store, plan.plan_id, ShardRange(plan.plan_id, "onprem", end + 1, end + 9).batches())


def test_an_unknown_plan_is_refused(house: House) -> None:
    """A child that is told a plan nobody landed says so."""
    with pytest.raises(ManifestError, match="plan-0"):
        load_plan(house.store, "plan-0")


def test_pending_leaves_out_what_has_landed(house: House) -> None:
    """Done is what stands in `prelabels`, batch by batch."""
    house.fill()
    batches = house.plan().batches
    assert pending(house.store, batches) == list(batches)
    land(house.store, "prelabels", [], batches[1].batch_id)
    assert pending(house.store, batches) == [batches[0], batches[2]]


def test_a_level_counts_for_its_own_policy_only(house: House) -> None:
    """Levels under another policy are no levels: classification is asked for."""
    house.fill()
    with pytest.raises(ManifestError, match="5 images of toy v-1 have no level"):
        planning.plan_dataset(
            house.store,
            "toy",
            "v-1",
            decisions=house.decisions,
            arms=house.arms,
            policy=replace(house.policy, digest="f" * 64),
            compare_share=0.0,
            batch_images=2,
            run_id="r",
        )


def test_restricted_images_are_planned_on_premises_only(house: House) -> None:
    """With everything compared, a restricted image is still in no cloud batch."""
    keys = house.fill(("public", "restricted", "public", "confidential"))
    cloud = [key for b in house.plan(compare_share=1.0).batches if b.placement == "cloud" for key in b.image_ids]
    assert sorted(cloud) == sorted([keys[0], keys[2]])


def test_only_held_out_images_are_evaluated(house: House) -> None:
    """The other detector runs on premises on `val` images with truth, and on no other image."""
    keys = house.fill(("restricted",) * 5, held_out=2)
    evaluated = [b for b in house.plan().batches if b.role == "evaluate"]
    assert {(b.arm, b.placement, b.model_id) for b in evaluated} == {("cloud", "onprem", "toy-large")}
    assert sorted(key for b in evaluated for key in b.image_ids) == sorted(keys[:2])


def test_training_images_are_never_evaluated(house: House) -> None:
    """Truth of a training image says nothing about a model."""
    house.fill(("public",) * 3, held_out=2, split="train")
    assert {b.role for b in house.plan().batches} == {"chosen"}


def test_a_compared_image_is_not_evaluated_again() -> None:
    """An arm that compares an image does not run on it a second time."""
    given = assign({KEYS[0]: "public"}, BOTH, frozenset(KEYS[:1]), 1.0, ["cloud", "local"])
    assert set(given) == {Assignment("local", "chosen", "onprem"), Assignment("cloud", "compare", "cloud")}


def test_the_compare_slice_has_its_share() -> None:
    """Out of many images about the share is compared, always the same ones, and a larger share holds a smaller."""
    small, large = ({k for k in KEYS if in_slice(k, share)} for share in (0.2, 0.5))
    assert 20 <= len(small) <= 60
    assert small < large
    assert not any(in_slice(k, 0.0) for k in KEYS)
    assert all(in_slice(k, 1.0) for k in KEYS)


def test_a_level_without_placement_is_refused_with_its_name() -> None:
    """No image is silently left out when its level has nowhere to go."""
    with pytest.raises(NoEligiblePlacementError, match="level restricted") as caught:
        assign({KEYS[0]: "restricted"}, BOTH, frozenset(), 0.0, [])
    assert caught.value.context["level"] == "restricted"


def test_a_refused_choice_does_not_count() -> None:
    """A row that is not allowed gives nothing, whatever its role says."""
    with pytest.raises(NoEligiblePlacementError):
        assign({KEYS[0]: "public"}, [decision("public", "cloud", role="chosen", allowed=False)], frozenset(), 0.0, [])


def test_a_cloud_batch_names_its_payload(house: House) -> None:
    """How pixels are encoded changes predictions, so it is part of a cloud batch and of no other."""
    house.fill()
    house.plan(compare_share=1.0)
    payloads = {r["placement"]: PAYLOAD_FORMAT in r["parameters"] for r in read_rows(house.store, "batches")}
    assert payloads == {"onprem": False, "cloud": True}


def test_an_old_permission_does_not_outlive_a_refusal(house: House) -> None:
    """Planning obeys what routing decided now, whatever has ever landed in `decisions`."""
    house.fill()
    land(house.store, "decisions", house.decisions, "yesterday")
    refused = [row | {"allowed": row["allowed"] and row["arm"] == "local"} for row in house.decisions]
    assert {b.placement for b in house.plan(compare_share=1.0).batches} == {"onprem", "cloud"}
    assert {b.placement for b in house.plan(compare_share=1.0, decisions=refused).batches} == {"onprem"}


def test_an_evaluation_makes_no_masks(house: House) -> None:
    """AP50 judges boxes and classes: the segmenter runs for drafts and for the check of places, not for evaluations."""
    segmenter = house.arms["cloud"].detector
    house.arms = {name: replace(models, segmenter=segmenter) for name, models in house.arms.items()}
    house.fill(("restricted",) * 3, held_out=2)
    house.plan()
    named = {row["role"]: "segmenter" in row["parameters"] for row in read_rows(house.store, "batches")}
    assert named == {"chosen": True, "evaluate": False}
    assert planning.models_for(house.arms["cloud"], PARITY).segmenter is segmenter, "its masks were never compared"


def test_a_batch_needs_room_for_an_image(house: House) -> None:
    """A batch size of zero is a mistake of the caller."""
    house.fill()
    with pytest.raises(ValueError, match="batch_images is 0"):
        house.plan(batch_images=0)
