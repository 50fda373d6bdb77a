"""The parts beside the model: decoding, landing and matching, each against what else one would write."""

from __future__ import annotations

import contextlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.engines import CORES, cycle, fast_decode, pillow_decode
from bench.measure import Work, measure
from bench.photos import photos
from bench.ratios import Table
from labelop.effort.script import edit_script
from labelop.geometry import Box, iou_matrix
from labelop.ingest.decode import decode
from labelop.labels import AcceptedLabel, Prediction

_TARGET_PX = (224, 224)
_IMAGES, _BOXES = 2000, 20
_WANTED = 1_000_000
_MATCHED_IMAGES, _MATCHED_BOXES = 200, 10


def decode_table(size: str, folder: Path, rounds: int, seconds: float) -> Table:
    """Measure decoding JPEGs of one size to a 224 px input."""
    paths = photos(size, folder)

    def simplejpeg_full(path: Path) -> Any:
        import simplejpeg  # noqa: PLC0415 - an extra of its own

        return simplejpeg.decode_jpeg(path.read_bytes())

    def pillow(path: Path) -> Any:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    def pillow_stretched(path: Path) -> Any:
        with Image.open(path) as image:
            return np.asarray(image.resize(_TARGET_PX, Image.Resampling.BILINEAR))

    def ours(path: Path) -> Any:
        return decode(path.read_bytes())

    single = {
        "Pillow, all pixels": pillow,
        "simplejpeg, all pixels": simplejpeg_full,
        "ours, all pixels (checked, turned upright)": ours,
        "Pillow + stretch": pillow_stretched,
        "Pillow scaled + stretch": lambda path: pillow_decode(path, _TARGET_PX),
        "simplejpeg scaled + stretch": lambda path: fast_decode(path, _TARGET_PX),
    }
    cases = {f"{name}, 1 thread": _one_by_one(step, paths) for name, step in single.items()}
    reference = "Pillow, all pixels, 1 thread"
    for name in ("ours, all pixels (checked, turned upright)", "simplejpeg scaled + stretch"):
        cases[f"{name}, {CORES} threads"] = _pooled(single[name], paths)
    title = f"Decoding JPEG, {size}"
    return Table(f"decode-{size}", title, "images/s", reference, measure(cases, rounds, seconds, 8))


def _one_by_one(step: Any, paths: list[Path]) -> Work:
    def work(count: int) -> None:
        for path in cycle(paths, count):
            step(path)

    return work


def _pooled(step: Any, paths: list[Path]) -> Work:
    def work(count: int) -> None:
        with ThreadPoolExecutor(CORES) as pool:
            for _ in pool.map(step, cycle(paths, count)):
                pass

    return work


def matching_table(rounds: int, seconds: float) -> Table:
    """Measure images per second of telling what a reviewer changed, 10 boxes an image."""
    draw = np.random.default_rng(5)
    corner = draw.uniform(0, 500, (_MATCHED_IMAGES, _MATCHED_BOXES, 2))
    before = np.concatenate([corner, corner + draw.uniform(20, 90, corner.shape)], axis=2)
    after = before + draw.normal(0, 3, before.shape)
    pairs = [
        (
            [Prediction(f"p-{i}-{k}", "RBC", 0.9, True, Box(*map(float, box))) for k, box in enumerate(before[i])],
            [AcceptedLabel(f"l-{i}-{k}", "RBC", Box(*map(float, box))) for k, box in enumerate(after[i])],
        )
        for i in range(_MATCHED_IMAGES)
    ]

    def ours(count: int) -> None:
        for i in range(count):
            edit_script(*pairs[i % _MATCHED_IMAGES])

    def loop(count: int) -> None:
        from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

        for i in range(count):
            linear_sum_assignment(-iou_matrix(before[i % _MATCHED_IMAGES], after[i % _MATCHED_IMAGES]))

    cases: dict[str, Work] = {
        "pycocotools evaluate, one threshold": _coco(before, after),
        "numpy IoU + scipy assignment, pairs only": loop,
        "ours, whole edit scripts": ours,
    }
    return Table(
        "matching",
        f"Matching drafts with corrected boxes, {_MATCHED_BOXES} an image",
        "images/s",
        "pycocotools evaluate, one threshold",
        measure(cases, rounds, seconds, _MATCHED_IMAGES),
        notes=("An edit script is more than pairs: it holds operations, drags and seconds of each object.",),
    )


def _coco(before: Any, after: Any) -> Work:
    from pycocotools.coco import COCO  # noqa: PLC0415
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    def records(boxes: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for i in range(_MATCHED_IMAGES):
            for x0, y0, x1, y1 in boxes[i]:
                box = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
                found.append({"id": len(found) + 1, "image_id": i, "category_id": 1, "bbox": box, "score": 0.9})
                found[-1] |= {"area": box[2] * box[3], "iscrowd": 0}
        return found

    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for boxes in (after, before):
            side = COCO()
            images = [{"id": i} for i in range(_MATCHED_IMAGES)]
            side.dataset = {"images": images, "annotations": records(boxes), "categories": [{"id": 1, "name": "RBC"}]}
            side.createIndex()
            sides.append(side)

    def work(count: int) -> None:
        for _ in range(count // _MATCHED_IMAGES):
            with contextlib.redirect_stdout(io.StringIO()):
                evaluation = COCOeval(*sides, "bbox")
                evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
                evaluation.params.maxDets, evaluation.params.iouThrs = [100], np.array([0.5])
                evaluation.evaluate()

    return work
