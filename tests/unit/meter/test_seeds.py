"""Errors made on purpose are wrong as they say, lie in the image, and are found again whatever was done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from labelop.effort.estimates import Estimate
from labelop.geometry import Box, boxes_to_array, iou_matrix
from labelop.labels import AcceptedLabel, Prediction
from labelop.meter.pairs import Pass, agreement_figures, comparable
from labelop.meter.seeds import SHIFTED_IOU, Kind, Seed, escaped, seed_task, shown_drafts
from labelop.review.tasks import ReviewTask

DRAFTS = (
    Prediction("p-0", "RBC", 0.9, draft=True, box=Box(10, 10, 60, 60), mask_rle="mask"),
    Prediction("p-1", "WBC", 0.8, draft=True, box=Box(100, 100, 180, 180)),
)
RIGHT = {draft.prediction_id: draft for draft in DRAFTS}


def task(drafts: tuple[Prediction, ...] = DRAFTS, side_px: int = 320) -> ReviewTask:
    """Make a task."""
    return ReviewTask("t", "d", "v", "i", "a.jpg", "b", "local", "m", "digest", side_px, side_px, drafts)


def seeded(kind: Kind, number: int = 0, of: str = "RBC", shown_as: str = "WBC", **changes: Any) -> Seed | None:
    """Make one error."""
    return seed_task(task(**changes), {(kind, of, shown_as): 1.0}, np.random.default_rng(number))


def kept(drafts: tuple[Prediction, ...]) -> list[AcceptedLabel]:
    """Submit drafts as they are shown."""
    return [AcceptedLabel(d.prediction_id, d.label, d.box, prediction_id=d.prediction_id) for d in drafts]


@pytest.mark.parametrize("kind", ["wrong_class", "shifted_box", "missing_object", "spurious_object"])
@pytest.mark.parametrize("number", range(20))
def test_an_error_escapes_who_keeps_it_and_not_who_mends_it(kind: Kind, number: int) -> None:
    """Kept drafts hold the error; the model's own drafts do not, by somebody who never saw it either."""
    seed = seeded(kind, number)
    assert seed is not None
    shown = shown_drafts(DRAFTS, seed)
    assert shown != DRAFTS
    assert escaped(seed, kept(shown))
    blind = [AcceptedLabel(f"l-{n}", d.label, d.box) for n, d in enumerate(DRAFTS)]
    assert not escaped(seed, kept(DRAFTS))
    assert not escaped(seed, blind)


@pytest.mark.parametrize("side_px", [320, 182])
def test_a_shifted_box_lies_in_the_image(side_px: int) -> None:
    """It overlaps the model's box by 0.5 to 0.7, in an image that leaves no room as well, and shows no mask."""
    for number in range(30):
        seed = seeded("shifted_box", number, of="WBC", drafts=DRAFTS, side_px=side_px)
        assert seed is not None
        assert seed.wrong is not None
        assert seed.right is not None
        box, before = seed.wrong.box, seed.right.box
        assert box is not None
        assert before is not None
        overlap = float(iou_matrix(boxes_to_array([box]), boxes_to_array([before]))[0, 0])
        assert SHIFTED_IOU[0] - 1e-9 <= overlap <= SHIFTED_IOU[1] + 1e-9
        assert box.clipped(side_px, side_px) == box
        assert seed.wrong.mask_rle is None


def test_where_nothing_fits_nothing_is_made() -> None:
    """No object of the class, two that could be taken for each other, or no free place: no error."""
    assert seeded("missing_object", of="Platelets") is None
    crowd = (DRAFTS[0], Prediction("p-2", "RBC", 0.7, draft=True, box=Box(15, 10, 65, 60)))
    assert seeded("missing_object", drafts=crowd) is None
    full = (Prediction("p-0", "RBC", 0.9, draft=True, box=Box(0, 0, 320, 320)),)
    assert seeded("spurious_object", drafts=full) is None


def test_labels_of_the_whole_image_only_get_a_wrong_class() -> None:
    """They lie nowhere, so they can be neither moved nor missed."""
    whole = (Prediction("p-0", "thin", 0.9, draft=True),)
    assert seeded("shifted_box", of="thin", drafts=whole) is None
    seed = seeded("wrong_class", of="thin", shown_as="thick", drafts=whole)
    assert seed is not None
    assert escaped(seed, [AcceptedLabel("l", "thick")])
    assert not escaped(seed, [AcceptedLabel("l", "thin")])


def test_pairs_are_of_two_people_and_two_arms() -> None:
    """Two reviews of one draft and two by one person are never compared."""

    def made(arm: str, reviewer: str) -> Pass:
        return Pass("i", f"b-{arm}", arm, reviewer, (AcceptedLabel(f"{arm}-{reviewer}", "RBC", Box(0, 0, 9, 9)),))

    same_draft = comparable([], [made("local", "ann"), made("local", "ben")])
    assert same_draft == {"blind": [], "cross-arm": []}
    same_person = comparable([made("blind", "ann")], [made("local", "ann")])
    assert same_person == {"blind": [], "cross-arm": []}
    found = comparable([made("blind", "ann"), made("blind", "cid")], [made("local", "ben"), made("cloud", "ann")])
    assert {name: len(pairs) for name, pairs in found.items()} == {"blind": 1, "cross-arm": 1}


def test_people_who_found_nothing_are_told_of() -> None:
    """Pairs without any label had no figure of agreement, though a dataset without reviews has."""
    empty = [Pass("i", "b", "blind", reviewer, ()) for reviewer in ("ann", "cid")]
    found = {(measure, name): estimate for measure, _, name, estimate, _ in agreement_figures(empty, [])}
    assert found == {key: Estimate(None, None, None, 0) for key in found}
    assert ("agreement_alpha", "blind") in found
