"""Batches whose server fails: what may land of them, and what may not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from labelop.errors import EngineUnavailableError
from labelop.prelabel.batch import run_batch
from tests.unit.prelabel.test_batch import whole

if TYPE_CHECKING:
    from tests.unit.prelabel.conftest import House


@pytest.mark.parametrize("reason", ["SERVER_FAILED", "BAD_ANSWER", "BAD_SHAPE"])
def test_a_batch_that_fails_by_its_server_alone_lands_nothing(house: House, reason: str) -> None:
    """Where the server failed at every image no row says so: such rows landed for good, and nobody asked again."""
    keys = house.fill(("public", "public", "restricted"))
    plan, prelabeller, booked = house.plan(), house.prelabeller(), list[dict[str, Any]]()
    answer = prelabeller.prelabel

    def failing(items: Any, good: int = 0) -> Any:
        return [
            one if index < good else replace(one, outcome="failed", reason=reason, predictions=(), sent_bytes=100)
            for index, one in enumerate(answer(items))
        ]

    prelabeller.prelabel = failing  # type: ignore[method-assign]
    with pytest.raises(EngineUnavailableError, match=f"b-1: the engine failed at all of 2 images .{reason}"):
        run_batch(house.context(plan), whole(plan, keys, "cloud"), prelabeller, booked.append)
    assert [(usage["outcome"], usage["sent_bytes"]) for usage in booked] == [("failed", 200)]
    prelabeller.prelabel = lambda items: failing(items, 1)  # type: ignore[method-assign]
    rows = run_batch(house.context(plan), whole(plan, keys, "cloud"), prelabeller).rows
    assert [row["outcome"] for row in rows][1:] == ["failed", "withheld"]
