"""What the owner said: a level for the image, or one for the whole dataset. Knows no pixel and no table."""

from __future__ import annotations

from collections.abc import Sequence

from labelop.sensitivity.levels import Level
from labelop.sensitivity.signals.base import Finding

NAME = "declared"
VERSION = "2"
CATEGORIES = ("declared_level", "owner_level", "unknown", "stale_policy")


def declared_findings(declared: Sequence[str | None]) -> list[Finding]:
    """Take the owner's word: the highest level declared for any copy; a level that is not known is restricted."""
    given = [Level.from_text(text) for text in declared if text is not None]
    if not given:
        return []
    return [spoken("declared_level", max(given), f"declared for {len(given)} of {len(declared)} copies")]


def owner_findings(level: Level | None) -> list[Finding]:
    """Take the level that the policy names for an owner's dataset, where it names one."""
    return [] if level is None else [spoken("owner_level", level, "the policy's level for this owner's dataset")]


def spoken(category: str, level: Level, evidence: str) -> Finding:
    """Make a finding of this signal."""
    return Finding(NAME, VERSION, category, level, evidence)
