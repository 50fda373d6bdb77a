"""The child flow as the embedded run calls it: what one batch's trouble costs, and what the gate refuses."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from flows import prelabel_batches as shard_flow
from labelop.engines.prelabeller import ArmModels
from labelop.errors import CatalogError, EngineUnavailableError, ExpectationsFailedError, LandingError
from labelop.landing.expectations import check_prelabels
from labelop.landing.store import land_many, read_rows
from labelop.prelabel import batch as batching
from labelop.prelabel import behind
from labelop.prelabel import shard as sharding
from labelop.prelabel.plan import Plan
from tasks.prelabel import run_batches
from tests.unit.prelabel.conftest import CONFIG, make_card

if TYPE_CHECKING:
    from tests.unit.prelabel.conftest import House


def work(house: House, monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    """Run the whole plan on premises as one shard, with the toy cards for a catalog."""
    monkeypatch.setattr(sharding, "arm_models", lambda *_: house.arms)
    monkeypatch.setattr(sharding, "load_catalog", lambda _: {"toy-small": make_card()})
    monkeypatch.setenv("LABELOP_CONFIG", str(CONFIG))
    shard_flow.prelabel_batches.fn(plan.plan_id, "onprem", 0, len(plan.batches) - 1, "toys", house.store.root, "run-1")


def failing_at(house: House, monkeypatch: pytest.MonkeyPatch, image_id: str, error: BaseException) -> None:
    """Give the shard an engine that fails at one image."""
    prelabeller = house.prelabeller()
    answer = prelabeller.prelabel

    def prelabel(items: Any) -> Any:
        if image_id in [item.image_id for item in items]:
            raise error
        return answer(items)

    prelabeller.prelabel = prelabel  # type: ignore[method-assign]
    monkeypatch.setattr(sharding, "open_local", lambda *_: prelabeller)


def booked(house: House) -> list[str]:
    """Give the outcomes of all attempts."""
    return sorted(str(row["outcome"]) for row in read_rows(house.store, "usage"))


def test_a_class_outside_the_ontology_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that says what no card of the ontology knows lands nothing; its own card is no excuse."""
    house.fill()
    foreign = replace(make_card("toy-odd"), classes=("ball", "ghost"), ontology="any")
    assert foreign.postprocess is not None
    foreign = replace(foreign, postprocess=replace(foreign.postprocess, draft_score={"ball": 0.4, "ghost": 0.4}))
    house.arms["local"] = ArmModels(foreign)
    monkeypatch.setattr(sharding, "open_local", lambda *_: house.prelabeller())
    with pytest.raises(ExpectationsFailedError, match="label"):
        work(house, monkeypatch, house.plan(batch_images=5))
    assert booked(house) == ["failed"]
    assert read_rows(house.store, "prelabels") == []


def test_one_failed_batch_does_not_stop_the_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches before and after it land, its attempt is booked, and the shard still ends with its error."""
    house.fill()
    plan = house.plan()
    failing_at(house, monkeypatch, plan.batches[1].image_ids[0], EngineUnavailableError("no answer"))
    with pytest.raises(EngineUnavailableError, match="no answer"):
        work(house, monkeypatch, plan)
    landed = {row["batch_id"] for row in read_rows(house.store, "prelabels")}
    assert landed == {plan.batches[0].batch_id, plan.batches[2].batch_id}
    assert booked(house) == ["failed", "finished", "finished"]


def test_a_step_ends_when_its_time_is_over_and_the_next_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step without time takes one batch, so three batches are three steps and all land."""
    house.fill()
    plan = house.plan()
    monkeypatch.setattr(sharding, "open_local", lambda *_: house.prelabeller())
    monkeypatch.setattr(shard_flow, "_STEP_SECONDS", 0.0)
    steps: list[int] = []

    def counted(*given: Any) -> Any:
        steps.append(len(given[2]))
        return run_batches(*given)

    monkeypatch.setattr(shard_flow, "run_batches", counted)
    work(house, monkeypatch, plan)
    assert steps == [3, 2, 1]
    assert {row["batch_id"] for row in read_rows(house.store, "prelabels")} == {b.batch_id for b in plan.batches}


