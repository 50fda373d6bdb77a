"""What may leave although its level stays at home: the picture without the parts that made it sensitive.

Pure rules; nothing is blurred and nothing is sent here. A rule lets an image out only when everything that is left
after it would have been allowed out anyway, so more evidence never opens more. Knows no pixel and no key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from labelop.sensitivity.levels import Level
from labelop.sensitivity.signals.base import Finding, Region


@dataclass(frozen=True, slots=True)
class ReleaseRule:
    """One way out."""

    rule_id: str
    """Name of the rule, unique in its policy."""
    up_to: Level
    """Highest level it opens; never restricted."""
    placements: frozenset[str]
    """Where the changed image may go."""
    redact: frozenset[str]
    """Categories whose regions are made unrecognisable."""
    strip: frozenset[str]
    """Categories that lie in notes of the file, which every release leaves behind."""
    downscale_px: int | None
    """Longest side of what leaves, pixels; None for no change."""


@dataclass(frozen=True, slots=True)
class ReleaseForm:
    """What has to be done to one image before it may leave."""

    rule_id: str
    """Rule that allows it."""
    placements: frozenset[str]
    """Where it may go then."""
    redact: tuple[Region, ...]
    """Regions to make unrecognisable, xyxy pixels of the upright image."""
    downscale_px: int | None
    """Longest side afterwards, pixels; None for no change."""


class ReleasePolicy(Protocol):
    """What is asked of a policy to know in which forms an image may leave."""

    @property
    def stale(self) -> bool:
        """Whether its last day is over."""
        ...

    @property
    def release_rules(self) -> Sequence[ReleaseRule]:
        """Rules in the order in which they are tried."""
        ...

    def allowed_placements(self, level: Level) -> frozenset[str]:
        """Placements where images of a level may be."""
        ...


def release_forms(policy: ReleasePolicy, level: Level, findings: Sequence[Finding]) -> list[ReleaseForm]:
    """List every changed form in which an image may leave, in the order of the policy's rules.

    Args:
        policy: The rules.
        level: Level of the image as it is, all owners and overrides heard.
        findings: What it was found to hold; a level above them has evidence nobody can redact.
    """
    if policy.stale or not findings or level > max(found.level for found in findings):
        return []
    forms = []
    for rule in policy.release_rules:
        if level > rule.up_to or level is Level.RESTRICTED:
            continue
        left = list(_left(rule, findings))
        if not left:
            continue  # nobody said a word about the rest of the picture
        # what is left after the change has to be allowed there by itself
        placements = rule.placements & policy.allowed_placements(max(found.level for found in left))
        if placements:
            hidden = [found for found in findings if found not in left]
            regions = tuple(sorted({found.region for found in hidden if found.region is not None}))
            forms.append(ReleaseForm(rule.rule_id, placements, regions, rule.downscale_px))
    return forms


def release_form(
    policy: ReleasePolicy, level: Level, findings: Sequence[Finding], placement: str = "cloud"
) -> ReleaseForm | None:
    """Give the first form in which an image may go to a placement it may not go to as it is, or None."""
    return next((form for form in release_forms(policy, level, findings) if placement in form.placements), None)


def _left(rule: ReleaseRule, findings: Iterable[Finding]) -> Iterable[Finding]:
    for found in findings:
        hidden = found.category in rule.redact and found.region is not None
        if not hidden and found.category not in rule.strip:
            yield found
