"""Run batches: check again, read, decode, prelabel, pass the gate, land exactly once.

Everything a batch needs is read from the tables and the originals; nothing is trusted from the caller but ids. Knows
no orchestrator.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from labelop.engines.compose import FORWARD_IMAGES
from labelop.engines.prelabeller import ImageItem, ImageResult, Prelabeller
from labelop.errors import UnreadableImageError
from labelop.ingest.originals import read_pixels
from labelop.labels import Prediction
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.prelabel.plan import Plan, PlannedBatch
from labelop.runs import source_root
from labelop.schemas import utc_now
from labelop.sensitivity.effective import effective_levels
from labelop.sensitivity.levels import Level
from labelop.sensitivity.policy import SensitivityPolicy
from labelop.settings import Settings

_CHUNK_IMAGES = 32
"""Images decoded ahead while the engine works on the chunk before; bounds memory."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where one image of a dataset lies."""

    image_id: str
    """SHA-256 of the original bytes."""
    source_uri: str
    """Root of the source."""
    path: str
    """Percent-encoded path below the root."""
    width_px: int
    """Width of the upright image."""
    height_px: int
    """Height of the upright image."""
    level: str
    """Sensitivity level now, read when the shard starts."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one attempt at a batch, before it is landed."""

    batch: PlannedBatch
    """The batch."""
    rows: list[dict[str, Any]]
    """`prelabels` rows, one per image, in the batch's order."""
    usage: dict[str, Any]
    """The attempt's `usage` row."""


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What all batches of a shard share."""

    plan: Plan
    """The plan the batches belong to."""
    refs: Mapping[str, ImageRef]
    """Where the images lie, by image id."""
    policy: SensitivityPolicy
    """Checked again for every image, since a plan may be older than a level."""
    settings: Settings
    """How to reach the originals."""
    run_id: str
    """Run that does the work, for provenance."""


def image_refs(store: Store, plan: Plan, policy_digest: str) -> dict[str, ImageRef]:
    """Look up where a plan's images lie and how sensitive they are now.

    An image without a level under this policy counts as restricted. Duplicates resolve to the first path.
    """
    where = {"dataset": plan.dataset, "dataset_version": plan.dataset_version}
    levels = effective_levels(store, plan.dataset, plan.dataset_version, policy_digest)
    # the same content may lie elsewhere by now; its rows still name the place of its first ingest
    root = source_root(store, plan.dataset, plan.dataset_version)
    refs: dict[str, ImageRef] = {}
    for row in sorted(read_rows(store, "images", filters=equal(**where, outcome="ok")), key=lambda r: str(r["path"])):
        key = str(row["image_id"])
        level = levels.get(key, Level.RESTRICTED).text
        place = root or str(row["source_uri"])
        refs.setdefault(key, ImageRef(key, place, row["path"], int(row["width_px"]), int(row["height_px"]), level))
    return refs


def run_batch(
    context: BatchContext,
    batch: PlannedBatch,
    prelabeller: Prelabeller,
    book_failed: Callable[[dict[str, Any]], object] | None = None,
) -> BatchResult:
    """Prelabel one batch; every image ends in exactly one row.

    Args:
        context: What the shard shares.
        batch: What to do.
        prelabeller: Opened models of the batch's arm and placement.
        book_failed: Takes the `usage` row of an attempt that ended with an error after the prelabeller was asked.

    Returns:
        Rows for `prelabels` and `usage`; nothing has landed yet.

    Raises:
        EngineUnavailableError: The engine could not be reached at all; nothing became of the batch.
        SourceUnavailableError: The originals cannot be read now; nothing became of the batch.
    """
    attempt = _Attempt(context, batch, prelabeller)
    try:
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="read") as pool:
            for items, refused in _loaded(context, batch, pool):
                attempt.refused += refused
                attempt.ask(items)
    except Exception:
        if attempt.asked and book_failed is not None:
            book_failed(attempt.usage("failed", len(attempt.answered)))
        raise
    outcomes = {result.image_id: result for result in (*attempt.refused, *attempt.answered)}
    rows = [_row(context, batch, outcomes[image_id], prelabeller) for image_id in batch.image_ids]
    return BatchResult(batch, rows, attempt.usage("finished", len(batch.image_ids)))


@dataclass(slots=True)
class _Attempt:
    """What one attempt has spent so far, so that it can be booked wherever it ends."""

    context: BatchContext
    batch: PlannedBatch
    prelabeller: Prelabeller
    asked: bool = False
    """Whether the prelabeller was asked anything: before that an attempt costs nothing."""
    refused: list[ImageResult] = field(default_factory=list)
    """Images that were never handed to the prelabeller."""
    answered: list[ImageResult] = field(default_factory=list)
    """What the prelabeller said."""
    started: datetime = field(default_factory=utc_now)
    clock: float = field(default_factory=time.perf_counter)

    def ask(self, items: Sequence[ImageItem]) -> None:
        """Prelabel images, one forward pass at a time: what is known of the passes before a failing one is kept."""
        for start in range(0, len(items), FORWARD_IMAGES):
            self.asked = True
            self.answered += self.prelabeller.prelabel(items[start : start + FORWARD_IMAGES])

    def usage(self, outcome: str, images_count: int) -> dict[str, Any]:
        """Make the attempt's row."""
        return {
            "attempt_id": f"a-{uuid.uuid4().hex[:20]}",
            "batch_id": self.batch.batch_id,
            "dataset": self.context.plan.dataset,
            "dataset_version": self.context.plan.dataset_version,
            "arm": self.batch.arm,
            "role": self.batch.role,
            "placement": self.batch.placement,
            "worker": worker_name(),
            "model_id": self.batch.model_id,
            "engine": self.prelabeller.engine_name,
            "images_count": images_count,
            "wall_seconds": time.perf_counter() - self.clock,
            "infer_seconds": sum(r.infer_seconds for r in self.answered),
            "detector_seconds": sum(r.detector_seconds for r in self.answered),
            "sent_bytes": sum(r.sent_bytes for r in self.answered),
            "received_bytes": sum(r.received_bytes for r in self.answered),
            "outcome": outcome,
            "simulated": self.prelabeller.simulated,
            "run_id": self.context.run_id,
            "started_at": self.started,
        }


