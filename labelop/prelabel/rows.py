"""The rows of `prelabels` that a batch lands: what became of each image, and by which models.

Predictions stay columns on the way. Knows no engine and no orchestrator.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import numpy as np
import pyarrow as pa

from labelop.engines.columns import PredictionColumns
from labelop.engines.prelabeller import ImageResult, Prelabeller
from labelop.landing.rows import predictions_array, rows_to_table
from labelop.prelabel.context import BatchContext
from labelop.prelabel.plan import PlannedBatch
from labelop.schemas import utc_now


def worker_name() -> str:
    """Name this process for provenance: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def prelabel_rows(
    context: BatchContext, batch: PlannedBatch, results: list[ImageResult], prelabeller: Prelabeller
) -> pa.Table:
    """Write down what became of a batch's images.

    Args:
        context: What the shard shares.
        batch: The batch.
        results: One per image, in the batch's order.
        prelabeller: What made them.

    Returns:
        Rows of `prelabels`, in the same order.
    """
    table = rows_to_table("prelabels", [_row(context, batch, result, prelabeller) for result in results])
    found = [PredictionColumns.of(result.predictions) for result in results]
    predictions = predictions_array(
        np.array([len(one) for one in found], dtype=np.int64),
        prediction_ids=[key for one in found for key in one.prediction_ids],
        labels=[label for one in found for label in one.labels],
        scores=np.concatenate([np.empty(0), *(one.scores for one in found)]),
        drafts=np.concatenate([np.empty(0, dtype=np.bool_), *(one.drafts for one in found)]),
        boxes=np.concatenate([np.empty((0, 4)), *(one.boxes for one in found)]),
        masks=[mask for one in found for mask in one.masks],
    )
    at = table.schema.get_field_index("predictions")
    return table.set_column(at, table.schema.field(at), predictions)


def _row(context: BatchContext, batch: PlannedBatch, result: ImageResult, prelabeller: Prelabeller) -> dict[str, Any]:
    ref = context.refs.get(result.image_id)
    return {
        "image_id": result.image_id,
        "dataset": context.plan.dataset,
        "dataset_version": context.plan.dataset_version,
        "run_id": context.run_id,
        "batch_id": batch.batch_id,
        "arm": batch.arm,
        "role": batch.role,
        "placement": batch.placement,
        "worker": worker_name(),
        "model_id": batch.model_id,
        "model_digest": prelabeller.model_digest,
        "engine": prelabeller.engine_name,
        "outcome": result.outcome,
        "reason": result.reason,
        "width_px": ref.width_px if ref else None,
        "height_px": ref.height_px if ref else None,
        "predictions": [],  # filled in as a whole column
        "policy_digest": context.policy.digest,
        "simulated": prelabeller.simulated,
        "landed_at": utc_now(),
    }
