"""Writes drawn scenes as a folder of JPEG files with COCO truth beside it.

Masks are COCO's compressed run lengths, written here by hand so that drawing needs numpy and Pillow only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .scene import Bools, Scene

QUALITY = 84  # of the JPEG files
LICENCE = {"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}
_GPS_IFD = 0x8825


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture as it is written."""

    file_name: str  # inside the dataset's `images` folder
    scene: Scene  # pixels and truth
    split: str  # train or val
    gps: bool = False  # whether the file carries an (invented) position in its EXIF part


def run_lengths(mask: Bools) -> str:
    """COCO's compressed run-length string of a mask [height, width].

    Runs go down the columns, the first one counts zeros. From the fourth run on the difference to the run two
    places earlier is stored, in groups of 5 bits with the sixth as "more follows", offset by 48 into ASCII
    (pycocotools, `rleToString`).
    """
    flat = mask.T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    if flat[0]:
        runs.insert(0, 0)
    out = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            out.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(out)


def _exif(gps: bool) -> Image.Exif:
    exif = Image.Exif()
    if gps:  # a place in the open Atlantic: nobody's address
        place = exif.get_ifd(_GPS_IFD)
        place.update({1: "N", 2: (0.0, 30.0, 0.0), 3: "W", 4: (30.0, 15.0, 0.0)})
    return exif


def _lines(rows: Sequence[dict[str, object]]) -> str:
    return "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"


def write(folder: Path, title: str, classes: tuple[str, ...], entries: Sequence[Entry]) -> None:
    """Write `images/*.jpg` and `annotations.json` (one row per line, so that changes show in a diff)."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, entry in enumerate(entries, start=1):
        height, width, _ = entry.scene.pixels.shape
        picture = Image.fromarray(entry.scene.pixels)
        picture.save(folder / "images" / entry.file_name, quality=QUALITY, optimize=True, exif=_exif(entry.gps))
        head = {"id": image_id, "file_name": entry.file_name, "width": width, "height": height, "license": 1}
        images.append({**head, "split": entry.split, **entry.scene.extra})
        for one in entry.scene.objects:
            x1, y1, x2, y2 = one.box
            row = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": classes.index(one.label) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": int(one.mask.sum()),
                "iscrowd": 0,
                "segmentation": {"size": [height, width], "counts": run_lengths(one.full_mask(height, width))},
            }
            annotations.append(row)
    info = {"description": title, "version": "1"}
    categories: list[dict[str, object]] = [{"id": k, "name": name} for k, name in enumerate(classes, start=1)]
    text = (
        f'{{"info":{json.dumps(info)},\n"licenses":{_lines([LICENCE])},\n"images":{_lines(images)},\n'
        f'"annotations":{_lines(annotations)},\n"categories":{_lines(categories)}}}\n'
    )
    (folder / "annotations.json").write_text(text, encoding="utf-8")
