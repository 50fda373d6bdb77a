"""Factories of the rows that review needs; shared by the tests of review and effort."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np

from labelop.geometry import Box
from labelop.ids import sha256_hex
from labelop.labels import AcceptedLabel
from labelop.landing.store import Store, land, read_rows
from labelop.review import brush
from labelop.review.rows import review_row

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
VERSION = "v-0123456789abcdef"
Record = dict[str, Any]


def image_row(n: int, **changes: Any) -> dict[str, Any]:
    """Write one `images` row."""
    return {
        "dataset": "cells", "dataset_version": VERSION, "path": f"images/a%20{n}.jpg", "image_id": image_id(n),
        "source_uri": "/nowhere", "size_bytes": 1, "format": "JPEG", "mode": "RGB", "width_px": 320, "height_px": 256,
        "orientation": 1, "frame_count": 1, "split": "val", "declared_level": None, "outcome": "ok", "run_id": "run",
        "landed_at": NOW, **changes,
    }  # fmt: skip


def image_id(n: int) -> str:
    """Name the n-th image."""
    return sha256_hex(f"image {n}".encode())


def prediction(name: str, label: str, edges: tuple[float, ...] | None, **changes: Any) -> dict[str, Any]:
    """Write one nested prediction; a label of the whole image without edges."""
    x0, y0, x1, y1 = edges or (None,) * 4
    return {
        "prediction_id": name, "label": label, "score": 0.75, "draft": True, "x0_px": x0, "y0_px": y0, "x1_px": x1,
        "y1_px": y1, "mask_rle": None, **changes,
    }  # fmt: skip


def _filled() -> str | None:
    mask = np.zeros((256, 320), dtype=np.bool_)
    mask[20:70, 10:60] = True
    return brush.to_counts(mask)


def prelabel_row(n: int, arm: str = "local", role: str = "chosen", **changes: Any) -> dict[str, Any]:
    """Write one `prelabels` row: two draft boxes, one box below the threshold, one label of the image."""
    name = f"p-{arm}-{n}"
    found = [
        prediction(f"{name}-0", "RBC", (10.33, 20.17, 60.91, 70.03), mask_rle=_filled()),
        prediction(f"{name}-1", "WBC", (100.5, 100.5, 180.25, 190.75)),
        prediction(f"{name}-2", "RBC", (200.0, 30.0, 240.0, 70.0), draft=False, score=0.1),
        prediction(f"{name}-3", "thin", None),
    ]
    return {
        "image_id": image_id(n), "dataset": "cells", "dataset_version": VERSION, "run_id": "run",
        "batch_id": f"b-{arm}", "arm": arm, "role": role, "placement": "onprem", "worker": "w", "model_id": f"m-{arm}",
        "model_digest": sha256_hex(arm.encode()), "engine": "onnxruntime", "outcome": "ok", "reason": None,
        "width_px": 320, "height_px": 256, "predictions": found, "policy_digest": "d", "simulated": arm == "cloud",
        "landed_at": NOW,
        **changes,
    }  # fmt: skip


def card_row(model_id: str, task: str, classes: list[str]) -> dict[str, Any]:
    """Write one `cards` row."""
    return {
        "model_digest": sha256_hex(model_id.encode()), "model_id": model_id, "task": task, "family": "resnet",
        "ontology": "cells", "classes": classes, "width_px": 1, "height_px": 1, "size_bytes": 1,
        "parameters_count": 1, "run_id": "run", "landed_at": NOW,
    }  # fmt: skip


def truth_row(n: int) -> dict[str, Any]:
    """Write the imported truth: the first box is drafted right, the second must move, the third is missed."""
    labels = [
        AcceptedLabel("l0", "RBC", Box(10, 20, 60, 70)),
        AcceptedLabel("l1", "WBC", Box(90, 90, 170, 180)),
        AcceptedLabel("l2", "RBC", Box(200, 30, 240, 70)),
        AcceptedLabel("l3", "thick"),
    ]
    return review_row(
        review_id=f"r-truth-{n}", dataset="cells", dataset_version=VERSION, image_id=image_id(n), arm="import",
        labels=labels, tool="coco", source_digest="d", run_id="run",
    )  # fmt: skip


def filled_store(root: Path, images: int = 3, *, compare: int = 0, truth: bool = False) -> Store:
    """Make a store with images, prelabels of both arms, cards and perhaps truth."""
    store = Store(str(root))
    land(store, "images", [image_row(n) for n in range(images)], key="images")
    rows = [prelabel_row(n) for n in range(images)]
    rows += [prelabel_row(n, "cloud", "compare") for n in range(compare)]
    rows += [prelabel_row(0, "evaluate", "evaluate"), prelabel_row(1, "broken", outcome="failed", predictions=[])]
    land(store, "prelabels", rows, key="prelabels")
    cards = [card_row("m-local", "detection", ["RBC", "WBC"]), card_row("class", "classification", ["thin", "thick"])]
    land(store, "cards", cards, key="cards")
    if truth:
        land(store, "reviews", [truth_row(n) for n in range(images)], key="truth")
    return store


def annotated(task: Record, **changes: Any) -> Record:
    """One task as the tool exports it after the reviewer submitted the drafts as they were."""
    annotation = {
        "id": 7, "unique_id": f"u-{task['data']['task_uid']}", "completed_by": 4, "was_cancelled": False,
        "lead_time": 5.84, "created_at": "2026-11-20T10:00:00.123456Z", "updated_at": "2026-11-20T10:00:00.123456Z",
        "parent_prediction": 11, "result": json.loads(json.dumps(task["predictions"][0]["result"])), **changes,
    }  # fmt: skip
    return task | {"id": 1, "annotations": [annotation]}


def written(path: Path, records: Any) -> Path:
    """Write records (or raw text) to a file."""
    path.write_text(records if isinstance(records, str) else json.dumps(records), encoding="utf-8")
    return path


def imported(store: Store) -> list[dict[str, Any]]:
    """Read the reviews of drafts."""
    rows = [row for row in read_rows(store, "reviews") if row["arm"] != "import"]
    return sorted(rows, key=lambda row: str(row["review_id"]))
