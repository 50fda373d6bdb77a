"""How good each model's drafts are against labels it was not shown, so that effort can be told from luck.

Average precision by pycocotools, imported only here and only when called. Knows the tables; must not know which image
format or engine was used.
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labelop.geometry import Box, to_xywh
from labelop.ids import digest_of
from labelop.labels import AcceptedLabel, Prediction
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.review.rows import label_of, landed_values, prediction_of

_ROLE_ORDER = {"evaluate": 0, "chosen": 1, "compare": 2}
_OUTCOMES = frozenset({"ok", "empty"})
_NO_SPLIT = "all"
_MOST_DETECTIONS = 100

Pairs = Sequence[tuple[Sequence[Prediction], Sequence[AcceptedLabel]]]
"""Predictions and truth of one image each."""


def average_precision(images: Pairs) -> dict[str, float]:
    """Compute COCO average precision of boxes over images.

    Every prediction counts, drafts or not: the tail below the draft threshold is part of the curve. Area all, at most
    100 predictions per class and image, 101 recall points.

    Args:
        images: Predictions and truth per image; labels of the whole image are ignored.

    Returns:
        `ap50` (IoU 0.50) and `ap` (IoU 0.50 to 0.95), means over classes with truth, and `ap50:<class>` for each such
        class; 0..1. Empty when there is no truth box.
    """
    classes = sorted({a.label for _, truth in images for a in truth if a.box})
    if not classes:
        return {}
    # pycocotools is slow to import and needed by few commands
    from pycocotools.coco import COCO  # noqa: PLC0415
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    truth, found = _coco_records(images, {name: number for number, name in enumerate(classes, start=1)})
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        reference = COCO()
        reference.dataset = {
            "images": [{"id": number} for number in range(1, len(images) + 1)],
            "annotations": truth,
            "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
        }
        reference.createIndex()
        answers = COCO()
        answers.dataset = {**reference.dataset, "annotations": found}
        answers.createIndex()
        evaluation = COCOeval(reference, answers, "bbox")
        # its three size ranges and two shorter lists would cost five times the work and are not asked for
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
        evaluation.params.maxDets = [_MOST_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    # precision: IoU threshold x recall x class x area range x most detections; -1 where a class has no truth
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    per_class = {name: float(precision[0, :, k].mean()) for k, name in enumerate(classes)}
    result = {"ap50": float(np.mean(list(per_class.values()))), "ap": float(precision.mean())}
    return result | {f"ap50:{name}": value for name, value in per_class.items()}


def image_accuracy(images: Pairs) -> float | None:
    """Share of images whose best-scored label of the whole image is the true one; None when no image has one."""
    right: list[bool] = []
    for predictions, truth in images:
        wanted = {a.label for a in truth if a.box is None}
        if wanted:
            guesses = sorted((p for p in predictions if p.box is None), key=lambda p: (-p.score, p.label))
            right.append(bool(guesses) and guesses[0].label in wanted)
    return sum(right) / len(right) if right else None


def land_quality(store: Store, dataset: str, dataset_version: str, run_id: str) -> int:
    """Measure every model on the images of a dataset version that came with truth, and land the figures.

    Returns:
        Rows landed by this call; 0 when these very figures are landed.
    """
    rows = quality_rows(store, dataset, dataset_version, run_id)
    if not rows:
        return 0
    content = sorted((r["split"], r["model_id"], r["metric"], r["value"], r["images_count"]) for r in rows)
    key = f"quality:{digest_of([dataset, dataset_version, content])}"
    return len(rows) if land(store, "quality", rows, key=key) else 0


def quality_rows(store: Store, dataset: str, dataset_version: str, run_id: str) -> list[dict[str, Any]]:
    """Compute the rows of `quality`, ordered by split, model and metric.

    A figure is over the images that the model answered (outcome ok or empty) and that have truth; `images_count` says
    how many. Images whose source names no split are in the split `all`.
    """
    where = equal(dataset=dataset, dataset_version=dataset_version)
    truth = {
        row["image_id"]: [label_of(value) for value in row["labels"]]
        for row in read_rows(store, "reviews", columns=["image_id", "labels"], filters=where & equal(arm="import"))
    }
    split_of: dict[str, str] = {}
    images = read_rows(store, "images", columns=["image_id", "path", "split"], filters=where)
    for row in sorted(images, key=lambda r: str(r["path"])):
        split_of.setdefault(row["image_id"], row["split"] or _NO_SPLIT)
    groups: dict[tuple[str, str], list[tuple[list[Prediction], list[AcceptedLabel]]]] = defaultdict(list)
    for prelabel in one_per_model(read_rows(store, "prelabels", filters=where), _ROLE_ORDER):
        if prelabel["image_id"] in truth:
            predictions = [prediction_of(value) for value in prelabel["predictions"] or []]
            groups[split_of.get(prelabel["image_id"], _NO_SPLIT), prelabel["model_id"]].append(
                (predictions, truth[prelabel["image_id"]])
            )
    return [
        {
            "dataset": dataset,
            "dataset_version": dataset_version,
            "split": split,
            "model_id": model_id,
            "metric": metric,
            "value": value,
            "images_count": len(pairs),
            **landed_values(run_id),
        }
        for (split, model_id), pairs in sorted(groups.items())
        for metric, value in _figures(pairs).items()
    ]


def _figures(pairs: Pairs) -> dict[str, float]:
    figures = average_precision(pairs)
    accuracy = image_accuracy(pairs)
    return figures if accuracy is None else figures | {"image_accuracy": accuracy}


def one_per_model(prelabels: Sequence[Mapping[str, Any]], roles: Mapping[str, int]) -> list[Mapping[str, Any]]:
    """Keep one answered row per image and model, of the model's last landed digest.

    Args:
        prelabels: Rows of `prelabels`.
        roles: Roles of batches that count, and which of them comes first.
    """
    answered = [row for row in prelabels if row["outcome"] in _OUTCOMES and row["role"] in roles]
    newest: dict[str, tuple[Any, str]] = {}
    for row in answered:
        mark = (row["landed_at"], row["model_digest"])
        newest[row["model_id"]] = max(mark, newest.get(row["model_id"], mark))
    kept: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in sorted(answered, key=lambda r: (r["image_id"], r["model_id"], roles[r["role"]], r["batch_id"])):
        if row["model_digest"] == newest[row["model_id"]][1]:
            kept.setdefault((row["image_id"], row["model_id"]), row)
    return list(kept.values())


def _coco_records(images: Pairs, number_of: Mapping[str, int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write truth and predictions as COCO annotations; predictions of classes without truth have no curve."""
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, (predictions, labels) in enumerate(images, start=1):
        for label in labels:
            if label.box:
                truth.append(_record(image, number_of[label.label], label.box, len(truth) + 1))
        for guess in sorted(predictions, key=lambda p: (-p.score, p.prediction_id)):
            if guess.box and guess.label in number_of:
                record = _record(image, number_of[guess.label], guess.box, len(found) + 1)
                found.append(record | {"score": guess.score})
    return truth, found


def _record(image: int, category: int, box: Box, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": list(to_xywh(box)),
        "area": box.area,
        "iscrowd": 0,
    }
