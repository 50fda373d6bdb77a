"""A named person's word against the signals: for one image, with a reason and an end.

It may lower a level only while the evidence is still what the person saw, and raise it in any case; so more evidence
never opens an image. The same rule stands in `sql/views/12_v_level.sql`. Each word, and each that is taken back, is in
the egress log before it counts. Knows tables and the log, and no pixel.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow.compute as pc

from labelop.egress.audit import AuditLog
from labelop.errors import ManifestError
from labelop.ids import row_id
from labelop.landing.store import Store, land, read_rows
from labelop.queries import run_query
from labelop.schemas import utc_now
from labelop.sensitivity.levels import Level

MOST_DAYS = 366
"""How far ahead the last day of an override may be: who knew the image may have left by then."""
WITHDRAWN = "withdrawn"
"""What stands for the level where a word is taken back."""

_STRICTNESS = {name: rank for rank, name in enumerate(("public", "internal", "confidential", WITHDRAWN))}
"""Which of two words said at the same moment counts: restricted and what is no level before all others."""
_MOST_CHARACTERS = 1000  # of a name and of a reason; a line of the log has at most 64 KiB


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
    store: Store, log: AuditLog, image_id: str, level: Level, by: str, reason: str, until: date, run_id: str
) -> str:
    """Land an override of an image for the findings it has now; its id.

    Args:
        store: Where the tables are.
        log: Where it is written down first.
        image_id: The image, 64 hex digits.
        level: What it is declared to be.
        by: Who answers for it.
        reason: Why.
        until: Last day on which it counts, at most `MOST_DAYS` ahead.
        run_id: Run that lands it.

    Raises:
        ManifestError: Name or reason is empty or too long, the day is over or too far ahead, or the image has not been
            classified.
        OSError: The log could not be written; nothing landed.
        LandingError: The store did not take the row.
    """
    today = utc_now().date()
    latest = today + timedelta(days=MOST_DAYS)
    if until < today:
        raise ManifestError(f"An override until {until.isoformat()} has expired already.")
    if until > latest:
        raise ManifestError(
            f"An override until {until.isoformat()} is too long, expected at most until {latest.isoformat()}.",
            hint=f"After {MOST_DAYS} days somebody has to look again and answer for it.",
        )
    return _say(store, log, "override", image_id, level.text, by, reason, until, run_id)


def withdraw_override(  # noqa: PLR0917 - as above
    store: Store, log: AuditLog, image_id: str, by: str, reason: str, run_id: str
) -> str:
    """Take back the word that counts for an image, so that its findings count again; the id of the withdrawal.

    Raises:
        ManifestError: Name or reason is empty or too long, or no word counts for the image.
        OSError: The log could not be written; nothing landed.
        LandingError: The store did not take the row.
    """
    today, last = utc_now().date(), _last(store, image_id)
    if last is None or last["level"] == WITHDRAWN or str(last["until"]) < today.isoformat():
        raise ManifestError(
            f"No override counts for image {image_id[:12]}.", hint="`labelop classify --explain` shows its level."
        )
    return _say(store, log, "override_withdrawn", image_id, WITHDRAWN, by, reason, today, run_id)


def _say(  # noqa: PLR0917 - as above
    store: Store, log: AuditLog, event: str, image_id: str, level: str, by: str, reason: str, until: date, run_id: str
) -> str:
    for what, given in (("the name of a person", by), ("a reason", reason)):
        if len(given) > _MOST_CHARACTERS:
            raise ManifestError(
                f"An override needs {what}, expected 1 to {_MOST_CHARACTERS} characters, got {len(given)}."
            )
        # signs of no width name nobody, and what is no text would be in the log and never land
        if not any(sign.isalnum() for sign in given) or any("\ud800" <= sign <= "\udfff" for sign in given):
            raise ManifestError(f"An override needs {what}, expected letters or digits in UTF-8, got {given[:40]!r}.")
    rows = run_query(store, "image_findings", {"image_id": image_id}).to_pylist()
    digests = sorted({str(row["findings_digest"]) for row in rows})
    if not digests:
        raise ManifestError(f"Image {image_id[:12]} has not been classified.", hint="Run `labelop classify` first.")
    last = _last(store, image_id)
    position = 1 if last is None else _position(last) + 1
    # named after the word before it: what was said, taken back and said again counts again
    before = None if last is None else last["override_id"]
    override_id = row_id("o", before, image_id, level, by, reason, until.isoformat(), digests)
    word = {"image_id": image_id, "level": level, "by": by, "reason": reason, "until": until.isoformat()}
    datasets = sorted({str(row["dataset"]) for row in rows})
    log.append({"event": event, **word, "datasets": datasets, "override_id": override_id, "run_id": run_id})
    row = {"override_id": override_id, **word, "position": position, "findings_digests": digests}
    row |= {"run_id": run_id, "landed_at": utc_now()}
    land(store, "overrides", [row], override_id)
    return override_id


def _last(store: Store, image_id: str) -> dict[str, Any] | None:
    """Give the word that `v_override` takes for the newest."""
    rows = read_rows(store, "overrides", filters=pc.field("image_id") == image_id)
    return max(rows, key=lambda row: (_position(row), _STRICTNESS.get(row["level"], len(_STRICTNESS))), default=None)


def _position(row: dict[str, Any]) -> int:
    return int(row["position"] or 0)
