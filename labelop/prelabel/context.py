"""What the batches of a shard share: where the images lie, how sensitive they are now, and under which policy.

Read once per shard from the tables. Knows no engine and no orchestrator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.prelabel.plan import Plan
from labelop.runs import source_root
from labelop.sensitivity.effective import effective_levels
from labelop.sensitivity.levels import Level
from labelop.sensitivity.policy import SensitivityPolicy
from labelop.settings import Settings


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
