"""Predictions and accepted labels as the nested values of tables, in one place, so that both sides agree.

Knows the columns and no file format.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa

from labelop.geometry import Box
from labelop.labels import AcceptedLabel, Prediction
from labelop.schemas import LABEL, utc_now


def box_of(value: Mapping[str, Any]) -> Box | None:
    """Read the box columns of one nested value; None for a label of the whole image."""
    return None if value["x0_px"] is None else Box(value["x0_px"], value["y0_px"], value["x1_px"], value["y1_px"])


def prediction_of(value: Mapping[str, Any]) -> Prediction:
    """Read one prediction as `prelabels` nests it."""
    return Prediction(
        prediction_id=value["prediction_id"],
        label=value["label"],
        score=value["score"],
        draft=value["draft"],
        box=box_of(value),
        mask_rle=value["mask_rle"],
    )


def prediction_values(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Write predictions as tables nest them, in their order."""
    return [
        {
            "prediction_id": one.prediction_id,
            "label": one.label,
            "score": one.score,
            "draft": one.draft,
            **_box_values(one.box),
            "mask_rle": one.mask_rle,
        }
        for one in predictions
    ]


def label_of(value: Mapping[str, Any]) -> AcceptedLabel:
    """Read one accepted label as `reviews` nests it."""
    return AcceptedLabel(
        label_id=value["label_id"],
        label=value["label"],
        box=box_of(value),
        mask_rle=value["mask_rle"],
        prediction_id=value["prediction_id"],
    )


def label_values(labels: Sequence[AcceptedLabel]) -> list[dict[str, Any]]:
    """Write accepted labels as `reviews` nests them, ordered by label id."""
    return [
        {
            "label_id": label.label_id,
            "prediction_id": label.prediction_id,
            "label": label.label,
            **_box_values(label.box),
            "mask_rle": label.mask_rle,
        }
        for label in _ordered(labels)
    ]


def label_columns(reviews: Sequence[Sequence[AcceptedLabel]]) -> dict[str, pa.Array]:
    """Write the labels of many reviews as the columns `labels` and `clicks_counts`, equal to `review_row` for each.

    Column by column: a mapping per label takes five times what the columns take.
    """
    labels = [label for one in reviews for label in _ordered(one)]
    values: dict[str, Callable[[AcceptedLabel], Any]] = {
        name: attrgetter(name) for name in ("label_id", "prediction_id", "label", "mask_rle")
    }
    for name in ("x0", "y0", "x1", "y1"):
        values[f"{name}_px"] = partial(_edge, attrgetter(name))
    told = [pa.array([values[field.name](label) for label in labels], field.type) for field in LABEL]
    starts = pa.array(np.cumsum([0, *map(len, reviews)]), pa.int32())
    counts = pa.array([label.clicks_count for label in labels], pa.int64())
    nested = pa.StructArray.from_arrays(told, fields=list(LABEL))
    return {
        "labels": pa.ListArray.from_arrays(starts, nested),
        "clicks_counts": pa.ListArray.from_arrays(starts, counts),
    }


def _edge(edge: Callable[[Box], float], label: AcceptedLabel) -> float | None:
    return edge(label.box) if label.box else None


def labels_of(review: Mapping[str, Any]) -> list[AcceptedLabel]:
    """Read the accepted labels of a row of `reviews`, with the clicks that a tool counted."""
    labels = [label_of(value) for value in review["labels"]]
    counts = review.get("clicks_counts")
    if counts is None:
        return labels
    return [replace(label, clicks_count=count) for label, count in zip(labels, counts, strict=True)]


def _ordered(labels: Sequence[AcceptedLabel]) -> list[AcceptedLabel]:
    return sorted(labels, key=lambda label: label.label_id)


def _box_values(box: Box | None) -> dict[str, float | None]:
    edges = box.xyxy if box else (None,) * 4
    return dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), edges, strict=True))


def review_row(
    *,
    review_id: str,
    dataset: str,
    dataset_version: str,
    image_id: str,
    arm: str,
    labels: Sequence[AcceptedLabel],
    tool: str,
    source_digest: str,
    run_id: str,
    batch_id: str | None = None,
    model_id: str | None = None,
    reviewer: str | None = None,
    decision: str = "approved",
    active_seconds: float | None = None,
    lead_seconds: float | None = None,
    effort_source: str = "none",
    position_in_batch: int | None = None,
    tool_version: str | None = None,
    simulated: bool = False,
    submitted_at: dt.datetime | None = None,
) -> dict[str, Any]:
    """Write one row of `reviews`; what the tool did not say stays null."""
    return {
        "review_id": review_id,
        "dataset": dataset,
        "dataset_version": dataset_version,
        "image_id": image_id,
        "arm": arm,
        "batch_id": batch_id,
        "model_id": model_id,
        "reviewer": reviewer,
        "decision": decision,
        "active_seconds": active_seconds,
        "lead_seconds": lead_seconds,
        "effort_source": effort_source,
        # of user events, which are shared out when a file of them lands (`worked`)
        "worked_from": None,
        "worked_until": None,
        "position_in_batch": position_in_batch,
        "labels": label_values(labels),
        # beside the labels and not in them: an approval's seal covers what was accepted, not how
        "clicks_counts": [label.clicks_count for label in _ordered(labels)],
        "tool": tool,
        "tool_version": tool_version,
        "source_digest": source_digest,
        "simulated": simulated,
        "submitted_at": submitted_at,
        **landed_values(run_id),
    }


def landed_values(run_id: str) -> dict[str, Any]:
    """Write the provenance columns every table ends with."""
    return {"run_id": run_id, "landed_at": utc_now()}
