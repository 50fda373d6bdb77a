"""What the batches of a shard share: where the images lie, how sensitive they are now, and under which policy.

Read once per shard from the tables. Knows no engine and no orchestrator.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from labelop.errors import PlanOutdatedError
from labelop.landing.filters import equal
from labelop.landing.store import Store, read
from labelop.prelabel.plan import Plan, PlannedBatch, forms_of
from labelop.runs import source_root
from labelop.sensitivity.clearance import NamedPolicy, Standing, clear, standings
from labelop.sensitivity.levels import Level
from labelop.sensitivity.policy import SensitivityPolicy
from labelop.sensitivity.signals.base import Finding
from labelop.settings import Settings

_PLACE = ("image_id", "source_uri", "path", "width_px", "height_px", "size_bytes")
_CHUNK_ROWS = 10_000


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
    findings: tuple[Finding, ...] = ()
    """Evidence for it, where the image could leave in a changed form."""
    size_bytes: int = 0
    """Size of the file."""

    @property
    def standing(self) -> Standing:
        """What the rules are asked about."""
        return Standing(Level.from_text(self.level), self.findings)


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

    def may_be_at(self, ref: ImageRef, placement: str) -> bool:
        """Say whether an image may be at a placement, by the level and findings it has now."""
        return clear(self.policy, ref.standing, placement) is not None

    def check_forms(self, batch: PlannedBatch) -> None:
        """Refuse a batch whose images would leave in another form than planned: its name stands for other pixels.

        Raises:
            PlanOutdatedError: Something was found in them, or forgotten, since they were planned.
        """
        held = {key: self.refs[key].standing for key in batch.image_ids if key in self.refs}
        if batch.forms != forms_of(self.policy, held, [*held], batch.placement):
            raise PlanOutdatedError(
                f"Batch {batch.batch_id} of dataset {self.plan.dataset}: what has to be done to its images before they "
                f"leave for {batch.placement} is not what plan {self.plan.plan_id} says.",
                hint="Nothing left and nothing landed; the next run plans these images anew.",
            )


def image_refs(store: Store, plan: Plan, policy: NamedPolicy) -> dict[str, ImageRef]:
    """Look up where the images of a plan's batches lie and how sensitive they are now.

    An image without a level under this policy counts as restricted. Duplicates resolve to the first path. Texts that
    many images have in common are kept once, so that an image costs a few hundred bytes.
    """
    where = {"dataset": plan.dataset, "dataset_version": plan.dataset_version}
    wanted = {key: key for batch in plan.batches for key in batch.image_ids}
    filters = equal(**where, outcome="ok") & pc.field("image_id").isin(pa.array(wanted, pa.string()))
    found = read(store, "images", columns=list(_PLACE), filters=filters).sort_by("path")
    known = standings(store, plan.dataset, plan.dataset_version, policy)
    # the same content may lie elsewhere by now; its rows still name the place of its first ingest
    root = source_root(store, plan.dataset, plan.dataset_version)
    refs: dict[str, ImageRef] = {}
    for chunk in found.to_batches(_CHUNK_ROWS):
        for text, place, path, *sizes in zip(*(column.to_pylist() for column in chunk.columns), strict=True):
            key = wanted[text]
            if key not in refs:
                one = known.get(key, Standing(Level.RESTRICTED))
                where_it_lies = root or sys.intern(place)
                width, height, size = sizes
                refs[key] = ImageRef(key, where_it_lies, path, width, height, one.level.text, one.findings, size or 0)
    return refs
