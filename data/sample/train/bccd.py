"""Reads the BCCD photographs (MIT licence) for the cell detectors.

Exists so that the split rule stands in one place: learning may see `train.txt` only, measuring `val.txt` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "bccd"
Part = Literal["train", "val"]


@dataclass(frozen=True, slots=True)
class Photograph:
    """One photograph and its labelled cells."""

    name: str  # file name without ending
    path: Path  # the JPEG file
    boxes: tuple[tuple[float, float, float, float], ...]  # xyxy pixels of the photograph
    labels: tuple[str, ...]  # class name per box


def names(part: Part) -> tuple[str, ...]:
    """Names of the photographs in one part of the split, in the file's order."""
    return tuple((ROOT / f"{part}.txt").read_text(encoding="utf-8").split())


def photographs(part: Part) -> Iterator[Photograph]:
    """Yield the photographs of one part; boxes without area (the data set has two) are left out."""
    for name in names(part):
        boxes, labels = [], []
        for node in ET.parse(ROOT / "annotations" / f"{name}.xml").getroot().iter("object"):  # noqa: S314
            box = node.find("bndbox")
            assert box is not None
            x1, y1, x2, y2 = (float(box.findtext(key, "0")) for key in ("xmin", "ymin", "xmax", "ymax"))
            if x2 > x1 and y2 > y1:
                boxes.append((x1, y1, x2, y2))
                labels.append(node.findtext("name", ""))
        yield Photograph(name, ROOT / "images" / f"{name}.jpg", tuple(boxes), tuple(labels))
