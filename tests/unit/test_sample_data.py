"""The sample is what its README says: drawn from seeds, exact in its truth, and measured, not promised."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from data.sample.draw import __main__ as drawing
from data.sample.draw import hostile, parcels, smears, truth
from data.sample.train import bccd, evaluate, files, material

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
DATASETS = ("smears", "parcels")
DETECTORS = ("cells-small", "cells-large", "parcels-small", "parcels-large")
CARDS = (*DETECTORS, "parcels-landuse", "boxes-to-masks")
MOST_BYTES = 20 * 1000 * 1000
GPS_IFD = 0x8825


def coco(dataset: str) -> dict[str, Any]:
    """The truth of one dataset."""
    loaded: dict[str, Any] = json.loads((SAMPLE / dataset / "annotations.json").read_text(encoding="utf-8"))
    return loaded


def card(name: str) -> dict[str, Any]:
    """One model card."""
    loaded: dict[str, Any] = yaml.safe_load((SAMPLE / "models" / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def levels(dataset: str) -> dict[str, str]:
    """Declared level per file name."""
    with (SAMPLE / dataset / "levels.csv").open(encoding="utf-8", newline="") as table:
        return {row["file_name"]: row["level"] for row in csv.DictReader(table)}


@pytest.mark.parametrize("dataset", DATASETS)
def test_truth_is_valid(dataset: str) -> None:
    """Every picture is listed with its size, and every box and mask lie inside it and agree to the pixel."""
    whole = coco(dataset)
    images = {row["id"]: row for row in whole["images"]}
    assert len(images) >= 150
    assert sum(row["split"] == "val" for row in images.values()) >= 30
    assert {row["file_name"] for row in images.values()} == {p.name for p in (SAMPLE / dataset / "images").iterdir()}
    for row in images.values():
        with Image.open(SAMPLE / dataset / "images" / row["file_name"]) as image:
            assert image.size == (row["width"], row["height"])
    for one in whole["annotations"]:
        x, y, w, h = one["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + w <= images[one["image_id"]]["width"]
        assert y + h <= images[one["image_id"]]["height"]
        assert coco_mask.toBbox(one["segmentation"]).tolist() == [x, y, w, h]
        assert coco_mask.area(one["segmentation"]) == one["area"]


@pytest.mark.parametrize(("dataset", "least", "most"), [("smears", 10, 60), ("parcels", 2, 15)])
def test_scenes_are_as_dense_as_promised(dataset: str, least: int, most: int) -> None:
    """The number of objects in a picture stays within the dataset's range, and every class occurs."""
    whole = coco(dataset)
    counts = np.bincount([one["image_id"] for one in whole["annotations"]], minlength=len(whole["images"]) + 1)[1:]
    assert counts.min() >= least
    assert counts.max() <= most
    assert {one["category_id"] for one in whole["annotations"]} == {row["id"] for row in whole["categories"]}


def test_run_lengths_equal_the_reference() -> None:
    """The hand-written run lengths are those of pycocotools, also when the first pixel is set."""
    rng = np.random.default_rng(3)
    for density in (0.0, 0.02, 0.5, 0.98, 1.0):
        mask = rng.random((37, 53)) < density
        reference = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert truth.run_lengths(mask).encode() == reference["counts"]


def test_drawing_again_gives_the_shipped_pictures(tmp_path: Path) -> None:
    """Two drawings of the same pictures are equal to the byte, and equal to what ships up to rounding."""
    chosen = frozenset({0, 6, 9, 77})
    for run in ("one", "two"):
        truth.write(tmp_path / run / "smears", "", smears.CLASSES, drawing.smear_entries(chosen)[0])
        truth.write(tmp_path / run / "parcels", "", parcels.CLASSES, drawing.parcel_entries(chosen)[0])
    redrawn = sorted((tmp_path / "one").rglob("*.jpg"))
    assert len(redrawn) == 2 * len(chosen)
    for path in redrawn:
        inside = path.relative_to(tmp_path / "one")
        assert path.read_bytes() == (tmp_path / "two" / inside).read_bytes()
        with Image.open(path) as new, Image.open(SAMPLE / inside) as shipped:
            # other processors round sines differently in the last place, which may move a pixel by one step
            difference = np.abs(np.asarray(new).astype(int) - np.asarray(shipped).astype(int))
            assert difference.mean() < 0.05
            assert new.getexif().get_ifd(GPS_IFD) == shipped.getexif().get_ifd(GPS_IFD)


