"""What pixels an arm takes follows from the cards of all its models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from labelop.engines.compose import ArmModels
from labelop.engines.prelabeller import ImageItem
from labelop.ingest.decode import Frame
from tests.unit.engines.models import classifier, detector, picture, segmenter


def arm(folder: Path, *allowed: bool) -> ArmModels:
    """Make a full arm whose cards allow scaled decoding or not."""
    made = (detector(folder), segmenter(folder), classifier(folder))
    return ArmModels(*(replace(card, scaled_decode=one) for card, one in zip(made, allowed, strict=True)))


@pytest.mark.parametrize("allowed", [(True, True, True), (False, True, True), (True, False, True), (True, True, False)])
def test_every_card_of_an_arm_has_to_allow_a_scale(tmp_path: Path, allowed: tuple[bool, bool, bool]) -> None:
    """One model that was not measured with scaled pixels keeps the whole arm from them."""
    assert arm(tmp_path, *allowed).frame(stretched=False).scaled == all(allowed)


def test_the_frame_covers_the_largest_input_on_each_side(tmp_path: Path) -> None:
    """Two inputs of other shapes need the larger width and the larger height, and cannot share stretched pixels."""
    made = arm(tmp_path, True, True, True)
    wide = replace(made, detector=replace(made.detector, width_px=900, height_px=1))
    height = max(made.segmenter.height_px, made.classifier.height_px) if made.segmenter and made.classifier else 0
    assert wide.frame(stretched=True) == Frame(900, height, scaled=True, stretched=False)
    alone = ArmModels(wide.detector)
    assert alone.frame(stretched=True) == Frame(900, 1, scaled=True, stretched=True)
    assert not alone.frame(stretched=False).stretched


def test_an_item_is_of_its_pixels_size_unless_told() -> None:
    """Whoever hands over whole pixels need not repeat their size."""
    assert (ImageItem("a", picture(), "public").width_px, ImageItem("a", picture(), "public").height_px) == (61, 47)
    assert ImageItem("a", picture(), "public", 610, 470).width_px == 610
