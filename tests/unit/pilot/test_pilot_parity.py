"""One model at two places: what agrees may be compared, and what moved is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pycocotools import mask as coco

from labelop.geometry import Box
from labelop.labels import Prediction
from labelop.pilot.parity import compare_places

SIZES = {"i": (80, 40)}


def drafts(label: str = "cell", count: int = 10, *, shift: float = 0.0, score: float = 0.9) -> list[Prediction]:
    """Make drafts of one class in a row."""
    return [
        Prediction(f"p{n}", label, score, draft=True, box=Box(n * 20.0 + shift, 0.0, n * 20.0 + 10 + shift, 10.0))
        for n in range(count)
    ]


def masked(shrunk: str = "") -> list[Prediction]:
    """Make a draft with a square mask of each of two classes; one may have lost half of its mask and kept its box."""
    made = []
    for at, name in ((0, "large"), (40, "small")):
        mask = np.zeros((SIZES["i"][1], SIZES["i"][0]), dtype=np.uint8, order="F")
        mask[0 : 10 if name == shrunk else 20, at : at + 20] = 1
        rle = coco.encode(mask)["counts"].decode("ascii")
        made.append(Prediction(name, name, 0.9, draft=True, box=Box(at, 0, at + 20, 20), mask_rle=rle))
    return made


def test_rounding_does_not_move_a_model() -> None:
    """A tenth of a pixel and a hundredth of score are the same object; so is one just below the draft score."""
    below = [Prediction("q", "cell", 0.49, draft=False, box=Box(500, 0, 510, 10))]
    above = [Prediction("q", "cell", 0.51, draft=True, box=Box(500, 0, 510, 10))]
    found = compare_places({"i": [*drafts(), *below]}, {"i": [*drafts(shift=0.1, score=0.91), *above]})
    assert (found.difference, found.objects_count, found.agrees) == (0.0, 21, True)


def test_the_class_that_moved_is_named() -> None:
    """Another resize moves the small class only; the places do not agree, and the sentence says which class."""
    here = {"i": [*drafts("large"), *drafts("small")]}
    there = {"i": [*drafts("large"), *drafts("small", shift=6.0)]}
    found = compare_places(here, there)
    assert not found.agrees
    assert (found.moved, found.by_class) == ("small", {"large": 0.0, "small": 1.0})
    assert "most moved small (100.0%)" in found.said


def test_another_class_or_score_is_another_object() -> None:
    """Boxes alone do not make two drafts the same, and labels of the whole image count by class and score."""
    assert compare_places({"i": drafts("a")}, {"i": drafts("b")}).difference == 1.0
    assert compare_places({"i": drafts()}, {"i": drafts(score=0.6)}).difference == 1.0
    farm, town = (Prediction("p", name, 0.9, draft=True) for name in ("farm", "town"))
    assert compare_places({"i": [farm]}, {"i": [farm]}).agrees
    assert not compare_places({"i": [farm]}, {"i": [town]}).agrees


def test_a_mask_that_moved_blocks_though_its_box_did_not() -> None:
    """Only boxes were compared: a segmenter that answers otherwise elsewhere is seen, and its class is named."""
    here, there = {"i": masked()}, {"i": masked(shrunk="large")}
    assert compare_places(here, here, sizes=SIZES).agrees
    found = compare_places(here, there, sizes=SIZES)
    assert (found.kind, found.moved, found.difference, found.objects_count) == ("masks", "large", 0.5, 4)
    assert found.by_class == {"large": 1.0, "small": 0.0}
    assert "50.0% of 4 masks on 1 images differ" in found.said
    assert not found.agrees
    assert compare_places(here, {"i": [replace(one, mask_rle=None) for one in masked()]}, sizes=SIZES).kind == "masks"


def test_a_class_of_whole_images_that_moved_is_not_lost_among_boxes() -> None:
    """Two of twenty images changed their class beside two thousand boxes: 0.2 % of all drafts agreed."""
    farm, town = (Prediction("p", name, 0.9, draft=True) for name in ("farm", "town"))
    here = {f"i{n}": [farm, *drafts(count=100)] for n in range(20)}
    there = here | {f"i{n}": [town, *drafts(count=100)] for n in range(2)}
    found = compare_places(here, there)
    assert (found.kind, found.moved, found.agrees) == ("classes of whole images", "town", False)
    assert found.difference == 0.1
    assert "most moved town (100.0%)" in found.said


def test_without_common_images_nothing_is_known() -> None:
    """No image at both places blocks the comparison with a reason; images without any draft agree."""
    found = compare_places({"i": drafts()}, {"j": drafts()})
    assert (found.difference, found.agrees) == (None, False)
    assert "No image" in found.said
    assert compare_places({"i": []}, {"i": []}).agrees
