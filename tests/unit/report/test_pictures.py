"""Which pictures are shown, and what is drawn on them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from labelop.errors import UnreadableImageError
from labelop.report.pictures import WIDEST_PX, choose, encode, picture
from labelop.report.results import Row


def review(number: int, *, arm: str = "local", level: str | None = "public", **other: Any) -> dict[str, Any]:
    """Make one row of `picture_list`."""
    return {
        "dataset": "bccd",
        "image_id": f"image-{number}",
        "path": f"{number}.png",
        "source_uri": "/nowhere",
        "width_px": 40,
        "height_px": 20,
        "level": level,
        "arm": arm,
        "model_id": "cells-small",
        "review_id": f"review-{number}-{arm}",
        "kinds_count": 2,
        "simulated": False,
    } | other


def edit(op: str, **other: Any) -> dict[str, Any]:
    """Make one row of `picture_marks`; a deleted draft has no box after, an added label none before."""
    before = dict.fromkeys(("x0", "y0", "x1", "y1")) if op == "add" else {"x0": 1.0, "y0": 2.0, "x1": 11.0, "y1": 8.0}
    after = dict.fromkeys(("x0", "y0", "x1", "y1")) if op == "delete" else {"x0": 2.0, "y0": 2.0, "x1": 12.0, "y1": 8.0}
    boxes = {f"predicted_{k}_px": v for k, v in before.items()} | {f"accepted_{k}_px": v for k, v in after.items()}
    return {"op": op, "predicted_label": "RBC", "accepted_label": "WBC", "score": 0.9} | boxes | other


def grey(_row: Row) -> NDArray[np.uint8]:
    """Give pixels without a file."""
    return np.full((20, 40, 3), 128, dtype=np.uint8)


@pytest.mark.parametrize("level", ["restricted", None, "something new"])
def test_restricted_and_unknown_images_are_left_out(level: str | None) -> None:
    """A restricted image, and one nobody classified, is neither shown nor forgotten: it is counted."""
    chosen, withheld = choose([review(1), review(2, level=level), review(2, level=level, arm="cloud")])
    assert [row["image_id"] for row in chosen] == ["image-1"]
    assert withheld == 1


def test_restricted_images_are_shown_when_asked_for() -> None:
    """Only the caller can let restricted pixels in."""
    chosen, withheld = choose([review(1, level="restricted")], include_restricted=True)
    assert (len(chosen), withheld) == (1, 0)


def test_the_same_image_is_shown_under_both_arms() -> None:
    """Images seen under both arms come first, local beside cloud."""
    rows = [review(1, kinds_count=6), review(2, arm="cloud"), review(2), review(3, kinds_count=6)]
    chosen, _ = choose(rows, limit=2)
    assert [(row["image_id"], row["arm"]) for row in chosen] == [("image-2", "local"), ("image-2", "cloud")]


def test_every_dataset_is_seen_within_the_limit() -> None:
    """A large dataset does not crowd a small one out."""
    rows = [review(number) for number in range(20)] + [review(99, dataset="smears")]
    chosen, _ = choose(rows, limit=4)
    assert len(chosen) == 4
    assert {row["dataset"] for row in chosen} == {"bccd", "smears"}


def test_marks_show_draft_and_final_box() -> None:
    """An adjusted box is drawn before and after, a deleted one before only, an added one after only."""
    shown = picture(review(1), [edit("adjust"), edit("delete"), edit("add")], grey)
    assert [(mark.style.op, mark.x_px, mark.is_draft) for mark in shown.marks] == [
        ("adjust", 1.0, True),
        ("adjust", 2.0, False),
        ("delete", 1.0, False),
        ("add", 2.0, False),
    ]
    assert "1 adjusted, 1 deleted, 1 added" in shown.detail


@pytest.mark.parametrize("simulated", [True, False])
def test_caption_says_who_corrected(simulated: bool) -> None:
    """A picture of simulated corrections says so beside the picture, and only such a picture."""
    shown = picture(review(1, simulated=simulated), [edit("accept")], grey)
    assert ("Simulated reviewer." in shown.detail) is simulated


def test_label_of_the_whole_image_has_no_box() -> None:
    """A class of the whole image is counted and not drawn."""
    none = {f"{side}_{edge}_px": None for side in ("predicted", "accepted") for edge in ("x0", "y0", "x1", "y1")}
    shown = picture(review(1), [edit("accept", **none)], grey)
    assert shown.marks == ()
    assert "1 accepted" in shown.detail


def test_lost_original_keeps_its_boxes() -> None:
    """When the original is gone, the page says so and still shows what was corrected."""

    def gone(_row: Row) -> NDArray[np.uint8]:
        raise UnreadableImageError("The image is gone.", code="MISSING")

    shown = picture(review(1), [edit("accept")], gone)
    assert shown.source is None
    assert len(shown.marks) == 1
    assert "The image is gone." in shown.detail


def test_embedded_picture_is_small_and_bare() -> None:
    """The picture is a JPEG no wider than the limit, without any metadata."""
    data = base64.b64decode(encode(np.zeros((300, 3000, 3), dtype=np.uint8)).partition(",")[2])
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert image.size == (WIDEST_PX, WIDEST_PX // 10)
        assert not dict(image.getexif())
