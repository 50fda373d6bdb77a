"""Telling what reviewers changed in many images, against matching alone by what else one would take.

The peers only pair boxes; ours prices the pairs, finds the cheapest script and writes its operations. All take the same
images in a call, in the quick form a part of them. Before anything is timed, our pairs are held against SciPy's over
the same costs, image by image.
"""

from __future__ import annotations

import contextlib
import gc
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure import Work, measure
from bench.ratios import Table, Target
from labelop.effort.changes import drags
from labelop.effort.columns import BoxColumns, EditColumns, edit_scripts
from labelop.effort.parameters import DEFAULTS
from labelop.effort.ties import OVERLAP_SECONDS, tie_seconds
from labelop.geometry import Box, iou_matrix

IMAGES, BOXES = 100_000, 10
_SPREAD_PX, _CROWD_PX = 500.0, 100.0
_QUICK_IMAGES, _SINGLE_IMAGES = 2_000, 200
_COCO = "pycocotools evaluate, one threshold"
_LEAN = "pycocotools evaluate, one threshold and one range of areas"
_LOOP, _CROWD_LOOP = "numpy IoU + scipy assignment, pairs only", "numpy IoU + scipy assignment, pairs only, crowded"
_OURS, _CROWD_OURS = "ours, whole edit scripts", "ours, whole edit scripts, crowded"
_ONE_BY_ONE = "ours, one image at a time"
_Sides = tuple[NDArray[np.float64], NDArray[np.float64]]


def drawn(images: int, spread_px: float) -> _Sides:
    """Draw boxes of 20 to 90 px and what became of them (edges off by 3 px), shape (images, BOXES, 4) each.

    Args:
        images: How many images.
        spread_px: Side of the square that their corners lie in; less is more of a crowd.
    """
    draw = np.random.default_rng(5)
    corner = draw.uniform(0, spread_px, (images, BOXES, 2))
    before = np.concatenate([corner, corner + draw.uniform(20, 90, corner.shape)], axis=2)
    return before, before + draw.normal(0, 3, before.shape)


def matching_table(rounds: int, seconds: float, *, quick: bool) -> Table:
    """Measure images per second of edit scripts and of matching alone.

    Args:
        rounds: Rounds of all cases.
        seconds: About how long a case runs in a round.
        quick: Whether peers take a part of the images; all of them take minutes and gigabytes.
    """
    peer_images = _QUICK_IMAGES if quick else IMAGES
    loose, crowd = drawn(IMAGES, _SPREAD_PX), drawn(IMAGES, _CROWD_PX)
    for sides in (loose, crowd):
        _same_as_scipy(sides)
    both = _coco_sides(loose, peer_images)
    cases: dict[str, Work] = {
        _COCO: _coco(*both, peer_images, lean=False),
        _LEAN: _coco(*both, peer_images, lean=True),
        _LOOP: _loop(loose),
        _ONE_BY_ONE: _one_by_one(loose),
        _OURS: _ours(loose),
        _CROWD_LOOP: _loop(crowd),
        _CROWD_OURS: _ours(crowd),
    }
    steps = dict.fromkeys(cases, peer_images) | {_OURS: IMAGES, _CROWD_OURS: IMAGES, _ONE_BY_ONE: _SINGLE_IMAGES}
    # the collector would walk pycocotools' million records while others are timed
    gc.collect()
    gc.freeze()
    return Table(
        "matching",
        f"Matching drafts with corrected boxes, {BOXES} an image",
        "images/s",
        _COCO,
        measure(cases, rounds, seconds, steps),
        targets=(
            Target(_OURS, _COCO, 80.0, "times pycocotools at one threshold"),
            Target(_OURS, _LOOP, 8.0, "times a loop over SciPy"),
            Target(_CROWD_OURS, _CROWD_LOOP, 8.0, "times a loop over SciPy, crowded"),
        ),
        notes=(
            f"Ours does all {IMAGES:,} images in a call, on one thread, compiled by Numba.",
            f"Peers do {peer_images:,} of them at a time; who takes over a second for that has two rounds.",
            "An edit script is more than pairs: it holds operations, drags and seconds of each object.",
            f"In all {IMAGES:,} images of both sets our pairs equal those of SciPy over the same costs.",
        ),
    )


def _scripts(sides: _Sides) -> EditColumns:
    starts = np.arange(len(sides[0]) + 1) * BOXES
    classes = np.zeros(starts[-1], dtype=np.int64)
    drafts, labels = (BoxColumns(side.reshape(-1, 4), classes, starts) for side in sides)
    return edit_scripts(drafts, labels)


