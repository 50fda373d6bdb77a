"""int8 models are cards of their own, made with photographs, and near enough to their source on every engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from labelop.catalog import quantise as quantising
from labelop.catalog.cards import ModelCard, load_card, verify
from labelop.catalog.choice import ENGINES, installed_version
from labelop.catalog.quantise import TOLERANCE, quantise
from labelop.engines.base import ImageArray
from labelop.engines.measure import load_samples
from labelop.errors import CatalogError, DigestMismatchError, LabelopError
from tests.unit.engines.models import segmenter

pytest.importorskip("onnx")
ROOT = Path(__file__).resolve().parents[3]
SOURCE = load_card(ROOT / "data/sample/models/cells-small.yaml")


@pytest.fixture(scope="module")
def pictures() -> list[ImageArray]:
    """Read a few pictures of the kind the model is for."""
    return load_samples(ROOT / "data/sample/smears/images", 8)


def test_an_int8_model_finds_what_its_source_finds(tmp_path: Path, pictures: list[ImageArray]) -> None:
    """Each engine that is installed agrees within the tolerance, and the card says where the model comes from."""
    card, report = quantise(SOURCE, pictures[::2], tmp_path, judged=pictures[1::2])
    verify(card)
    assert [row.engine for row in report] == [name for name in ENGINES["onnx"] if installed_version(name)]
    assert all(row.holds and row.compared_count > 50 and row.difference <= TOLERANCE for row in report)
    assert (card.id, card.classes, card.quality) == ("cells-small-int8", SOURCE.classes, ())
    assert card.digest != SOURCE.digest
    text = card.path.read_text()
    assert f"model_digest: {SOURCE.digest}" in text
    assert f"images_count: {len(pictures[::2])}" in text
    assert len(json.loads((tmp_path / "cells-small-int8.parity.json").read_text())) == len(report)
    with pytest.raises(CatalogError, match="already"):
        quantise(SOURCE, pictures, tmp_path)


def test_what_differs_too_much_is_not_written(
    tmp_path: Path, pictures: list[ImageArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how far off it is on which engine; asked for all the same, it is written with its report."""
    monkeypatch.setattr(quantising, "TOLERANCE", -1.0)
    with pytest.raises(CatalogError, match="cells-small-int8 on onnxruntime differs from cells-small by"):
        quantise(SOURCE, pictures[:1], tmp_path)
    assert list(tmp_path.iterdir()) == []
    card, report = quantise(SOURCE, pictures[:1], tmp_path, refuse=False)
    verify(card)
    assert not any(row.holds for row in report)


def test_a_source_that_is_not_the_pinned_one_is_refused(tmp_path: Path, pictures: list[ImageArray]) -> None:
    """Other weights under the card's name make no model."""
    for path in (SOURCE.path, SOURCE.files["model"]):
        shutil.copy(path, tmp_path)
    with (tmp_path / "cells-small.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DigestMismatchError):
        quantise(load_card(tmp_path / "cells-small.yaml"), pictures, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_what_can_be_judged_is_made_int8(tmp_path: Path, pictures: list[ImageArray]) -> None:
    """A segmenter, and a detector without photographs, are refused before any work."""
    source: ModelCard = segmenter(tmp_path)
    for card, images in ((source, pictures), (SOURCE, [])):
        with pytest.raises(LabelopError, match="from one image or more"):
            quantise(card, images, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../../out", "/tmp/out", "Out", " a"])
def test_a_name_stays_in_its_folder(tmp_path: Path, pictures: list[ImageArray], name: str) -> None:
    """An id names files, so one that is no id is refused before anything is made."""
    with pytest.raises(CatalogError, match="Model id"):
        quantise(SOURCE, pictures[:1], tmp_path / "made", model_id=name)
    assert list(tmp_path.iterdir()) == []
