"""Known answers for masks, keypoints and lineage, and what an image's effort is made of."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

import labelop.effort
from labelop.effort import edit_script, effort_of, human_edit_rate, saving
from labelop.effort.outlines import boundary_iou, changed_regions, changed_vertices, rim_px
from labelop.effort.parameters import DEFAULTS
from labelop.effort.points import object_keypoint_similarity, point_changes
from labelop.geometry import Box
from labelop.ingest.masks import decode_mask
from labelop.labels import AcceptedLabel, Keypoint, Prediction


def square(side: int = 100, *, low: int = 20, high: int = 80) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Paint a square into an image."""
    mask = np.zeros((side, side), dtype=np.bool_)
    mask[low:high, low:high] = True
    return mask


def draft(name: str = "p", *, label: str = "a", box: Box | None = None) -> Prediction:
    """Make a draft box."""
    return Prediction(name, label, 0.9, draft=True, box=box or Box(0, 0, 50, 50))


def final(name: str = "a", *, label: str = "a", box: Box | None = None, origin: str | None = None) -> AcceptedLabel:
    """Make an accepted box."""
    return AcceptedLabel(name, label, box or Box(0, 0, 50, 50), prediction_id=origin)


def test_boundary_iou_counts_the_rims_only() -> None:
    """Two squares, one a pixel larger all around, share most of their area and little of a rim of two pixels."""
    small, large = square(), square(low=19, high=81)
    # rims of 2 px: 60^2 - 56^2 and 62^2 - 58^2 pixels, of which 60^2 - 58^2 are common
    common, both = 60**2 - 58**2, (60**2 - 56**2) + (62**2 - 58**2)
    assert boundary_iou(small, large, 2) == pytest.approx(common / (both - common))
    assert boundary_iou(small, small, 2) == 1.0
    assert boundary_iou(small & False, small & False, 2) == 1.0
    assert (rim_px(400, 300), rim_px(10, 10)) == (10, 1)


def test_the_edge_of_the_image_is_part_of_a_contour() -> None:
    """A mask that fills the image has a rim along the image's edge."""
    full, half = np.ones((50, 50), dtype=np.bool_), np.ones((50, 50), dtype=np.bool_)
    half[:, 25:] = False
    rims = 50 * 50 - 48 * 48, 50 * 25 - 48 * 23
    common = 25 + 25 + 48  # top and bottom of the left half, and its left side
    assert boundary_iou(full, half, 1) == pytest.approx(common / (sum(rims) - common))


def test_a_ragged_rim_is_an_adjustment_although_the_masks_overlap() -> None:
    """At an IoU above 0.99 a mask whose rim differs is adjusted: both overlaps must say that it is the same."""
    before, after = square(400, low=2, high=398), square(400, low=1, high=398)
    texts = [str(coco.encode(np.asfortranarray(m.astype(np.uint8)))["counts"].decode()) for m in (before, after)]
    np.testing.assert_array_equal(decode_mask(texts[0], 400, 400), before)
    (edit,) = edit_script(
        [Prediction("p", "a", 0.5, draft=True, mask_rle=texts[0])],
        [AcceptedLabel("a", "a", mask_rle=texts[1], clicks_count=3)],
        outline_size=(400, 400),
    )
    assert edit.iou is not None
    assert edit.change.biou is not None
    assert edit.iou > DEFAULTS.tau_same > edit.change.biou
    assert (edit.op, edit.change.clicks_count, edit.model_seconds) == ("adjust", 3, 2.5 + 3 * 2.5)


def test_regions_and_vertices_are_counted() -> None:
    """A thin difference is no region; of two outlines the side with more unmatched vertices tells the operations."""
    before, after = square(), square()
    after[40:50, 40:50] = False
    after[20:80, 80] = True
    assert changed_regions(before, after) == 1
    ring = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))
    assert changed_vertices(ring, ring[1:] + ring[:1], 0.5) == 0
    assert changed_vertices(ring, ((0.2, 0.0), (13.0, 0.0), (10.0, 10.0), (5.0, 12.0), (0.0, 10.0)), 0.5) == 2