@pytest.mark.parametrize(("orchestrated", "outcomes"), [(True, ["failed", "finished"]), (False, ["failed"])])
def test_what_may_pass_is_tried_again_where_steps_are_tasks(
    house: House, monkeypatch: pytest.MonkeyPatch, orchestrated: bool, outcomes: list[str]
) -> None:
    """A batch whose engine was away once lands at the second try; embedded the next night does that."""
    house.fill()
    plan = house.plan(batch_images=5)
    prelabeller, asked = house.prelabeller(), []
    answer = prelabeller.prelabel

    def prelabel(items: Any) -> Any:
        asked.append(items)
        if len(asked) == 1:
            raise EngineUnavailableError("no answer")
        return answer(items)

    prelabeller.prelabel = prelabel  # type: ignore[method-assign]
    monkeypatch.setattr(sharding, "open_local", lambda *_: prelabeller)
    monkeypatch.setattr(shard_flow, "is_orchestrated", lambda: orchestrated)
    with contextlib.nullcontext() if orchestrated else pytest.raises(EngineUnavailableError):
        work(house, monkeypatch, plan)
    assert booked(house) == outcomes


def test_a_wrong_configuration_stops_the_shard(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong for one batch is wrong for all: no further batch is tried."""
    house.fill()
    plan = house.plan()
    failing_at(house, monkeypatch, plan.batches[0].image_ids[0], CatalogError("is not served"))
    with pytest.raises(CatalogError, match="is not served"):
        work(house, monkeypatch, plan)
    assert booked(house) == ["failed"]


def test_getting_ready_is_booked_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt bears the seconds until its models could answer; the others found them ready."""
    house.fill()
    prelabeller = house.prelabeller()
    monkeypatch.setattr(sharding, "open_local", lambda *_: prelabeller)
    work(house, monkeypatch, house.plan())
    attempts = sorted(read_rows(house.store, "usage"), key=lambda row: row["started_at"])
    first, *others = [row["cold_start_seconds"] for row in attempts]
    assert first > 0
    assert others == [None, None]


def test_a_server_that_is_not_there_costs_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """No attempt is booked while nobody answers, and each batch asks again."""
    house.fill()
    prelabeller, asked = house.prelabeller(), []

    def nobody() -> None:
        asked.append(1)
        if len(asked) < 3:
            raise EngineUnavailableError("nobody there")

    prelabeller.open = nobody  # type: ignore[method-assign]
    monkeypatch.setattr(sharding, "open_local", lambda *_: prelabeller)
    with pytest.raises(EngineUnavailableError, match="nobody there"):
        work(house, monkeypatch, house.plan())
    assert (len(asked), booked(house)) == (3, ["finished"])


def test_of_batches_checked_together_only_the_refused_one_is_missing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch with a row nobody may have costs its company nothing, and lands nothing itself."""
    house.fill()
    plan = house.plan()
    monkeypatch.setattr(sharding, "open_local", lambda *_: house.prelabeller())
    spoilt = plan.batches[1].batch_id

    def check(prelabels: Any, **given: Any) -> Any:
        planned = {key: ids for key, ids in given.pop("batch_image_ids").items() if key != spoilt}
        return check_prelabels(prelabels, batch_image_ids=planned, **given)

    monkeypatch.setattr(shard_flow, "check_prelabels", check)
    with pytest.raises(ExpectationsFailedError, match="planned"):
        work(house, monkeypatch, plan)
    landed = {row["batch_id"] for row in read_rows(house.store, "prelabels")}
    assert landed == {plan.batches[0].batch_id, plan.batches[2].batch_id}
    assert booked(house) == ["failed", "finished", "finished"]


def test_a_store_that_takes_nothing_stops_the_shard_and_what_was_done_meanwhile_is_booked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch cannot land; the second was made meanwhile and costs; no third is begun, none lands."""
    house.fill()
    plan = house.plan()
    asked = []
    prelabeller = house.prelabeller()
    answer = prelabeller.prelabel
    refused = threading.Event()

    def prelabel(items: Any) -> Any:
        asked.append(items)
        if len(asked) > 1:
            refused.wait(30)
        return answer(items)

    def full(store: Any, name: str, groups: Any) -> list[bool]:
        if name == "prelabels":
            refused.set()
            raise LandingError("the disk is full")
        return land_many(store, name, groups)

    prelabeller.prelabel = prelabel  # type: ignore[method-assign]
    monkeypatch.setattr(sharding, "open_local", lambda *_: prelabeller)
    monkeypatch.setattr(batching, "land_many", full)
    monkeypatch.setattr(behind, "GROUP_SIZE", 1)
    with pytest.raises(LandingError, match="the disk is full"):
        work(house, monkeypatch, plan)
    assert len(asked) == 2
    assert booked(house) == ["failed", "finished"]
    assert read_rows(house.store, "prelabels") == []


def test_a_wrong_configuration_still_lands_what_was_done_before(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch before the fault was paid for: it lands, though the shard ends at once."""
    house.fill()
    plan = house.plan()
    failing_at(house, monkeypatch, plan.batches[1].image_ids[0], CatalogError("is not served"))
    with pytest.raises(CatalogError, match="is not served"):
        work(house, monkeypatch, plan)
    assert {row["batch_id"] for row in read_rows(house.store, "prelabels")} == {plan.batches[0].batch_id}
    assert booked(house) == ["failed", "finished"]


def _breaks_landing(monkeypatch: pytest.MonkeyPatch, *batch_ids: str) -> None:
    """Let no commit through that has one of these batches."""

    def full(store: Any, name: str, groups: Any) -> list[bool]:
        if name == "prelabels" and {key for key, _ in groups} & set(batch_ids):
            raise LandingError("the disk is full")
        return land_many(store, name, groups)

    monkeypatch.setattr(batching, "land_many", full)


def test_of_a_group_that_breaks_apart_every_attempt_is_booked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is refused, so each goes alone; the next cannot land: those behind it in the group cost all the same."""
    house.fill()
    plan = house.plan(batch_images=1)
    monkeypatch.setattr(sharding, "open_local", lambda *_: house.prelabeller())
    spoilt = plan.batches[0].batch_id

    def check(prelabels: Any, **given: Any) -> Any:
        planned = {key: ids for key, ids in given.pop("batch_image_ids").items() if key != spoilt}
        return check_prelabels(prelabels, batch_image_ids=planned, **given)

    monkeypatch.setattr(shard_flow, "check_prelabels", check)
    _breaks_landing(monkeypatch, plan.batches[2].batch_id)
    with pytest.raises(LandingError, match="the disk is full") as caught:
        work(house, monkeypatch, plan)
    assert "Before that a batch failed" in caught.value.__notes__[0]
    attempts = {row["batch_id"]: row["outcome"] for row in read_rows(house.store, "usage")}
    assert attempts == dict(
        zip((b.batch_id for b in plan.batches), ("failed", "finished", "finished", "failed", "failed"), strict=True)
    )
    assert {row["batch_id"] for row in read_rows(house.store, "prelabels")} == {plan.batches[1].batch_id}


def test_a_store_that_breaks_last_does_not_hide_what_was_wrong(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration ends the shard; that the batch before it cannot land either is a note of that error."""
    house.fill()
    plan = house.plan()
    failing_at(house, monkeypatch, plan.batches[1].image_ids[0], CatalogError("is not served"))
    _breaks_landing(monkeypatch, plan.batches[0].batch_id)
    with pytest.raises(CatalogError, match="is not served") as caught:
        work(house, monkeypatch, plan)
    assert "the disk is full" in caught.value.__notes__[0]
    assert booked(house) == ["failed", "finished"]


def test_who_interrupts_has_paid_for_what_was_asked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch that was under way is booked as cancelled, the one before it lands, and the interrupt goes on."""
    house.fill()
    plan = house.plan()
    failing_at(house, monkeypatch, plan.batches[1].image_ids[0], KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        work(house, monkeypatch, plan)
    assert booked(house) == ["cancelled", "finished"]
    assert {row["batch_id"] for row in read_rows(house.store, "prelabels")} == {plan.batches[0].batch_id}
