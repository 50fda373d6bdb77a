"""Work that may go to the cloud waits for a sync: the name of a dataset version, never a pixel. Knows no orchestrator.

When the network is back, the version is routed and planned anew under the policy of then; what has landed stays done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelop.egress.environment import ONPREM
from labelop.errors import SiteError
from labelop.ids import row_id
from labelop.prelabel.plan import PlannedBatch
from labelop.site.outbox import Item
from labelop.site.place import WORK, Site


@dataclass(frozen=True, slots=True)
class Work:
    """One dataset version of which a part waits for the cloud."""

    item: Item
    """What waits."""
    dataset: str
    """Dataset name."""
    dataset_version: str
    """Dataset version."""
    sizes: Mapping[str, Any]
    """`batch_images` and `shard_batches` of the night: part of what a batch is, so the sync keeps them."""


def keep_for_sync(
    site: Site | None, dataset: str, dataset_version: str, batches: Sequence[PlannedBatch], sizes: Mapping[str, Any]
) -> tuple[list[PlannedBatch], list[PlannedBatch]]:
    """Put what would leave the premises into the outbox.

    Args:
        site: The site; nothing waits without one.
        dataset: Dataset name.
        dataset_version: Dataset version.
        batches: Batches that have not landed.
        sizes: See `Work.sizes`.

    Returns:
        The batches to do now, and those that wait.

    Raises:
        OutboxFullError: It does not fit.
    """
    kept = [batch for batch in batches if batch.placement != ONPREM]
    if site is None or not kept:
        return list(batches), []
    facts = {"dataset": dataset, "dataset_version": dataset_version, "sizes": dict(sizes), "batches_count": len(kept)}
    site.outbox.put(row_id(WORK, dataset, dataset_version, dict(sizes)), facts)
    return [batch for batch in batches if batch.placement == ONPREM], kept


def waiting_work(site: Site) -> list[Work]:
    """List what waits for the cloud, in order.

    Raises:
        SiteError: An item is damaged.
    """
    found = []
    for item in site.outbox.items(WORK):
        facts, _ = site.outbox.read(item)
        try:
            found.append(Work(item, facts["dataset"], facts["dataset_version"], facts["sizes"]))
        except KeyError as error:
            raise SiteError(f"Item {item.path} names no {error}.", hint="Move it out of the folder.") from error
    return found
