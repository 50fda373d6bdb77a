"""Batches: one row per image whatever happens, the level checked again, and cost booked before results."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from labelop.engines.compose import ArmModels, ComposedArm
from labelop.engines.fixed import FixedEngine
from labelop.engines.lanes import ImageItem, LocalLane, Ready
from labelop.errors import (
    EngineUnavailableError,
    ManifestError,
    SourceUnavailableError,
    UnreadableImageError,
)
from labelop.ingest import originals
from labelop.ingest.originals import read_frames
from labelop.ingest.sources import read_original
from labelop.landing.rows import rows_to_table
from labelop.landing.store import land, read_rows
from labelop.prelabel import batch as batching
from labelop.prelabel.batch import run_batch
from labelop.prelabel.plan import Plan, PlannedBatch
from tests.unit.prelabel.conftest import make_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labelop.ingest.decode import Frame
    from labelop.settings import Settings
    from tests.unit.prelabel.conftest import House

MIDDLE = {
    "logits": np.array([[[4.0, -9.0]]], dtype=np.float32),
    "boxes": np.array([[[0.5, 0.5, 0.5, 0.5]]], dtype=np.float32),
}
"""One object that fills the middle half of an image."""


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
    """Changed, gone and unknown images are unreadable with a code; their neighbours are done."""
    keys = house.fill()
    plan = house.plan()
    house.files[keys[0]].write_bytes(house.files[keys[1]].read_bytes())
    house.files[keys[2]].unlink()
    rows = run_batch(house.context(plan), whole(plan, [*keys[:4], "f" * 64]), house.prelabeller()).rows
    assert [row["outcome"] for row in rows][0::2] == ["unreadable"] * 3
    assert rows[0]["reason"] == "CHANGED"
    assert rows[2]["reason"] == "GONE"
    assert rows[4]["reason"] == "NOT_IN_MANIFEST"
    assert {rows[1]["outcome"], rows[3]["outcome"]} <= {"ok", "empty"}


def test_a_restricted_image_is_withheld_from_the_cloud_unread(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The level is asked before one byte is read, also when the plan says otherwise."""
    keys = house.fill(("public", "restricted", "confidential"))
    read: list[str] = []

    def reading(uri: str, path: str, settings: Any) -> bytes:
        read.append(path)
        return read_original(uri, path, settings)

    monkeypatch.setattr(originals, "read_original", reading)
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
    refs = batching.image_refs(house.store, plan, replace(house.policy, digest="f" * 64))
    assert refs[keys[0]].level == "restricted"


def test_duplicates_are_read_from_their_first_path(house: House) -> None:
    """An image that stands at two paths is one image, at the first path by name."""
    keys = house.fill(("public",))
    [row] = read_rows(house.store, "images")
    land(house.store, "images", [row | {"path": "zz.jpg"}], "again")
    refs = batching.image_refs(house.store, house.plan(), house.policy)
    assert refs[keys[0]].path == "0.jpg"


def test_usage_counts_the_attempt(house: House) -> None:
    """The usage row fits its table and counts images, seconds and bytes of this attempt."""
    keys = house.fill()
    plan = house.plan()
    usage = run_batch(house.context(plan), whole(plan, keys), house.prelabeller()).usage
    assert rows_to_table("usage", [usage]).num_rows == 1
    assert (usage["images_count"], usage["outcome"], usage["sent_bytes"]) == (5, "finished", 0)
    assert 0 < usage["infer_seconds"] <= usage["wall_seconds"]


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


@pytest.mark.parametrize("away", ["folder", "mount"])
def test_a_source_that_is_away_decides_nothing(house: House, away: str) -> None:
    """With the root gone, or the folder of its mount empty, no image gets a row and a later run does the batch."""
    keys = house.fill()
    plan = house.plan()
    root = house.files[keys[0]].parent
    root.rename(house.root / "away")
    if away == "mount":
        root.mkdir()
    with pytest.raises(SourceUnavailableError, match=keys[0][:12]) as caught:
        run_batch(house.context(plan), whole(plan, keys), house.prelabeller())
    assert caught.value.retryable
    if away == "mount":
        root.rmdir()
    (house.root / "away").rename(root)
    rows = run_batch(house.context(plan), whole(plan, keys), house.prelabeller()).rows
    assert {row["outcome"] for row in rows} <= {"ok", "empty"}


