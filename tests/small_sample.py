"""A night small enough to be killed and repeated many times: a few images of the drawn sample with their truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"


def make_dataset(name: str, target: Path, images: int) -> None:
    """Copy every n-th image of a drawn dataset, so that train and val parts and all levels are in it."""
    truth = json.loads((SAMPLE / name / "annotations.json").read_text())
    kept = truth["images"][:: max(1, len(truth["images"]) // images)][:images]
    ids = {image["id"] for image in kept}
    (target / "images").mkdir(parents=True)
    for image in kept:
        shutil.copy(SAMPLE / name / "images" / Path(image["file_name"]).name, target / "images")
    shutil.copy(SAMPLE / name / "levels.csv", target)
    truth["images"] = kept
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in ids]
    (target / "annotations.json").write_text(json.dumps(truth))


def make_night(folder: Path, images: int = 12) -> Path:
    """Write two small datasets, a few hostile files and the night file that names them."""
    for name in ("smears", "parcels"):
        make_dataset(name, folder / name, images)
    hostile = folder / "hostile"
    hostile.mkdir()
    for name in ("truncated.jpg", "empty.jpg", "bomb.png", "orientation_6.jpg", "original.jpg", "duplicate.jpg"):
        shutil.copy(SAMPLE / "hostile" / name, hostile)
    drawn = {"source_format": "coco", "simulate_reviews": True}
    night = [
        {"dataset": "smears", "source": str(folder / "smears"), **drawn},
        {"dataset": "parcels", "source": str(folder / "parcels"), **drawn},
        {"dataset": "hostile", "source": str(hostile), "source_format": "folder", "ontology": "cells"},
    ]
    path = folder / "night.yaml"
    path.write_text(yaml.safe_dump(night))
    return path
