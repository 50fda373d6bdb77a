"""Images that were refused while their batch was done, as rows of `decisions`: there people look for why one stayed.

Routing decides by level; a level raised since, a release that did not hold or a clock set back show only here. What the
gate refused it has written down itself; what was kept back before it is written here. Knows no table's place and no
engine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from labelop.egress.denials import Denial, note_denials
from labelop.engines.prelabeller import ImageResult
from labelop.ids import row_id
from labelop.prelabel.context import BatchContext
from labelop.prelabel.plan import PlannedBatch
from labelop.routing.rules import LEVEL_NOT_ALLOWED
from labelop.schemas import utc_now
from labelop.sensitivity.levels import Level

SET = "refused"
"""Prefix of a `decision_set` that routing did not make; such a set is never in force."""
RELEASE = "RELEASE_"
"""How the code of a refusal after the gate begins."""

_UNKNOWN = (
    "release_rule", "stratum", "role", "expected_cost", "currency", "expected_review_seconds", "contrast_id", "ratio",
    "ratio_low", "ratio_high", "runner_up",
)  # fmt: skip
"""Columns of a decision that a refusal on the way says nothing about."""


def note_kept(context: BatchContext, batch: PlannedBatch, results: Sequence[ImageResult]) -> None:
    """Write into the egress log what was kept at the batch's door, one group per level and reason.

    Args:
        context: What the shard shares.
        batch: The batch.
        results: What no model saw; only the withheld among them is meant.

    Raises:
        OSError: The log does not take it.
    """
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for result in results:
        if result.outcome == "withheld":
            groups[_level(context, result), result.reason or ""].append(result.image_id)
    denials = [
        Denial(batch.placement, level, LEVEL_NOT_ALLOWED, why, sorted(held))
        for (level, why), held in sorted(groups.items())
    ]
    about = {"batch_id": batch.batch_id}
    note_denials(
        context.settings,
        "kept_at_the_door",
        denials,
        about=about,
        policy_digest=context.policy.digest,
        run_id=context.run_id,
    )


def _level(context: BatchContext, result: ImageResult) -> str:
    ref = context.refs.get(result.image_id)
    return Level.RESTRICTED.text if ref is None else ref.level


def refusal_rows(context: BatchContext, batch: PlannedBatch, results: Sequence[ImageResult]) -> list[dict[str, Any]]:
    """Count what was refused, one row of `decisions` per level and reason; none where nothing was."""
    counts: Counter[tuple[str, str]] = Counter()
    for result in results:
        code = result.reason or ""
        if result.outcome == "withheld" or code.startswith(RELEASE):
            counts[_level(context, result), code] += 1
    return [
        {
            "decision_id": row_id("d", SET, batch.batch_id, level, code),
            "decision_set": row_id(SET, batch.batch_id),
            "dataset": context.plan.dataset,
            "dataset_version": context.plan.dataset_version,
            "level": level,
            "arm": batch.arm,
            "placement": batch.placement,
            "model_id": batch.model_id,
            "allowed": False,
            **dict.fromkeys(_UNKNOWN),
            "reason": f"{count} images of batch {batch.batch_id} were refused at {batch.placement}: {code}.",
            "rule_id": code if code.isupper() else LEVEL_NOT_ALLOWED,
            "images_count": count,
            "policy_digest": context.policy.digest,
            "run_id": context.run_id,
            "landed_at": utc_now(),
        }
        for (level, code), count in sorted(counts.items())
    ]