def land_batch(store: Store, result: BatchResult) -> bool:
    """Book the attempt, then land its rows exactly once.

    The attempt comes first: a crash in between leaves a cost without a result, which is what happened.

    Returns:
        True when the rows are new, False when another attempt had landed them.
    """
    land(store, "usage", [result.usage], str(result.usage["attempt_id"]))
    return land(store, "prelabels", result.rows, result.batch.batch_id)


def worker_name() -> str:
    """Name this process for provenance: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _loaded(
    context: BatchContext, batch: PlannedBatch, pool: ThreadPoolExecutor
) -> Iterator[tuple[list[ImageItem], list[ImageResult]]]:
    """Decode chunk by chunk, one chunk ahead of the consumer."""
    chunks = [batch.image_ids[i : i + _CHUNK_IMAGES] for i in range(0, len(batch.image_ids), _CHUNK_IMAGES)]

    def submit(chunk: Sequence[str]) -> list[Any]:
        return [pool.submit(_load, context, key, batch.placement) for key in chunk]

    ahead = submit(chunks[0]) if chunks else []
    for following in [*chunks[1:], None]:
        current, ahead = ahead, submit(following) if following is not None else []
        loaded = [future.result() for future in current]
        yield (
            [x for x in loaded if isinstance(x, ImageItem)],
            [x for x in loaded if isinstance(x, ImageResult)],
        )


def _load(context: BatchContext, image_id: str, placement: str) -> ImageItem | ImageResult:
    ref = context.refs.get(image_id)
    if ref is None:
        return _without_predictions(image_id, "unreadable", "NOT_IN_MANIFEST")
    # the level is checked before one byte of the image is read
    if placement not in context.policy.allowed_placements(Level.from_text(ref.level)):
        return _without_predictions(image_id, "withheld", f"level {ref.level} may not be at {placement}")
    try:
        pixels = read_pixels(image_id, ref.source_uri, ref.path, context.settings)
    except UnreadableImageError as error:
        # one lost file costs one row, not its batch; a source that is away is raised and costs no row
        return _without_predictions(image_id, "unreadable", error.code)
    return ImageItem(image_id=image_id, pixels=pixels, level=ref.level)


def _without_predictions(image_id: str, outcome: str, reason: str) -> ImageResult:
    return ImageResult(
        image_id=image_id,
        outcome=outcome,
        reason=reason,
        predictions=(),
        infer_seconds=0.0,
        sent_bytes=0,
        received_bytes=0,
    )


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
        "predictions": [_struct(p) for p in result.predictions],
        "policy_digest": context.policy.digest,
        "simulated": prelabeller.simulated,
        "landed_at": utc_now(),
    }


def _struct(prediction: Prediction) -> dict[str, Any]:
    x0, y0, x1, y1 = prediction.box.xyxy if prediction.box else (None, None, None, None)
    return {
        "prediction_id": prediction.prediction_id,
        "label": prediction.label,
        "score": prediction.score,
        "draft": prediction.draft,
        "x0_px": x0,
        "y0_px": y0,
        "x1_px": x1,
        "y1_px": y1,
        "mask_rle": prediction.mask_rle,
    }
