"""Lines of the egress log about whole groups that were kept at home, so that they never asked the gate one by one.

Routing keeps a level at home for a hundred thousand images at once. Each group is written with its reason, its count
and a digest of its images, and the ids in as few lines as they fit in: one sync for all of them, and an image is found
in the log without any table. Signs nothing: whoever keeps images at home needs no key. Knows no table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelop.egress.audit import AuditLog
from labelop.ids import digest_of
from labelop.settings import Settings

EVENTS = ("kept_by_routing", "kept_at_the_door")
"""Who kept them: the decision of their level, or the check before a batch reads its originals."""

_LINE_IMAGES = 800  # 64 digits each; a line has at most 64 KiB
_SHOWN_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Denial:
    """Images that may not be at a placement, for one reason."""

    placement: str
    """Where they may not be."""
    level: str
    """Their sensitivity level."""
    reason: str
    """Rule that says so."""
    because: str
    """What was found in them, or who says so."""
    image_ids: Sequence[str]
    """The images, in order."""


def note_denials(
    settings: Settings,
    event: str,
    denials: Sequence[Denial],
    *,
    about: Mapping[str, str],
    policy_digest: str,
    run_id: str,
) -> None:
    """Write down groups that stay at home, durably and in one go.

    Args:
        settings: Where the log is.
        event: One of `EVENTS`.
        denials: The groups; one without images has no line.
        about: What leads to their rows in the tables, for example the batch.
        policy_digest: Policy under which they stay.
        run_id: Run that kept them.

    Raises:
        OSError: The lines could not be written.
    """
    lines: list[Mapping[str, Any]] = []
    for one in denials:
        shared: dict[str, Any] = {
            "event": event,
            "answer": "deny",
            "reason": one.reason,
            "because": one.because[:_SHOWN_CHARACTERS],
            "level": one.level,
            "placement": one.placement,
            "policy_digest": policy_digest,
            "run_id": run_id,
            **about,
        }
        lines += group_lines(shared, one.image_ids)
    if lines:
        AuditLog(settings.audit_path).append_many(lines)


def group_lines(about: Mapping[str, Any], image_ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """Give the lines of one group of images, in as few as their ids fit in; none for no image.

    Args:
        about: What all of them share; of bounded size.
        image_ids: The images, in order.
    """
    counted = {**about, "images_count": len(image_ids), "images_digest": digest_of(list(image_ids))}
    return [
        {**counted, "image_ids": list(image_ids[first : first + _LINE_IMAGES])}
        for first in range(0, len(image_ids), _LINE_IMAGES)
    ]
