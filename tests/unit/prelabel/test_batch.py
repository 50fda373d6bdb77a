"""Batches: one row per image whatever happens, the level checked again, and cost booked before results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from labelop.errors import EngineUnavailableError, LandingError
from labelop.ingest.sources import read_original
from labelop.landing.rows import rows_to_table
from labelop.landing.store import land, read_rows
from labelop.prelabel import batch as batching
from labelop.prelabel.batch import land_batch, run_batch
from labelop.prelabel.plan import Plan, PlannedBatch

if TYPE_CHECKING:
    from tests.unit.prelabel.conftest import House


def whole(plan: Plan, keys: list[str], placement: str = "onprem") -> PlannedBatch:
    """Make one batch of some images, whatever routing says: a plan may be older than a level."""
    arm = {"onprem": "local"}.get(placement, placement)
    return PlannedBatch("b-1", arm, "chosen", placement, "toy-small", 0, tuple(keys))


def outcomes(rows: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """Pick what became of each image."""
    return [(row["outcome"], row["reason"]) for row in rows]


def test_every_image_gets_one_row_in_order(house: House) -> None:
    """Rows stand in the batch's order, fit the table, and carry predictions inside the image."""
    keys = house.fill()
    plan = house.plan()
    result = run_batch(house.context(plan), whole(plan, keys), house.prelabeller())
    assert [row["image_id"] for row in result.rows] == keys
    assert set(outcomes(result.rows)) <= {("ok", None), ("empty", None)}
    assert rows_to_table("prelabels", result.rows).num_rows == len(keys)
    boxes = [p for row in result.rows for p in row["predictions"]]
    assert boxes
    assert all(0 <= p["x0_px"] < p["x1_px"] <= 32 and 0 <= p["y0_px"] < p["y1_px"] <= 24 for p in boxes)


def test_predictions_do_not_depend_on_the_batch(house: House) -> None:
    """The same image gives the same predictions alone and among others."""
    keys = house.fill()
    plan = house.plan()
    context, prelabeller = house.context(plan), house.prelabeller()
    together = run_batch(context, whole(plan, keys), prelabeller).rows[3]
    alone = run_batch(context, whole(plan, [keys[3]]), prelabeller).rows[0]
    assert together["predictions"] == alone["predictions"]


def test_a_bad_file_costs_its_own_row_only(house: House) -> None:
    """Changed, missing and unknown images are unreadable with a code; their neighbours are done."""
    keys = house.fill()
    plan = house.plan()
    house.files[keys[0]].write_bytes(house.files[keys[1]].read_bytes())
    house.files[keys[2]].unlink()
    rows = run_batch(house.context(plan), whole(plan, [*keys[:4], "f" * 64]), house.prelabeller()).rows
    assert [row["outcome"] for row in rows][0::2] == ["unreadable"] * 3
    assert rows[0]["reason"] == "CHANGED"
    assert rows[2]["reason"]
    assert rows[4]["reason"] == "NOT_IN_MANIFEST"
    assert {rows[1]["outcome"], rows[3]["outcome"]} <= {"ok", "empty"}


def test_a_restricted_image_is_withheld_from_the_cloud_unread(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The level is asked before one byte is read, also when the plan says otherwise."""
    keys = house.fill(("public", "restricted", "confidential"))
    read: list[str] = []

    def reading(uri: str, path: str, settings: Any) -> bytes:
        read.append(path)
        return read_original(uri, path, settings)

    monkeypatch.setattr(batching, "read_original", reading)
    plan = house.plan()
    rows = run_batch(house.context(plan), whole(plan, keys, "cloud"), house.prelabeller("cloud")).rows
    assert [row["outcome"] for row in rows][1:] == ["withheld", "withheld"]
    assert "restricted" in rows[1]["reason"]
    assert rows[1]["predictions"] == []
    assert read == ["0.jpg"]


def test_an_image_without_level_is_withheld(house: House) -> None:
    """Levels of another policy do not count: unknown means restricted."""
    keys = house.fill(("public",))
    plan = house.plan()
    refs = batching.image_refs(house.store, plan, "f" * 64)
    assert refs[keys[0]].level == "restricted"


def test_duplicates_are_read_from_their_first_path(house: House) -> None:
    """An image that stands at two paths is one image, at the first path by name."""
    keys = house.fill(("public",))
    [row] = read_rows(house.store, "images")
    land(house.store, "images", [row | {"path": "zz.jpg"}], "again")
    refs = batching.image_refs(house.store, house.plan(), house.policy.digest)
    assert refs[keys[0]].path == "0.jpg"


def test_usage_counts_the_attempt(house: House) -> None:
    """The usage row fits its table and counts images, seconds and bytes of this attempt."""
    keys = house.fill()
    plan = house.plan()
    usage = run_batch(house.context(plan), whole(plan, keys), house.prelabeller()).usage
    assert rows_to_table("usage", [usage]).num_rows == 1
    assert (usage["images_count"], usage["outcome"], usage["sent_bytes"]) == (5, "finished", 0)
    assert 0 < usage["infer_seconds"] <= usage["wall_seconds"]


def test_cost_is_booked_before_results(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the two commits leaves a cost without a result, never a result without its cost."""
    keys = house.fill()
    plan = house.plan()
    result = run_batch(house.context(plan), whole(plan, keys), house.prelabeller())

    def dying(store: Any, name: str, rows: Any, key: str) -> bool:
        if name == "prelabels":
            raise LandingError("the machine went away")
        return land(store, name, rows, key)

    monkeypatch.setattr(batching, "land", dying)
    with pytest.raises(LandingError):
        land_batch(house.store, result)
    assert len(read_rows(house.store, "usage")) == 1
    assert read_rows(house.store, "prelabels") == []


def test_two_attempts_land_once_and_cost_twice(house: House) -> None:
    """Results never double; what was spent does."""
    keys = house.fill()
    plan = house.plan()
    batch = whole(plan, keys)
    first, second = (run_batch(house.context(plan), batch, house.prelabeller()) for _ in range(2))
    assert [land_batch(house.store, first), land_batch(house.store, second)] == [True, False]
    assert len(read_rows(house.store, "prelabels")) == len(keys)
    assert len(read_rows(house.store, "usage")) == 2


def test_a_dead_engine_decides_nothing(house: House) -> None:
    """When the engine cannot be reached the batch has no rows at all, so that a later run does it."""
    keys = house.fill()
    plan = house.plan()
    prelabeller = house.prelabeller()

    def unreachable(items: Any) -> Any:
        raise EngineUnavailableError("no answer")

    prelabeller.prelabel = unreachable  # type: ignore[method-assign]
    with pytest.raises(EngineUnavailableError):
        run_batch(house.context(plan), whole(plan, keys), prelabeller)


def test_large_batches_are_read_in_pieces(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks bound memory and lose nobody: every image comes back once, in order."""
    keys = house.fill()
    monkeypatch.setattr(batching, "_CHUNK_IMAGES", 2)
    plan = house.plan()
    rows = run_batch(house.context(plan), whole(plan, keys), house.prelabeller()).rows
    assert [row["image_id"] for row in rows] == keys