def _caused(cause: OSError) -> UnreadableImageError:
    error = UnreadableImageError("not taken in", code="UNREADABLE")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "trouble",
    [
        OSError(errno.EIO, "Input/output error"),
        ManifestError("Source s3://b cannot be read: ConnectionError."),
        UnreadableImageError("changed while it was read", code="UNSTABLE"),
        _caused(PermissionError(errno.EACCES, "Permission denied")),
        _caused(OSError(errno.ESTALE, "Stale file handle")),
    ],
    ids=["broken read", "store away", "being written", "closed", "stale mount"],
)
def test_trouble_on_the_way_to_a_file_is_no_fact_about_it(
    house: House, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """What may pass by itself ends the attempt and lands nothing."""
    keys = house.fill()

    def reading(*_: object) -> bytes:
        raise trouble

    monkeypatch.setattr(originals, "read_original", reading)
    plan = house.plan()
    with pytest.raises(SourceUnavailableError) as caught:
        run_batch(house.context(plan), whole(plan, keys), house.prelabeller())
    assert ".." not in caught.value.message


def test_a_link_in_place_of_a_file_is_final(house: House) -> None:
    """Another thing lies where the file was: that does not pass, and the link is not followed."""
    keys = house.fill()
    house.files[keys[0]].unlink()
    house.files[keys[0]].symlink_to(house.files[keys[1]])
    plan = house.plan()
    rows = run_batch(house.context(plan), whole(plan, keys), house.prelabeller()).rows
    assert outcomes(rows)[0] == ("unreadable", "NOT_REGULAR")


def test_an_attempt_that_dies_in_the_engine_is_booked(house: House) -> None:
    """What was answered and how long it took is booked as failed, though no row lands."""
    keys = house.fill(("public",) * 10)
    plan = house.plan()
    prelabeller, booked = house.prelabeller(), list[dict[str, Any]]()
    answer = prelabeller.prelabel

    def dying(items: Any) -> Any:
        if items[0].image_id != keys[0]:
            raise EngineUnavailableError("no answer")
        return [replace(result, sent_bytes=100) for result in answer(items)]

    prelabeller.prelabel = dying  # type: ignore[method-assign]
    with pytest.raises(EngineUnavailableError):
        run_batch(house.context(plan), whole(plan, keys), prelabeller, booked.append)
    [usage] = booked
    assert rows_to_table("usage", [usage]).num_rows == 1
    assert (usage["outcome"], usage["images_count"], usage["sent_bytes"]) == ("failed", 8, 800)
    assert 0 < usage["infer_seconds"] <= usage["wall_seconds"]


def test_an_attempt_that_never_asked_the_engine_costs_nothing(house: House) -> None:
    """Where the first images cannot be read no engine has worked, so nothing is booked."""
    keys = house.fill()
    plan = house.plan()
    house.files[keys[0]].parent.rename(house.root / "away")
    booked: list[dict[str, Any]] = []
    with pytest.raises(SourceUnavailableError):
        run_batch(house.context(plan), whole(plan, keys), house.prelabeller(), booked.append)
    assert booked == []


def test_large_batches_are_read_in_pieces(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks bound memory and lose nobody: every image comes back once, in order."""
    keys = house.fill()
    monkeypatch.setattr(batching, "_CHUNK_IMAGES", 2)
    plan = house.plan()
    rows = run_batch(house.context(plan), whole(plan, keys), house.prelabeller()).rows
    assert [row["image_id"] for row in rows] == keys


@pytest.mark.parametrize("placed", ["onprem", "cloud"])
def test_fewer_pixels_leave_boxes_where_they_were(house: House, monkeypatch: pytest.MonkeyPatch, placed: str) -> None:
    """A card that allows scaled decoding gets smaller pixels, and its boxes are still those of the whole image."""
    keys = house.fill()
    card = replace(make_card(), width_px=4, height_px=4, scaled_decode=True)
    engine = FixedEngine(card)
    engine.forward = lambda _: MIDDLE  # type: ignore[method-assign,assignment]
    lane = LocalLane({card.id: engine})
    lane.takes_stretched = placed == "onprem"
    seen: list[tuple[int, ...]] = []

    def prepare(items: Sequence[ImageItem]) -> list[Ready]:
        seen.extend(item.pixels.shape for item in items)
        return [Ready(item, item.pixels) for item in items]

    monkeypatch.setattr(lane, "prepare", prepare)
    plan = house.plan()
    rows = run_batch(house.context(plan), whole(plan, keys[:1]), ComposedArm(ArmModels(card), lane)).rows
    assert seen == [(4, 4, 3) if placed == "onprem" else (6, 8, 3)]
    [found] = rows[0]["predictions"]
    assert (found["x0_px"], found["y0_px"], found["x1_px"], found["y1_px"]) == (8, 6, 24, 18)


def test_the_next_batch_is_read_ahead_for_the_same_models_only(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other models may take other pixels, so nothing is read for them that would have to be read again."""
    keys = house.fill()
    plan = house.plan()
    context = house.context(plan)
    first, second = whole(plan, keys[:2]), whole(plan, keys[2:])
    asked: list[str] = []

    def read(originals: Sequence[tuple[str, str, str, Frame]], settings: Settings) -> Any:
        asked.extend(image_id for image_id, *_ in originals)
        return read_frames(originals, settings)

    monkeypatch.setattr(batching, "read_frames", read)
    for following, wanted in ((second, keys), (replace(second, arm="cloud"), keys[:2])):
        asked.clear()
        with batching.open_originals(context) as reader:
            run_batch(context, first, house.prelabeller(), originals=reader, following=following)
        assert sorted(asked) == sorted(wanted)
