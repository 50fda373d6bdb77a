"""Which images get which arms, and where: decisions of levels become assignments of images.

Knows no table, no engine and no orchestrator.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelop.errors import NoEligiblePlacementError
from labelop.sensitivity.clearance import group_of

CHOSEN, COMPARE, EVALUATE = "chosen", "compare", "evaluate"
"""Roles: routing picked it; the other arm on the comparison slice; a held-out image run by every model on premises."""

PILOT, PARITY = "pilot", "parity"
"""Roles of a pilot's own batches: drafts that reviewers compare, and one model at a second place to compare places."""

ONPREM = "onprem"
"""The placement where anything may be looked at."""

_SHARE_STEPS = 1 << 32


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one image gets."""

    arm: str
    """local | cloud."""
    role: str
    """chosen | compare | evaluate | pilot | parity."""
    placement: str
    """onprem | cloud."""


def in_slice(image_id: str, share: float) -> bool:
    """Say whether an image belongs to a fixed share of all images.

    Args:
        image_id: 64 hex digits; its leading digits decide, so the answer never changes.
        share: Share of images wanted, 0..1.
    """
    return int(image_id[:8], 16) < share * _SHARE_STEPS


def assign(
    group_of_image: Mapping[str, str],
    decisions: Iterable[Mapping[str, Any]],
    held_out: frozenset[str],
    compare_share: float,
    evaluation_arms: Sequence[str],
) -> dict[Assignment, list[str]]:
    """Give every image its arms.

    Args:
        group_of_image: Group by image id, see `clearance.group_of`: the level, the rule that releases the image, and
            its stratum where decisions tell strata apart.
        decisions: Rows of the `decisions` table: `level`, `release_rule`, `stratum`, `role`, `arm`, `placement`,
            `allowed`.
        held_out: Images with truth that no model was trained on.
        compare_share: Share of images, 0..1, that both arms prelabel where both are allowed.
        evaluation_arms: Arms whose models are run on premises on held-out images.

    Returns:
        Sorted image ids by assignment.

    Raises:
        NoEligiblePlacementError: A level has no chosen placement.
    """
    chosen, allowed = _options(decisions)
    result: dict[Assignment, list[str]] = defaultdict(list)
    for image_id in sorted(group_of_image):
        group = group_of_image[image_id]
        if group not in chosen:
            raise NoEligiblePlacementError(
                f"Images of level {group} have no allowed placement (first image {image_id[:12]}).",
                hint="`labelop route --explain` lists why each placement was refused.",
                level=group,
            )
        arm, placement = chosen[group]
        given = [Assignment(arm, CHOSEN, placement)]
        if in_slice(image_id, compare_share):
            given += [Assignment(other, COMPARE, where) for other, where in allowed[group] if other != arm]
        if image_id in held_out:
            covered = {a.arm for a in given}
            given += [Assignment(other, EVALUATE, ONPREM) for other in evaluation_arms if other not in covered]
        for assignment in given:
            result[assignment].append(image_id)
    return dict(result)


def _options(
    decisions: Iterable[Mapping[str, Any]],
) -> tuple[dict[str, tuple[str, str]], dict[str, list[tuple[str, str]]]]:
    """Read off, per group, the chosen and all allowed (arm, placement) pairs."""
    chosen: dict[str, tuple[str, str]] = {}
    allowed: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in decisions:
        if not row["allowed"]:
            continue
        group = group_of(row["level"], row.get("release_rule"), row.get("stratum"))
        allowed[group].append((row["arm"], row["placement"]))
        if row["role"] == CHOSEN:
            chosen[group] = (row["arm"], row["placement"])
    return chosen, allowed
