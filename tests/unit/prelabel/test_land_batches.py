"""Landing batches: their cost first, each once, whoever else landed it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from labelop.egress.audit import entries
from labelop.errors import LandingError
from labelop.landing.store import land_many, read_rows
from labelop.prelabel import batch as batching
from labelop.prelabel.batch import land_batches, run_batch

if TYPE_CHECKING:
    from tests.unit.prelabel.conftest import House


def test_cost_is_booked_before_results(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the two commits leaves a cost without a result, never a result without its cost."""
    house.fill()
    plan = house.plan()
    result = run_batch(house.context(plan), plan.batches[0], house.prelabeller())

    def dying(store: Any, name: str, groups: Any) -> list[bool]:
        if name == "prelabels":
            raise LandingError("the machine went away")
        return land_many(store, name, groups)

    monkeypatch.setattr(batching, "land_many", dying)
    with pytest.raises(LandingError):
        land_batches(house.store, [result])
    assert len(read_rows(house.store, "usage")) == 1
    assert read_rows(house.store, "prelabels") == []


def test_two_attempts_land_once_and_cost_twice(house: House) -> None:
    """Results never double; what was spent does."""
    keys = house.fill()
    plan = house.plan(batch_images=len(keys))
    [batch] = plan.batches
    first, second = (run_batch(house.context(plan), batch, house.prelabeller()) for _ in range(2))
    assert [*land_batches(house.store, [first]), *land_batches(house.store, [second])] == [True, False]
    assert len(read_rows(house.store, "prelabels")) == len(keys)
    assert len(read_rows(house.store, "usage")) == 2


def test_what_was_refused_on_the_way_is_decided_where_people_look(house: House) -> None:
    """An image whose level was raised after routing is a refusal in `decisions`, once, and no routing reads it."""
    keys = house.fill(("public", "restricted"))
    plan = house.plan()
    batch = replace(plan.batches[0], image_ids=tuple(keys), arm="cloud", placement="cloud")
    for _ in range(2):
        land_batches(house.store, [run_batch(house.context(plan), batch, house.prelabeller("cloud"))])
    (row,) = [row for row in read_rows(house.store, "decisions") if row["decision_set"].startswith("refused-")]
    told = (row["level"], row["placement"], row["allowed"], row["rule_id"], row["images_count"], row["role"])
    assert told == ("restricted", "cloud", False, "level-not-allowed", 1, None)
    assert keys[1] not in row["reason"]
    assert "level restricted may not be at cloud" in row["reason"]


def test_what_a_batch_keeps_at_its_door_is_in_the_egress_log(house: House) -> None:
    """Each attempt writes one line for all of them, which names every image; before, only `decisions` knew them."""
    keys = house.fill(("public", "restricted", "restricted"))
    plan = house.plan(batch_images=3)
    batch = replace(plan.batches[0], image_ids=tuple(keys), arm="cloud", placement="cloud")
    run_batch(house.context(plan), batch, house.prelabeller("cloud"))
    lines = list(entries(house.settings.audit_path))
    assert [(line["event"], line["answer"], line["images_count"]) for line in lines] == [
        ("kept_at_the_door", "deny", 2)
    ]
    for key in keys[1:]:
        (line,) = entries(house.settings.audit_path, image_id=key)
        assert (line["image_id"], line["batch_id"], line["run_id"]) == (key, batch.batch_id, "run-1")
        assert line["because"] == "level restricted may not be at cloud"
    assert list(entries(house.settings.audit_path, image_id=keys[0])) == []
