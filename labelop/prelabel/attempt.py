"""One attempt at a batch: what was answered, what that cost, and whether a failure is an image's or its server's.

Knows no table, no original and no thread.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from labelop.engines.answers import SERVER_FAULTS
from labelop.engines.energy import Meter, NoMeter, open_meter
from labelop.engines.prelabeller import ImageItem, ImageResult, Prelabeller
from labelop.engines.spent import Cost
from labelop.errors import EngineUnavailableError, LabelopError, SettingsError
from labelop.prelabel.assign import ONPREM
from labelop.prelabel.context import BatchContext
from labelop.prelabel.pipeline import Pass, busy_seconds
from labelop.prelabel.plan import PlannedBatch
from labelop.prelabel.rows import worker_name
from labelop.schemas import utc_now

_HINT = "The server is at fault, not the images: nothing was landed, the next run asks again."
_REFUSED_HINT = "Check LABELOP_CLOUD_URL, path included, and what stands before the server; nothing was landed."


@cache
def _meter(device: str | None) -> Meter:
    """Open a device's counter once: its driver is kept, and each attempt takes the difference of two readings."""
    return NoMeter("the models run on a server") if device in {None, "server"} else open_meter(str(device))


@dataclass(slots=True)
class Attempt:
    """What one attempt has got and spent so far, so that it can be booked wherever it ends."""

    context: BatchContext
    batch: PlannedBatch
    prelabeller: Prelabeller
    cold_start_seconds: float | None
    asked: bool = False
    """Whether the prelabeller was asked anything: before that an attempt costs nothing."""
    refused: list[ImageResult] = field(default_factory=list)
    """Images that were never handed to the prelabeller."""
    answered: list[ImageResult] = field(default_factory=list)
    """What the prelabeller said; of an image that was asked for again, the later answer counts."""
    lost: list[Cost] = field(default_factory=list)
    """What passes cost that ended without an answer."""
    witness: str | None = None
    """Id of an image that was answered well; its pixels are read again when they are wanted."""
    passes: list[tuple[float, float]] = field(default_factory=list)
    """When each pass began and ended."""
    started: datetime = field(default_factory=utc_now)
    clock: float = field(default_factory=time.perf_counter)
    meter: Meter = field(init=False)
    """Counter of the device's energy; of a machine far away there is none."""
    joules: float | None = field(init=False)
    """What it showed at the beginning."""

    def __post_init__(self) -> None:
        """Read the energy counter."""
        self.meter = _meter(self.prelabeller.device)
        self.joules = self.meter.joules()

    def usable(self, loaded: Iterator[ImageItem | ImageResult]) -> Iterator[ImageItem]:
        """Keep back what no model will see."""
        for one in loaded:
            if isinstance(one, ImageResult):
                self.refused.append(one)
            else:
                yield one
                del one

    def ask(self, items: list[ImageItem]) -> list[ImageResult]:
        """Prelabel the images of one pass; called from several threads."""
        self.asked = True
        started = time.perf_counter()
        try:
            results = self.prelabeller.prelabel(items)
        except LabelopError as error:
            self.passes.append((started, time.perf_counter()))
            self.lost += error.context.pop("costs", ())
            raise
        self.witness = self.witness or next((one.image_id for one in results if one.outcome in {"ok", "empty"}), None)
        return results

    def note(self, done: Pass[list[ImageResult]]) -> None:
        """Keep what a pass answered, also when another one fails."""
        self.answered += done.answers
        self.passes.append((done.started, done.ended))

    def doubtful(self) -> set[str]:
        """Name the images that may have failed by their server's fault.

        Raises:
            SettingsError: The server refused every request, of several images: it is not the one it is taken for.
            EngineUnavailableError: Nothing was answered well, so none of these failures is an image's own.
        """
        failed = [one for one in self.answered if one.outcome == "failed" and one.reason in SERVER_FAULTS]
        if failed and self.witness is None:
            reasons = {str(one.reason) for one in failed}
            said = (
                f"Batch {self.batch.batch_id}: the engine answered none of its images, and failed at {len(failed)} "
                f"({', '.join(sorted(reasons))}). The last one: {failed[-1].told}"
            )
            # one image alone may be refused for its own sake: the batches after it get their turn
            if reasons == {"SERVER_REFUSED"} and len(failed) > 1:
                raise SettingsError(said, hint=_REFUSED_HINT)
            raise EngineUnavailableError(said, hint=_HINT)
        return {one.image_id for one in failed}

    def witnessed(self, loaded: Iterator[ImageItem | ImageResult]) -> Iterator[list[ImageItem]]:
        """Put beside each image the first one, the witness: the next failure says whose it is.

        What cannot be read a second time keeps its first answer; without the witness all of them do.
        """
        witness = next(loaded)
        if isinstance(witness, ImageItem):
            yield from ([one, witness] for one in loaded if isinstance(one, ImageItem))

    def judge(self, done: Pass[list[ImageResult]]) -> None:
        """Keep what was answered to an image and its witness.

        Raises:
            EngineUnavailableError: The server fails at what it could do before: it broke, and no image is at fault.
        """
        self.note(done)
        if done.answers[-1].outcome == "failed":
            raise EngineUnavailableError(
                f"Batch {self.batch.batch_id}: the engine fails at image {done.answers[-1].image_id}, which it has "
                f"answered before ({done.answers[-1].reason}).",
                hint=_HINT,
            )

    def usage(self, outcome: str, images_count: int) -> dict[str, Any]:
        """Make the attempt's row."""
        # passes side by side divide each second among them
        total = sum(ended - started for started, ended in self.passes)
        share = busy_seconds(self.passes) / total if total > 0 else 1.0
        costs: list[ImageResult | Cost] = [*self.answered, *self.lost]
        wall, joules = time.perf_counter() - self.clock, self.meter.joules()
        waiting = self.context.settings.operators_waiting
        here = self.batch.placement == ONPREM
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
            "device": self.prelabeller.device,
            "engine_reason": self.prelabeller.engine_reason,
            "images_count": images_count,
            "wall_seconds": wall,
            "cold_start_seconds": self.cold_start_seconds,
            "infer_seconds": share * sum(one.infer_seconds for one in costs),
            "detector_seconds": share * sum(one.detector_seconds for one in costs),
            "busy_seconds": busy_seconds(self.passes),
            "operator_waiting_seconds": waiting * (wall + (self.cold_start_seconds or 0.0))
            if here and waiting is not None
            else None,
            "energy_joules": None if joules is None or self.joules is None else joules - self.joules,
            "energy_source": self.meter.source,
            "energy_reason": self.meter.reason,
            "sent_bytes": sum(one.sent_bytes for one in costs),
            "received_bytes": sum(one.received_bytes for one in costs),
            "requests_count": sum(one.requests_count for one in costs),
            "outcome": outcome,
            "simulated": self.prelabeller.simulated,
            "run_id": self.context.run_id,
            "started_at": self.started,
        }
