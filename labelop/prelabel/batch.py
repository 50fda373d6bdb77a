"""Run batches: check again, read, decode, prelabel, pass the gate, land exactly once.

Everything a batch needs is read from the tables and the originals; nothing is trusted from the caller but ids. Knows
no orchestrator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

from labelop.engines.prelabeller import ImageItem, ImageResult, Prelabeller
from labelop.engines.side import lanes_of
from labelop.errors import UnreadableImageError, kept_first
from labelop.ingest.decode import Frame
from labelop.ingest.decoders import decoders
from labelop.ingest.originals import read_frames
from labelop.landing.store import Store, land_many
from labelop.prelabel.attempt import Attempt
from labelop.prelabel.context import BatchContext, ImageRef, image_refs
from labelop.prelabel.pipeline import Reader, groups, side_by_side
from labelop.prelabel.plan import PlannedBatch
from labelop.prelabel.refusals import note_kept, refusal_rows
from labelop.prelabel.rows import prelabel_rows

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

    def load(wanted: Sequence[Wanted]) -> list[ImageItem | ImageResult]:
        return _load(context, wanted)

    def size(wanted: Wanted) -> int:
        ref, frame = context.refs.get(wanted[0]), wanted[2]
        if ref is None:
            return 0
        width, height = (frame.width_px, frame.height_px) if frame.stretched else (ref.width_px, ref.height_px)
        return ref.size_bytes + width * height * _CHANNELS

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
        EngineUnavailableError: The engine could not be reached, or fails at whatever it is asked; nothing became of the
            batch.
        SourceUnavailableError: The originals cannot be read now; nothing became of the batch.
        PlanOutdatedError: Its images would leave in another form than planned; nothing was read.
        OSError: The egress log does not take which images stayed; nothing became of the batch.
    """
    context.check_forms(batch)
    attempt = Attempt(context, batch, prelabeller, cold_start_seconds)
    reader = open_originals(context) if originals is None else originals
    lanes = lanes_of(context.settings.engine_threads, prelabeller.most_passes)
    try:
        wanted, next_wanted = _wanted(batch, prelabeller.frame), []
        if following is not None and (following.arm, following.role) == (batch.arm, batch.role):
            next_wanted = _wanted(following, prelabeller.frame)  # other models may take other pixels
        items = attempt.usable(reader.take(wanted, _CHUNK_IMAGES, next_wanted))
        passes = groups(items, prelabeller.most_images, _bytes)
        side_by_side(attempt.ask, passes, lanes, attempt.note, _pass_bytes)
        if doubtful := attempt.doubtful():
            witness = [one for one in wanted if one[0] == attempt.witness]
            again = [*witness, *(one for one in wanted if one[0] in doubtful)]
            loaded = reader.take(again, _CHUNK_IMAGES, next_wanted)
            side_by_side(attempt.ask, attempt.witnessed(loaded), 1, attempt.judge, _pass_bytes)
    except BaseException as error:
        # who interrupts has paid for what was asked until then, too
        if attempt.asked and book is not None:
            outcome = "failed" if isinstance(error, Exception) else "cancelled"
            with kept_first(error, f"Booking the attempt at batch {batch.batch_id}"):
                book(attempt.usage(outcome, len({one.image_id for one in attempt.answered})))
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


def _bytes(item: ImageItem) -> int:
    return item.pixels.nbytes


def _pass_bytes(items: Sequence[ImageItem]) -> int:
    return sum(map(_bytes, items))


def _load(context: BatchContext, wanted: Sequence[Wanted]) -> list[ImageItem | ImageResult]:
    loaded: dict[Wanted, ImageItem | ImageResult] = {}
    readable: dict[Wanted, ImageRef] = {}
    for one in wanted:
        image_id, placement, _ = one
        ref = context.refs.get(image_id)
        if ref is None:
            loaded[one] = _without_predictions(image_id, "unreadable", "NOT_IN_MANIFEST")
        # the level is checked before one byte of the image is read
        elif not context.may_be_at(ref, placement):
            loaded[one] = _without_predictions(image_id, "withheld", f"level {ref.level} may not be at {placement}")
        else:
            readable[one] = ref
    originals = [(ref.image_id, ref.source_uri, ref.path, frame) for (_, _, frame), ref in readable.items()]
    for (one, ref), found in zip(readable.items(), read_frames(originals, context.settings), strict=True):
        if isinstance(found, UnreadableImageError):
            # one lost file costs one row, not its batch; a source that is away is raised and costs no row
            loaded[one] = _without_predictions(ref.image_id, "unreadable", found.code)
        else:
            pixels, facts = found
            loaded[one] = ImageItem(ref.image_id, pixels, ref.level, facts.width_px, facts.height_px, ref.findings)
    return [loaded[one] for one in wanted]


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
