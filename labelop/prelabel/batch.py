"""Run batches: check again, read, decode, prelabel, pass the gate, land exactly once.

Everything a batch needs is read from the tables and the originals; nothing is trusted from the caller but ids. Knows
no orchestrator.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import pyarrow as pa

from labelop.engines.compose import require_an_answer
from labelop.engines.prelabeller import ImageItem, ImageResult, Prelabeller
from labelop.engines.side import lanes_of
from labelop.errors import UnreadableImageError, kept_first
from labelop.ingest.decode import Frame
from labelop.ingest.decoders import decoders
from labelop.ingest.originals import read_frame
from labelop.landing.store import Store, land_many
from labelop.prelabel.context import BatchContext, ImageRef, image_refs
from labelop.prelabel.pipeline import Pass, Reader, busy_seconds, groups, side_by_side
from labelop.prelabel.plan import PlannedBatch
from labelop.prelabel.refusals import note_kept, refusal_rows
from labelop.prelabel.rows import prelabel_rows, worker_name
from labelop.schemas import utc_now

__all__ = [
    "BatchContext",
    "BatchResult",
    "ImageRef",
    "Originals",
    "image_refs",
    "land_batches",
    "open_originals",
    "run_batch",
]

_CHUNK_IMAGES = 32
"""Most images decoded ahead of the engine; bounds memory together with `pipeline.AHEAD_BYTES`."""
_CHANNELS = 3

Wanted: TypeAlias = tuple[str, str, Frame]
"""Image id, placement and what the models take: what decides whether and how an original is read."""
Originals: TypeAlias = "Reader[Wanted, ImageItem | ImageResult]"
"""Reads originals ahead; gives an `ImageResult` for an image that no model will see."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one attempt at a batch, before it is landed."""

    batch: PlannedBatch
    """The batch."""
    table: pa.Table
    """`prelabels` rows, one per image, in the batch's order."""
    usage: dict[str, Any]
    """The attempt's `usage` row."""
    refusals: Sequence[dict[str, Any]] = ()
    """Rows of `decisions` about images that were refused on the way."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The same rows as dicts, for who looks at one."""
        return list(self.table.to_pylist())


def open_originals(context: BatchContext) -> Originals:
    """Start the threads that read and decode for a shard's batches; close them with the shard."""

    def load(wanted: Wanted) -> ImageItem | ImageResult:
        return _load(context, *wanted)

    def size(wanted: Wanted) -> int:
        ref = context.refs.get(wanted[0])
        return 0 if ref is None else ref.width_px * ref.height_px * _CHANNELS

    decoders().start()
    return Reader(load, size)


def run_batch(
    context: BatchContext,
    batch: PlannedBatch,
    prelabeller: Prelabeller,
    book: Callable[[dict[str, Any]], object] | None = None,
    *,
    originals: Originals | None = None,
    following: PlannedBatch | None = None,
    cold_start_seconds: float | None = None,
) -> BatchResult:
    """Prelabel one batch; every image ends in exactly one row.

    Args:
        context: What the shard shares.
        batch: What to do.
        prelabeller: Opened models of the batch's arm and placement.
        book: Takes the `usage` row of an attempt that failed or was cancelled after the prelabeller was asked.
        originals: The shard's reader; one of this batch's own when None.
        following: The batch that will come next with the same reader: its first images are read meanwhile.
        cold_start_seconds: What getting the models ready took, for the attempt they were made ready for.

    Returns:
        Rows for `prelabels` and `usage`; nothing has landed yet.

    Raises:
        EngineUnavailableError: The engine could not be reached, or failed at every image; nothing became of the batch.
        SourceUnavailableError: The originals cannot be read now; nothing became of the batch.
        PlanOutdatedError: Its images would leave in another form than planned; nothing was read.
        OSError: The egress log does not take which images stayed; nothing became of the batch.
    """
    context.check_forms(batch)
    attempt = _Attempt(context, batch, prelabeller, cold_start_seconds)
    reader = open_originals(context) if originals is None else originals
    lanes = lanes_of(context.settings.engine_threads, prelabeller.most_passes)
    try:
        wanted, next_wanted = _wanted(batch, prelabeller.frame), []
        if following is not None and (following.arm, following.role) == (batch.arm, batch.role):
            next_wanted = _wanted(following, prelabeller.frame)  # other models may take other pixels
        items = attempt.usable(reader.take(wanted, _CHUNK_IMAGES, next_wanted))
        passes = groups(items, prelabeller.most_images, lambda item: item.pixels.nbytes)
        side_by_side(attempt.ask, passes, lanes, attempt.note)
        require_an_answer(f"Batch {batch.batch_id}", attempt.answered)
    except BaseException as error:
        # who interrupts has paid for what was asked until then, too
        if attempt.asked and book is not None:
            outcome = "failed" if isinstance(error, Exception) else "cancelled"
            with kept_first(error, f"Booking the attempt at batch {batch.batch_id}"):
                book(attempt.usage(outcome, len(attempt.answered)))
        raise
    finally:
        if originals is None:
            reader.close()
    note_kept(context, batch, attempt.refused)
    outcomes = {result.image_id: result for result in (*attempt.refused, *attempt.answered)}
    results = [outcomes[image_id] for image_id in batch.image_ids]
    return BatchResult(
        batch,
        prelabel_rows(context, batch, results, prelabeller),
        attempt.usage("finished", len(batch.image_ids)),
        refusal_rows(context, batch, results),
    )


