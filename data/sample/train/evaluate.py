"""Measures the shipped ONNX files: the only source of the quality figures in the cards.

Written apart from the product's engines on purpose: two independent readings of the same file must agree.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from . import bccd, files

SAMPLE = Path(__file__).resolve().parents[1]
MIN_SCORE, NMS_IOU, MOST = 0.05, 0.6, 100
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """One picture with its accepted boxes."""

    image: Image.Image  # RGB
    boxes: Floats  # [n, 4] xyxy pixels
    labels: tuple[str, ...]  # class name per box


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector found in one picture, best first."""

    boxes: Floats  # [n, 4] xyxy pixels
    scores: Floats  # [n]
    labels: tuple[str, ...]  # class name per box


def overlap(one: Floats, many: Floats) -> Floats:
    """Intersection over union of [n, 4] with [m, 4] boxes, [n, m]."""
    low = np.maximum(one[:, None, :2], many[None, :, :2])
    high = np.minimum(one[:, None, 2:], many[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    areas = (one[:, 2:] - one[:, :2]).prod(1)[:, None] + (many[:, 2:] - many[:, :2]).prod(1)[None, :]
    return np.asarray(common / np.maximum(areas - common, 1e-9))


def _suppress(boxes: Floats, scores: Floats) -> list[int]:
    """Greedy non-maximum suppression within one class; kept indices, best first."""
    kept: list[int] = []
    pairs = overlap(boxes, boxes)
    for index in np.argsort(-scores, kind="stable"):
        if all(pairs[index, other] <= NMS_IOU for other in kept):
            kept.append(int(index))
    return kept


def detect(session: ort.InferenceSession, classes: tuple[str, ...], image: Image.Image) -> Found:
    """Run a detector on one picture."""
    _, height, width, _ = session.get_inputs()[0].shape
    small = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))[None]
    logits, centred = (part[0].astype(np.float64) for part in session.run(["logits", "boxes"], {"images": small}))
    scores = 1.0 / (1.0 + np.exp(-logits))
    half = centred[:, 2:] / 2
    boxes = np.concatenate([centred[:, :2] - half, centred[:, :2] + half], 1).clip(0, 1)
    boxes = boxes * np.array([image.width, image.height] * 2)
    rows: list[tuple[float, int, int]] = []
    for klass in range(len(classes)):
        top = np.flatnonzero(scores[:, klass] >= MIN_SCORE)
        top = top[np.argsort(-scores[top, klass], kind="stable")[:MOST]]
        rows += [(float(scores[top[k], klass]), klass, int(top[k])) for k in _suppress(boxes[top], scores[top, klass])]
    rows.sort(key=lambda row: -row[0])
    rows = rows[:MOST]
    return Found(
        boxes[[row[2] for row in rows]].reshape(-1, 4),
        np.array([row[0] for row in rows]),
        tuple(classes[row[1]] for row in rows),
    )


def sample(dataset: str, split: str = "val") -> Iterator[Truth]:
    """The drawn pictures of one split as they ship."""
    folder = SAMPLE / dataset
    truth = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    names = {row["id"]: row["name"] for row in truth["categories"]}
    for row in truth["images"]:
        if row["split"] == split:
            own = [one for one in truth["annotations"] if one["image_id"] == row["id"]]
            boxes = np.array([one["bbox"] for one in own], dtype=np.float64).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            with Image.open(folder / "images" / row["file_name"]) as image:
                yield Truth(image.convert("RGB"), boxes, tuple(names[one["category_id"]] for one in own))


def photographs(part: bccd.Part = "val") -> Iterator[Truth]:
    """BCCD's photographs of one part."""
    for photo in bccd.photographs(part):
        with Image.open(photo.path) as image:
            yield Truth(image.convert("RGB"), np.array(photo.boxes, dtype=np.float64), photo.labels)


def average_precision(classes: tuple[str, ...], truths: list[Truth], found: list[Found]) -> dict[str, float]:
    """AP at IoU 0.50 by pycocotools, 100 detections an image: the mean as `ap50` and one `ap50:CLASS` per class."""
    annotations, results = [], []
    for image_id, (truth, guess) in enumerate(zip(truths, found, strict=True), start=1):
        for box, label in zip(truth.boxes, truth.labels, strict=True):
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            row = {"id": len(annotations) + 1, "image_id": image_id, "category_id": classes.index(label), "iscrowd": 0}
            annotations.append(row | {"bbox": [x, y, w, h], "area": w * h})
        for box, score, label in zip(guess.boxes, guess.scores, guess.labels, strict=True):
            corner = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": image_id, "category_id": classes.index(label), "bbox": corner, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": k + 1, "width": t.image.width, "height": t.image.height} for k, t in enumerate(truths)],
            "annotations": annotations,
            "categories": [{"id": k, "name": name} for k, name in enumerate(classes)],
        }
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(results), "bbox")
        run.params.iouThrs = np.array([0.5])
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][0, :, :, 0, -1]  # [recall, class] at area "all", 100 detections
    each = {f"ap50:{name}": float(precision[:, k].mean()) for k, name in enumerate(classes)}
    return {"ap50": float(np.mean(list(each.values()))), **each}