def _same_as_scipy(sides: _Sides) -> None:
    """Compare our pairs with SciPy's over the same costs, image by image; raise where one differs."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    found = _scripts(sides)
    paired = (found.draft >= 0) & (found.label >= 0)
    ours: list[set[tuple[int, int]]] = [set() for _ in sides[0]]
    for k, draft, label in zip(*(one[paired].tolist() for one in (found.image, found.draft, found.label)), strict=True):
        ours[k].add((draft % BOXES, label % BOXES))
    for k, (before, after) in enumerate(zip(*sides, strict=True)):
        iou, cost = iou_matrix(before, after), np.zeros((2 * BOXES, 2 * BOXES))
        cost[:BOXES, :BOXES] = 1e6
        cost[:BOXES, BOXES:], cost[BOXES:, :BOXES] = DEFAULTS.delete_seconds, DEFAULTS.add_box_seconds
        for i, j in np.argwhere(iou >= DEFAULTS.tau_match).tolist():
            moved = drags(Box(*before[i]), Box(*after[j]), DEFAULTS.drag_tolerance_px)
            same = iou[i, j] >= DEFAULTS.tau_same
            spent = DEFAULTS.accept_box_seconds if same else DEFAULTS.adjust_seconds(moved)
            cost[i, j] = spent + tie_seconds(i, j) - OVERLAP_SECONDS * iou[i, j]
        pairs = zip(*(side.tolist() for side in linear_sum_assignment(cost)), strict=True)
        theirs = {(i, j) for i, j in pairs if i < BOXES and j < BOXES}
        if ours[k] != theirs:
            raise RuntimeError(f"image {k}: our pairs {sorted(ours[k])}, SciPy's {sorted(theirs)}")


def _ours(sides: _Sides) -> Work:
    def work(count: int) -> None:
        for _ in range(count // IMAGES):
            _scripts(sides)

    return work


def _one_by_one(sides: _Sides) -> Work:
    from labelop.effort.script import edit_script  # noqa: PLC0415
    from labelop.labels import AcceptedLabel, Prediction  # noqa: PLC0415

    befores, afters = (side[:_SINGLE_IMAGES].tolist() for side in sides)
    pairs = [
        (
            [Prediction(f"p-{i}", "RBC", 0.9, True, Box(*box)) for i, box in enumerate(before)],
            [AcceptedLabel(f"l-{i}", "RBC", Box(*box)) for i, box in enumerate(after)],
        )
        for before, after in zip(befores, afters, strict=True)
    ]

    def work(count: int) -> None:
        for k in range(count):
            edit_script(*pairs[k % _SINGLE_IMAGES])

    return work


def _loop(sides: _Sides) -> Work:
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    before, after = sides

    def work(count: int) -> None:
        for k in range(count):
            linear_sum_assignment(-iou_matrix(before[k % IMAGES], after[k % IMAGES]))

    return work


def _coco_sides(sides: _Sides, images: int) -> tuple[Any, Any]:
    """Give pycocotools the labels as truth and the drafts as answers of the first images."""
    from pycocotools.coco import COCO  # noqa: PLC0415

    def side_of(boxes: NDArray[np.float64]) -> Any:
        found: list[dict[str, Any]] = []
        for i, image in enumerate(boxes.tolist()):
            for x0, y0, x1, y1 in image:
                box = [x0, y0, x1 - x0, y1 - y0]
                found.append({"id": len(found) + 1, "image_id": i, "category_id": 1, "bbox": box, "score": 0.9})
                found[-1] |= {"area": box[2] * box[3], "iscrowd": 0}
        side, known = COCO(), [{"id": i} for i in range(len(boxes))]
        side.dataset = {"images": known, "annotations": found, "categories": [{"id": 1, "name": "RBC"}]}
        side.createIndex()
        return side

    with contextlib.redirect_stdout(io.StringIO()):
        truth, answers = (side_of(side[:images]) for side in reversed(sides))
    return truth, answers


def _coco(truth: Any, answers: Any, images: int, *, lean: bool) -> Work:
    """Make pycocotools' case; lean leaves out its three ranges of areas, each of which is matched anew."""
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    def work(count: int) -> None:
        for _ in range(count // images):
            with contextlib.redirect_stdout(io.StringIO()):
                evaluation = COCOeval(truth, answers, "bbox")
                evaluation.params.iouThrs = np.array([0.5])
                if lean:
                    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
                evaluation.evaluate()

    return work
