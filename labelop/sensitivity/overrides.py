"""A named person's word against the signals: for one image, with a reason and an end.

It may lower a level only while the evidence is still what the person saw, and raise it in any case; so more evidence
never opens an image. The same rule stands in `sql/views/12_v_level.sql`. Knows tables and no pixel.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from labelop.errors import ManifestError
from labelop.ids import row_id
from labelop.landing.store import Store, land
from labelop.queries import run_query
from labelop.schemas import utc_now
from labelop.sensitivity.levels import Level


@dataclass(frozen=True, slots=True)
class Override:
    """What somebody declared an image to be."""

    level: Level
    """The level from then on."""
    until: date
    """Last day on which it counts."""
    findings_digests: Collection[str]
    """Evidence the person saw, one digest per dataset that holds the image."""


def level_in_force(found: Level, findings_digest: str, override: Override | None, today: date) -> Level:
    """Give the level of an image, overrides heard.

    Args:
        found: Highest level of its findings.
        findings_digest: Names these findings.
        override: The newest override of the image that has not expired, or None.
        today: The present day, UTC.
    """
    if override is None or today > override.until:
        return found
    if override.level >= found or findings_digest in override.findings_digests:
        return override.level
    return found


def record_override(  # noqa: PLR0917 - who says what of which image, why and how long
    store: Store, image_id: str, level: Level, by: str, reason: str, until: date, run_id: str
) -> str:
    """Land an override of an image for the findings it has now; its id.

    Raises:
        ManifestError: Name or reason is empty, the day is over, or the image has not been classified.
        LandingError: The store did not take the row.
    """
    if not by.strip() or not reason.strip():
        raise ManifestError("An override needs the name of a person and a reason.")
    if until < utc_now().date():
        raise ManifestError(f"An override until {until.isoformat()} has expired already.")
    rows = run_query(store, "image_findings", {"image_id": image_id}).to_pylist()
    digests = sorted({str(row["findings_digest"]) for row in rows})
    if not digests:
        raise ManifestError(f"Image {image_id[:12]} has not been classified.", hint="Run `labelop classify` first.")
    override_id = row_id("o", image_id, level.text, by, reason, until.isoformat(), digests)
    row = {
        "override_id": override_id,
        "image_id": image_id,
        "level": level.text,
        "by": by,
        "reason": reason,
        "until": until.isoformat(),
        "findings_digests": digests,
        "run_id": run_id,
        "landed_at": utc_now(),
    }
    land(store, "overrides", [row], override_id)
    return override_id
