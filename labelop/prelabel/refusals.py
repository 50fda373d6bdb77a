"""Images that were refused while their batch was done, as rows of `decisions`: there people look for why one stayed.

Routing decides by level; a level raised since, a release that did not hold or a clock set back show only here. Knows
no table's place and no engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

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


def refusal_rows(context: BatchContext, batch: PlannedBatch, results: Sequence[ImageResult]) -> list[dict[str, Any]]:
    """Count what was refused, one row of `decisions` per level and reason; none where nothing was."""
    counts: Counter[tuple[str, str]] = Counter()
    for result in results:
        code = result.reason or ""
        if result.outcome == "withheld" or code.startswith(RELEASE):
            ref = context.refs.get(result.image_id)
            counts[Level.RESTRICTED.text if ref is None else ref.level, code] += 1
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
            **dict.fromkeys(("release_rule", "role", "expected_cost", "currency", "expected_review_seconds")),
            "reason": f"{count} images of batch {batch.batch_id} were refused at {batch.placement}: {code}.",
            "rule_id": code if code.isupper() else LEVEL_NOT_ALLOWED,
            "images_count": count,
            "policy_digest": context.policy.digest,
            "run_id": context.run_id,
            "landed_at": utc_now(),
        }
        for (level, code), count in sorted(counts.items())
    ]