@dataclass(slots=True)
class _Attempt:
    """What one attempt has spent so far, so that it can be booked wherever it ends."""

    context: BatchContext
    batch: PlannedBatch
    prelabeller: Prelabeller
    cold_start_seconds: float | None
    asked: bool = False
    """Whether the prelabeller was asked anything: before that an attempt costs nothing."""
    refused: list[ImageResult] = field(default_factory=list)
    """Images that were never handed to the prelabeller."""
    answered: list[ImageResult] = field(default_factory=list)
    """What the prelabeller said."""
    passes: list[tuple[float, float]] = field(default_factory=list)
    """When each pass began and ended."""
    started: datetime = field(default_factory=utc_now)
    clock: float = field(default_factory=time.perf_counter)

    def usable(self, loaded: Iterator[ImageItem | ImageResult]) -> Iterator[ImageItem]:
        """Keep back what no model will see."""
        for one in loaded:
            if isinstance(one, ImageResult):
                self.refused.append(one)
            else:
                yield one

    def ask(self, items: list[ImageItem]) -> list[ImageResult]:
        """Prelabel the images of one pass; called from several threads."""
        self.asked = True
        return self.prelabeller.prelabel(items)

    def note(self, done: Pass[list[ImageResult]]) -> None:
        """Keep what a pass answered, also when another one fails."""
        self.answered += done.answers
        self.passes.append((done.started, done.ended))

    def _share(self) -> float:
        """Give the share of a second that one second of a pass counts: passes side by side divide it among them."""
        total = sum(ended - started for started, ended in self.passes)
        return busy_seconds(self.passes) / total if total > 0 else 1.0

    def usage(self, outcome: str, images_count: int) -> dict[str, Any]:
        """Make the attempt's row."""
        share = self._share()
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
            "cold_start_seconds": self.cold_start_seconds,
            "infer_seconds": share * sum(r.infer_seconds for r in self.answered),
            "detector_seconds": share * sum(r.detector_seconds for r in self.answered),
            "sent_bytes": sum(r.sent_bytes for r in self.answered),
            "received_bytes": sum(r.received_bytes for r in self.answered),
            "outcome": outcome,
            "simulated": self.prelabeller.simulated,
            "run_id": self.context.run_id,
            "started_at": self.started,
        }


def land_batches(store: Store, results: Sequence[BatchResult]) -> list[bool]:
    """Book attempts and refusals, then land their rows exactly once; one commit each where nobody interferes.

    The attempts come first: a crash in between leaves a cost without a result, which is what happened.

    Returns:
        For each batch, True when the rows are new, False when another attempt had landed them.
    """
    land_many(store, "usage", [(str(result.usage["attempt_id"]), [result.usage]) for result in results])
    refused = [(str(rows[0]["decision_set"]), list(rows)) for rows in (result.refusals for result in results) if rows]
    if refused:
        land_many(store, "decisions", refused)
    return land_many(store, "prelabels", [(result.batch.batch_id, result.table) for result in results])


def _wanted(batch: PlannedBatch, frame: Frame) -> list[Wanted]:
    return [(key, batch.placement, frame) for key in dict.fromkeys(batch.image_ids)]


def _load(context: BatchContext, image_id: str, placement: str, frame: Frame) -> ImageItem | ImageResult:
    ref = context.refs.get(image_id)
    if ref is None:
        return _without_predictions(image_id, "unreadable", "NOT_IN_MANIFEST")
    # the level is checked before one byte of the image is read
    if not context.may_be_at(ref, placement):
        return _without_predictions(image_id, "withheld", f"level {ref.level} may not be at {placement}")
    try:
        pixels, facts = read_frame(image_id, ref.source_uri, ref.path, context.settings, frame)
    except UnreadableImageError as error:
        # one lost file costs one row, not its batch; a source that is away is raised and costs no row
        return _without_predictions(image_id, "unreadable", error.code)
    return ImageItem(image_id, pixels, ref.level, facts.width_px, facts.height_px, ref.findings)


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
