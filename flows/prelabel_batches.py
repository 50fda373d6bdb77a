"""The child: do one shard in its placement's pool, with the models loaded once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from prefect import flow

from labelop import progress
from labelop.egress.environment import ONPREM
from labelop.errors import ConfigurationError, LabelopError, kept_first
from labelop.landing.expectations import GateResult, check_prelabels, require, write_data_docs
from labelop.landing.store import Store, open_store
from labelop.prelabel.batch import BatchResult
from labelop.prelabel.behind import Behind
from labelop.prelabel.plan import PlannedBatch, pending
from labelop.prelabel.ranges import ShardRange
from labelop.prelabel.shard import OpenShard, open_shard
from labelop.recovery import CancelWatch
from labelop.sensitivity.clearance import cloud_groups
from labelop.settings import load_settings
from labelop.slots import held
from tasks.artifacts import progress_shown
from tasks.binding import is_orchestrated
from tasks.prelabel import land_batches, run_batch, run_batches
from tasks.told import telling_safely

_STEP_SECONDS = 5.0
"""How long a step works at least: what the orchestrator does for each costs it about 30 ms of the processor."""
_PAGES = 8
"""Groups that passed of which the data docs have pages: the newest. What was refused has its page in any case."""


@flow(name="prelabel-batches", persist_result=False)
@telling_safely
def prelabel_batches(
    plan_id: str,
    placement: str,
    first: int,
    last: int,
    ontology: str,
    store: str | None = None,
    run_id: str = "",
    cloud_url: str | None = None,
) -> None:
    """Prelabel a range of a plan's batches and land each exactly once.

    Args:
        plan_id: Plan to read from `batches`.
        placement: onprem | cloud; batches of other placements are left alone.
        first: First position of the range.
        last: Last position of the range, inclusive.
        ontology: Names the arms' models.
        store: Root of the tables; the setting when None.
        run_id: Run this belongs to.
        cloud_url: Inference server of the cloud arm; the setting when None.

    Raises:
        ConfigurationError: A card or setting is wrong; no further batch is tried.
        RunCancelledError: Somebody called the run off, or another does its rest; what was finished is landed, no
            further batch is tried.
        LandingError: The store does not take what was done; no further batch is tried.
        LabelopError: The first batch that failed, after all others were done. It is not landed, its cost is booked:
            `ExpectationsFailedError` for rows that were refused, else what the engine or the source said.
    """
    settings = load_settings(store=store, cloud_url=cloud_url)
    tables = open_store(settings)
    wanted = ShardRange(plan_id, placement, first, last)
    watch = CancelWatch(tables, run_id)
    cap = settings.gpu_slots if placement == ONPREM else 0
    slot = held(settings.gpu_slots_folder, cap, run_id, while_waiting=watch.look)
    with progress_shown(), slot, open_shard(tables, wanted, ontology, settings, run_id) as shard:
        todo = deque(pending(tables, shard.batches))
        stage = f"prelabel {shard.context.plan.dataset} ({placement})"
        end = _End(tables, shard, stage, sum(len(b.image_ids) for b in todo))
        progress.report(stage, 0, end.images_count)
        behind = Behind(end.take, lambda result: len(result.batch.image_ids))
        try:
            with behind:
                while todo:
                    for batch, error in run_batches(shard, _STEP_SECONDS, todo, behind.add, watch.look):
                        _once_more(shard, batch, error, behind, end)
        except BaseException as error:
            # the store took no more; what was done meanwhile was paid for all the same
            with kept_first(error, "Booking what could not land"):
                shard.book([result.usage for result in behind.left], "failed")
            for earlier in end.failed:
                error.add_note(f"Before that a batch failed: {earlier}")
            raise
        finally:
            # a refused batch is the one whose page somebody will look for
            if results := end.shown():
                docs = settings.data_docs_path / shard.context.plan.dataset / f"prelabels-{placement}"
                write_data_docs(results, docs)
        if end.failed:
            raise end.failed[0]


def _once_more(
    shard: OpenShard, batch: PlannedBatch, error: LabelopError, behind: Behind[BatchResult], end: _End
) -> None:
    """Try a failed batch again as a step of its own, where steps are tried again and a retry can help."""
    if not (error.retryable and is_orchestrated()):
        end.failed.append(error)  # the shard goes on, and still ends as failed
        return
    try:
        result = run_batch(shard, batch)
    except ConfigurationError:
        raise
    except LabelopError as again:
        end.failed.append(again)
    else:
        behind.add(result)


@dataclass(slots=True)
class _End:
    """Where finished batches go: through the gate and into the tables, several at a time."""

    tables: Store
    shard: OpenShard
    stage: str
    images_count: int
    failed: list[LabelopError] = field(default_factory=list)
    refused: list[GateResult] = field(default_factory=list)
    passed: list[GateResult] = field(default_factory=list)
    done_count: int = 0

    def shown(self) -> list[GateResult]:
        """Give the results that get pages."""
        return [*self.refused, *self.passed]

    def take(self, results: list[BatchResult]) -> None:
        """Check batches together and land them; one that is refused is found alone and does not stop the others."""
        gate = self._check(results)
        if not gate.passed and len(results) > 1:
            for result in results:
                self.take([result])
            return
        if gate.passed:
            self.passed = [*self.passed, gate][-_PAGES:]
            land_batches(self.tables, results)
            self.done_count += sum(len(result.batch.image_ids) for result in results)
            progress.report(self.stage, self.done_count, self.images_count)
            return
        self.refused.append(gate)
        self.shard.book([results[0].usage], "failed")
        try:
            require(gate)
        except LabelopError as error:
            self.failed.append(error)

    def _check(self, results: Sequence[BatchResult]) -> GateResult:
        planned = {result.batch.batch_id: result.batch.image_ids for result in results}
        refs = self.shard.context.refs
        return check_prelabels(
            pa.concat_tables([result.table for result in results]),
            batch_image_ids=planned,
            classes=self.shard.classes,
            levels={key: self.shard.group_of_image(key) for keys in planned.values() for key in keys if key in refs},
            cloud_levels=cloud_groups(self.shard.context.policy),
        )