def test_levels_and_positions_cover_the_cases() -> None:
    """Parcels are all public; smears are declared at every level or not at all, some public ones with a position."""
    assert set(levels("parcels").values()) == {"public"}
    declared = levels("smears")
    names = [row["file_name"] for row in coco("smears")["images"]]
    assert set(declared) < set(names)
    assert set(declared.values()) == {"public", "internal", "confidential", "restricted"}
    with_position = set()
    for name in names:
        with Image.open(SAMPLE / "smears" / "images" / name) as image:
            if image.getexif().get_ifd(GPS_IFD):
                with_position.add(name)
    assert 0.1 <= len(with_position) / len(names) <= 0.2
    assert sum(declared.get(name) == "public" for name in with_position) >= 3
    shareable = [level for level in declared.values() if level in {"public", "internal"}]
    assert 0.35 <= len(shareable) / len(names) <= 0.45


def test_hostile_files_are_all_listed() -> None:
    """`expected.csv` names every hostile file once, and the files are what the script makes."""
    with (SAMPLE / "hostile" / "expected.csv").open(encoding="utf-8", newline="") as table:
        listed = {unquote(row["file_name"]): (row["outcome"], row["reason"]) for row in csv.DictReader(table)}
    found = {path.name for path in (SAMPLE / "hostile").iterdir()} - {"expected.csv"}
    assert set(listed) == found
    assert {reason for _, reason in listed.values()} == {
        "",
        "EMPTY",
        "CORRUPT",
        "TOO_LARGE",
        "NOT_RASTER",
        "UNSUPPORTED_FORMAT",
    }
    assert listed == {name: (outcome, reason) for name, _, outcome, reason in hostile.files()}


def test_the_sample_is_small() -> None:
    """All that ships under data/sample stays within 20 MB."""
    shipped = [path for path in SAMPLE.rglob("*") if path.is_file()]
    kept = [path for path in shipped if not {".checkpoints", "__pycache__"} & set(path.parts)]
    assert sum(path.stat().st_size for path in kept) <= MOST_BYTES


@pytest.mark.parametrize("name", CARDS)
def test_cards_pin_their_files(name: str) -> None:
    """A card's digests, size and quality rows belong to the files beside it."""
    own = card(name)
    paths = {role: SAMPLE / "models" / file for role, file in own["files"].items()}
    assert own["id"] == name
    assert own["digests"] == {role: files.digest(path) for role, path in paths.items()}
    assert own["size_bytes"] == sum(path.stat().st_size for path in paths.values())
    assert own["quality"]
    assert all(row["split"] == "val" and row["image_count"] >= 30 for row in own["quality"])


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_detector_figures_can_be_measured_again(name: str) -> None:
    """The AP50 in a card is what its file reaches on the sample's held-out part today."""
    own, dataset = card(name), "smears" if name.startswith("cells") else "parcels"
    rows = evaluate.detector_quality(
        name, tuple(own["classes"]), own["postprocess"]["draft_score"], dataset, evaluate.sample(dataset)
    )
    stated = {row["metric"]: row["value"] for row in own["quality"] if row["dataset"] == dataset}
    measured = {row["metric"]: row["value"] for row in rows}
    assert measured == pytest.approx(stated, abs=0.01)


@pytest.mark.slow
def test_the_larger_cell_detector_is_clearly_better_on_photographs() -> None:
    """On BCCD's val part the larger detector reaches at least 0.75 AP50, as its card says, and beats the smaller."""
    measured = {}
    for name in ("cells-small", "cells-large"):
        own = card(name)
        rows = evaluate.detector_quality(
            name, tuple(own["classes"]), own["postprocess"]["draft_score"], "bccd", evaluate.photographs()
        )
        measured[name] = float(next(str(row["value"]) for row in rows if row["metric"] == "ap50"))
        stated = next(row["value"] for row in own["quality"] if (row["dataset"], row["metric"]) == ("bccd", "ap50"))
        assert measured[name] == pytest.approx(stated, abs=0.01)
    assert measured["cells-large"] >= 0.75
    assert measured["cells-large"] >= measured["cells-small"] + 0.05


def test_training_never_sees_held_out_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detectors' material reads BCCD's training part only, and the two parts share no photograph."""
    assert len(bccd.names("train")) == 205
    assert not set(bccd.names("train")) & set(bccd.names("val"))
    opened: list[str] = []
    really_open = Image.open

    def watched(path: Path) -> Image.Image:
        opened.append(Path(path).stem)
        return really_open(path)

    monkeypatch.setattr(Image, "open", watched)
    assert len(material.bccd_items(16, 12)) == 205
    assert set(opened) == set(bccd.names("train"))
