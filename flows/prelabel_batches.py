"""The child: do one shard in its placement's pool, with the models loaded once."""

from __future__ import annotations

from prefect import flow

from labelop import progress
from labelop.errors import ConfigurationError, LabelopError
from labelop.landing.expectations import GateResult, require, write_data_docs
from labelop.landing.store import Store, open_store
from labelop.prelabel.plan import PlannedBatch, pending
from labelop.prelabel.shard import OpenShard, ShardRange, open_shard
from labelop.settings import load_settings
from tasks.artifacts import progress_shown
from tasks.prelabel import check_prelabels, land_batch, run_batch


@flow(name="prelabel-batches", persist_result=False)
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
        LabelopError: The first batch that failed, after all others were done. It is not landed, its cost is booked:
            `ExpectationsFailedError` for rows that were refused, else what the engine or the source said.
    """
    settings = load_settings(store=store, cloud_url=cloud_url)
    tables = open_store(settings)
    wanted = ShardRange(plan_id, placement, first, last)
    results: list[GateResult] = []
    with progress_shown(), open_shard(tables, wanted, ontology, settings, run_id) as shard:
        todo = pending(tables, shard.batches)
        shard.todo = tuple(todo)
        stage = f"prelabel {shard.context.plan.dataset} ({placement})"
        images = sum(len(b.image_ids) for b in todo)
        done = 0
        failed: list[LabelopError] = []
        progress.report(stage, done, images)
        try:
            for batch in todo:
                try:
                    _one(tables, shard, batch, results)
                except ConfigurationError:
                    raise
                except LabelopError as error:
                    # one batch's trouble may not cost the others their turn; the shard still ends as failed
                    failed.append(error)
                    continue
                done += len(batch.image_ids)
                progress.report(stage, done, images)
        finally:
            # a refused batch is the one whose page somebody will look for
            if results:
                docs = settings.data_docs_path / shard.context.plan.dataset / f"prelabels-{placement}"
                write_data_docs(results, docs)
        if failed:
            raise failed[0]


def _one(tables: Store, shard: OpenShard, batch: PlannedBatch, results: list[GateResult]) -> None:
    result = run_batch(shard, batch)
    gate = check_prelabels(
        result.table,
        batch_image_ids={batch.batch_id: list(batch.image_ids)},
        classes=shard.classes,
        levels={key: ref.level for key, ref in shard.context.refs.items()},
        cloud_levels=shard.levels_allowed_at("cloud"),
    )
    results.append(gate)
    if not gate.passed:
        shard.book_failed(result.usage)
    require(gate)
    land_batch(tables, result)