def hits(truth: Truth, guess: Found, label: str, least: float) -> tuple[int, int, int]:
    """Right, guessed and labelled boxes of one class at score `least`, matched greedily at IoU 0.5."""
    mine = [k for k, name in enumerate(guess.labels) if name == label and guess.scores[k] >= least]
    theirs = [k for k, name in enumerate(truth.labels) if name == label]
    pairs = overlap(guess.boxes[mine], truth.boxes[theirs])
    free, right = set(range(len(theirs))), 0
    for row in pairs:
        best = max(free, key=lambda k: row[k], default=None)
        if best is not None and row[best] >= 0.5:
            free.remove(best)
            right += 1
    return right, len(mine), len(theirs)


def best_scores(classes: tuple[str, ...], truths: list[Truth], found: list[Found]) -> dict[str, float]:
    """Per class the score with the best F1; to be asked on training material only."""
    chosen = {}
    for label in classes:
        marks = {}
        for least in np.arange(0.2, 0.71, 0.05):
            sums = np.array([hits(t, g, label, float(least)) for t, g in zip(truths, found, strict=True)]).sum(0)
            marks[round(float(least), 2)] = 2 * sums[0] / max(1, sums[1] + sums[2])
        chosen[label] = max(marks, key=lambda key: marks[key])
    return chosen


def detector_quality(
    name: str, classes: tuple[str, ...], draft: dict[str, float], dataset: str, truths: Iterable[Truth]
) -> list[dict[str, object]]:
    """Quality rows of one detector file on one set of pictures."""
    run = files.session(files.MODELS / f"{name}.onnx")
    pictures = list(truths)
    found = [detect(run, classes, truth.image) for truth in pictures]
    values = average_precision(classes, pictures, found)
    sums = np.array([hits(t, g, c, draft[c]) for t, g in zip(pictures, found, strict=True) for c in classes]).sum(0)
    values |= {"draft_precision": sums[0] / max(1, sums[1]), "draft_recall": sums[0] / max(1, sums[2])}
    head = {"dataset": dataset, "split": "val"}
    return [head | {"metric": k, "value": round(float(v), 4), "image_count": len(pictures)} for k, v in values.items()]


def classifier_quality(name: str, classes: tuple[str, ...]) -> list[dict[str, object]]:
    """Accuracy of the classifier file on the held-out parcels."""
    run = files.session(files.MODELS / f"{name}.onnx")
    _, height, width, _ = run.get_inputs()[0].shape
    folder, right, count = SAMPLE / "parcels", 0, 0
    for row in json.loads((folder / "annotations.json").read_text(encoding="utf-8"))["images"]:
        if row["split"] == "val":
            with Image.open(folder / "images" / row["file_name"]) as image:
                small = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))[None]
            logits = run.run(["logits"], {"images": small})[0][0]
            right += classes[int(logits.argmax())] == row["land_use"]
            count += 1
    return [
        {
            "dataset": "parcels",
            "split": "val",
            "metric": "accuracy",
            "value": round(right / count, 4),
            "image_count": count,
        }
    ]


def segmenter_quality(name: str, features: list[str], dataset: str) -> list[dict[str, object]]:
    """Mean mask IoU over the objects of the held-out pictures, each prompted with its true box, in image pixels."""
    encoder = files.session(files.MODELS / f"{name}-encoder.onnx")
    decoder = files.session(files.MODELS / f"{name}-decoder.onnx")
    _, side_y, side_x, _ = encoder.get_inputs()[0].shape
    folder = SAMPLE / dataset
    truth = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    met: list[float] = []
    pictures = [row for row in truth["images"] if row["split"] == "val"]
    for row in pictures:
        own = [one for one in truth["annotations"] if one["image_id"] == row["id"]]
        with Image.open(folder / "images" / row["file_name"]) as image:
            small = np.asarray(image.convert("RGB").resize((side_x, side_y), Image.Resampling.BILINEAR))[None]
        boxes = np.array([one["bbox"] for one in own], dtype=np.float32)
        boxes[:, 2:] += boxes[:, :2]
        boxes *= np.array([side_x / row["width"], side_y / row["height"]] * 2, dtype=np.float32)
        maps = dict(zip(features, encoder.run(features, {"images": small}), strict=True))
        logits = decoder.run(["masks"], maps | {"boxes": boxes[None]})[0][0]
        for one, low in zip(own, logits, strict=True):
            full = np.asarray(Image.fromarray(low).resize((row["width"], row["height"]), Image.Resampling.BILINEAR)) > 0
            wanted = coco_mask.decode(one["segmentation"]).astype(bool)
            met.append(float((full & wanted).sum() / max(1, (full | wanted).sum())))
    value = round(float(np.mean(met)), 4)
    return [{"dataset": dataset, "split": "val", "metric": "mask_iou", "value": value, "image_count": len(pictures)}]
