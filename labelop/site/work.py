"""Work that may go to the cloud waits for a sync: the name of a dataset version, never a pixel. Knows no orchestrator.

When the network is back, the version is routed and planned anew under the policy of then; what has landed stays done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelop.egress.environment import ONPREM
from labelop.errors import SiteError
from labelop.ids import row_id
from labelop.landing.store import Store, read_rows
from labelop.prelabel.plan import PlannedBatch
from labelop.runs import PRELABELLED, STARTED
from labelop.site.outbox import Item
from labelop.site.place import WORK, Site

_SIZES = ("batch_images", "shard_batches")


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
    facts = _facts(dataset, dataset_version, sizes)
    site.outbox.put(_key(facts), facts)
    return [batch for batch in batches if batch.placement == ONPREM], kept


def waiting_work(site: Site) -> list[Work]:
    """List what waits for the cloud, in order.

    Raises:
        SiteError: An item is damaged.
    """
    return [work_of(item, site.outbox.read(item)[0]) for item in site.outbox.items(WORK)]


def work_of(item: Item, facts: Mapping[str, Any]) -> Work:
    """Understand an item.

    Raises:
        SiteError: It is not what such an item says.
    """
    try:
        key = _key(facts)
    except (KeyError, TypeError, ValueError) as error:
        raise SiteError(
            f"Item {item.path} names no work: {error}.",
            hint="`labelop sync` sets it aside; look which release wrote it.",
        ) from error
    if key != item.key:
        raise SiteError(
            f"Item {item.path} says what has the key {key}, expected {item.key}.",
            hint="`labelop sync` sets it aside; look at the disk.",
        )
    return Work(item, facts["dataset"], facts["dataset_version"], facts["sizes"])


def work_in_tables(store: Store) -> dict[str, dict[str, Any]]:
    """Find what nights kept for a sync, whatever became of it: the facts of items by their keys."""
    rows = read_rows(store, "runs", columns=["run_id", "dataset", "dataset_version", "event", "summary"])
    said = {(row["run_id"], row["dataset"], row["event"]): json.loads(row["summary"]) for row in rows}
    found = {}
    for row in rows:
        asked = said.get((row["run_id"], row["dataset"], STARTED))
        if row["event"] == PRELABELLED and asked is not None and json.loads(row["summary"]).get("deferred_count"):
            facts = _facts(row["dataset"], row["dataset_version"], {name: asked[name] for name in _SIZES})
            found[_key(facts)] = facts
    return found


def _facts(dataset: str, dataset_version: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
    return {"dataset": dataset, "dataset_version": dataset_version, "sizes": dict(sizes)}


def _key(facts: Mapping[str, Any]) -> str:
    return row_id(WORK, facts["dataset"], facts["dataset_version"], facts["sizes"])