def test_oks_is_that_of_coco() -> None:
    """One point a sigma's reach away and one exact: the mean of exp(-1/2) and 1, and a missing point counts 0."""
    area, sigma = 400.0, 0.1
    reach = np.sqrt(area) * 2 * sigma
    before = [Keypoint("nose", reach, 0), Keypoint("tail", 5, 5)]
    after = [Keypoint("nose", 0, 0), Keypoint("tail", 5, 5)]
    assert object_keypoint_similarity(before, after, area, sigma) == pytest.approx((np.exp(-0.5) + 1) / 2)
    assert object_keypoint_similarity(before[:1], after, area, sigma) == pytest.approx(np.exp(-0.5) / 2)
    assert object_keypoint_similarity(before, [], area, sigma) == 0.0


def test_a_swap_is_one_operation() -> None:
    """Left and right in each other's place were swapped once; two points that merely moved were moved twice."""
    before = [Keypoint("left_eye", 0, 0), Keypoint("right_eye", 20, 0)]
    swapped = point_changes(before, [Keypoint("left_eye", 20, 0), Keypoint("right_eye", 0, 0)], 0.5)
    assert (swapped.swapped_count, swapped.touched_count) == (1, 1)
    moved = point_changes(before, [Keypoint("left_eye", 20, 9), Keypoint("right_eye", 0, 9)], 0.5)
    assert (moved.moved_count, moved.touched_count) == (2, 2)


def test_what_was_deleted_and_drawn_again_is_marked() -> None:
    """With lineage a redrawn box stays a delete and an add, both marked; a box drawn elsewhere is not."""
    drafts = [draft("p1"), draft("p2", box=Box(200, 0, 250, 50))]
    labels = [final("a1"), final("a2", box=Box(400, 0, 450, 50))]
    script = edit_script(drafts, labels, lineage=True)
    assert [(e.op, e.redrawn) for e in script] == [
        ("delete", True), ("delete", False), ("add", True), ("add", False)
    ]  # fmt: skip
    # without a word from the tool nothing names a draft, so geometry decides
    assert [e.op for e in edit_script(drafts, labels)] == ["accept", "delete", "add"]


def test_one_id_is_one_object() -> None:
    """Two different objects under one id are refused: one of them would vanish."""
    with pytest.raises(ValueError, match="two different objects have the id p"):
        edit_script([draft(), draft(label="b")], [])


def test_effort_of_an_image_has_one_source() -> None:
    """Measured seconds stand where they were measured, modelled ones elsewhere, and the source says which."""
    script = edit_script([draft()], [final(label="b"), final("n", box=Box(100, 0, 150, 50))])
    modelled = effort_of(script)
    assert (modelled.predictions_count, modelled.labels_count, modelled.edits_count) == (1, 2, 2)
    assert modelled.model_seconds == pytest.approx(7.8 + 3.8 + 12.5)
    assert modelled.scratch_seconds == pytest.approx(7.8 + 2 * 12.5)
    assert (modelled.effort_source, modelled.seconds) == ("literature", modelled.model_seconds)
    timed = effort_of(script, active_seconds=11.0)
    assert (timed.effort_source, timed.seconds, timed.model_seconds) == ("measured", 11.0, modelled.model_seconds)


def test_intervals_hold_the_figure_and_shrink_with_images() -> None:
    """HER and saving lie in their intervals; a hundred times the images make a tenth of the width."""
    edits, labels = [0, 1, 4, 2], [4, 5, 6, 5]
    few, many = human_edit_rate(edits * 10, labels * 10), human_edit_rate(edits * 1000, labels * 1000)
    for rate in (few, many):
        assert rate.low is not None
        assert rate.high is not None
        assert rate.value is not None
        assert rate.low < rate.value < rate.high
    assert few.value == many.value == pytest.approx(7 / 20)
    width_few, width_many = (r.high - r.low for r in (few, many) if r.high is not None and r.low is not None)
    assert width_few / width_many == pytest.approx(10, rel=0.1)
    spent = saving([30.0, 10.0, 12.0], [20.0, 20.0, 20.0])
    assert spent.value == pytest.approx(1 - 52 / 60)
    assert spent.low is not None
    assert spent.low < 0 < 1 - 52 / 60
    assert human_edit_rate([1], [2]).low is None


def test_public_names_are_there() -> None:
    """Every name of `labelop.effort.__all__` can be had, and no other."""
    assert all(callable(getattr(labelop.effort, name)) for name in labelop.effort.__all__)
    with pytest.raises(AttributeError, match="no attribute 'guess'"):
        labelop.effort.guess  # noqa: B018
