"""The pace of a batch: attempts of the same work, else this machine's profile of its models, else nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from labelop.catalog.choice import installed_version
from labelop.catalog.profile import Measured, land_profile
from labelop.engines.prelabeller import ArmModels
from labelop.landing.store import land, read_rows
from labelop.prelabel.pace import Pace, paces
from labelop.prelabel.plan import Plan, plan_dataset
from labelop.schemas import utc_now
from tests.unit.prelabel.conftest import VERSION, make_card, make_row

if TYPE_CHECKING:
    from tests.unit.prelabel.conftest import House


def book(house: House, plan: Plan, seconds: Sequence[float], *, batch: int = 0, **given: Any) -> None:
    """Book attempts, one after the other, at a batch of ten images that a model saw and five that were withheld."""
    rows = [
        make_row(
            "usage",
            **{
                "attempt_id": f"a-{batch}-{number}",
                "batch_id": plan.batches[batch].batch_id,
                "images_count": 15,
                "wall_seconds": wall,
                "outcome": "finished",
                "started_at": utc_now() + timedelta(seconds=number),
            }
            | given,
        )
        for number, wall in enumerate(seconds)
    ]
    land(house.store, "usage", rows, f"u-{batch}-{given}")
    done = {"batch_id": plan.batches[batch].batch_id, "dataset": plan.dataset, "predictions": []}
    outcomes = ["ok", "empty"] * 5 + ["withheld"] * 5
    images = [make_row("prelabels", **done, image_id=str(n), outcome=one) for n, one in enumerate(outcomes)]
    land(house.store, "prelabels", images, plan.batches[batch].batch_id)


def measured(image_seconds: float) -> Measured:
    """Make a figure of the default engine."""
    return Measured(
        engine="onnxruntime",
        engine_version=installed_version("onnxruntime"),
        engine_name="onnxruntime",
        precision="f32",
        device="cpu",
        compiled=False,
        reference=True,
        images_count=1,
        rounds_count=3,
        image_seconds=image_seconds,
        lanes_count=2,
        energy_joules_per_image=None,
        energy_source=None,
        energy_reason=None,
        growth_bytes=None,
        compared_count=1,
        difference=0.0,
        tolerance=0.001,
        agrees=True,
        outcome="measured",
        reason=None,
    )


def test_the_newest_attempts_of_the_same_work_say_the_pace(house: House) -> None:
    """Batches of one plan share what was booked for one of them; old attempts are forgotten."""
    house.fill()
    plan = house.plan()
    book(house, plan, [1000.0, *[2.0] * 32])
    assert set(paces(house.store, plan.batches, house.arms, house.settings).values()) == {Pace(0.2, "usage")}


def test_images_that_no_model_saw_do_not_count(house: House) -> None:
    """A batch of which a third was withheld took its seconds for the others; the attempt's own count would mislead."""
    house.fill()
    plan = house.plan()
    book(house, plan, [1.5])
    assert {pace.image_seconds for pace in paces(house.store, plan.batches, house.arms, house.settings).values()} == {
        0.15
    }


def test_another_dataset_is_another_pace(house: House) -> None:
    """Pictures of another size with other objects take their own time, with the same model at the same place."""
    house.fill()
    plan = house.plan()
    book(house, plan, [1.5])
    images = read_rows(house.store, "images")
    levels = read_rows(house.store, "levels")
    for name, rows in (("images", images), ("levels", levels)):
        land(house.store, name, [row | {"dataset": "other"} for row in rows], f"other:{name}")
    options: dict[str, Any] = {"decisions": house.decisions, "policy": house.policy, "compare_share": 0.0}
    other = plan_dataset(house.store, "other", VERSION, arms=house.arms, batch_images=2, run_id="r", **options)
    assert paces(house.store, other.batches, house.arms, house.settings) == {}


def test_failed_attempts_say_nothing(house: House) -> None:
    """A batch that ended early was quick for no good reason."""
    house.fill()
    plan = house.plan()
    book(house, plan, [0.1], outcome="failed")
    assert paces(house.store, plan.batches, house.arms, house.settings) == {}


def test_another_placement_is_another_pace(house: House) -> None:
    """What was measured at one placement is no prediction for the other."""
    house.fill()
    plan = house.plan(compare_share=1.0)
    at = [batch.placement for batch in plan.batches]
    book(house, plan, [5.0], batch=at.index("cloud"))
    known = paces(house.store, plan.batches, house.arms, house.settings)
    assert set(known) == {batch.batch_id for batch in plan.batches if batch.placement == "cloud"}


def test_a_changed_model_has_no_past(house: House) -> None:
    """Attempts of a card with another digest are not of this work."""
    house.fill()
    book(house, house.plan(), [5.0])
    house.arms["local"] = ArmModels(replace(make_card(), digest="0" * 64))
    plan = house.plan()
    assert paces(house.store, plan.batches, house.arms, house.settings) == {}


def test_a_profile_counts_where_nothing_was_booked(house: House) -> None:
    """A profile holds the passes side by side; booked attempts take precedence."""
    house.fill()
    plan = house.plan(compare_share=1.0)
    card = house.arms["local"].detector
    land_profile(house.store, card.id, card.digest, house.settings.engine_threads, [measured(0.3)])
    known = paces(house.store, plan.batches, house.arms, house.settings)
    assert {b.placement for b in plan.batches if b.batch_id in known} == {"onprem"}
    assert set(known.values()) == {Pace(0.3, "profile")}
    mine = next(n for n, batch in enumerate(plan.batches) if batch.placement == "onprem")
    book(house, plan, [1.0], batch=mine)
    assert set(paces(house.store, plan.batches, house.arms, house.settings).values()) == {Pace(0.1, "usage")}
