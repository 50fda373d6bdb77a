"""Hold back batches that reviewers cannot absorb: drafts that wait for weeks go stale.

Knows the tables and the team; must not know an engine. What is held back stays planned and is done by a later night.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.pilot.capacity import Team, admission
from labelop.prelabel.assign import CHOSEN, COMPARE
from labelop.prelabel.plan import PlannedBatch
from labelop.queries import run_query

Reserve = Callable[[Team, Sequence[float]], int]
"""Takes pieces of review seconds in order and says how many it got: others may have taken from the same people."""


def admit(
    store: Store,
    team: Team | None,
    batches: Sequence[PlannedBatch],
    decision_set: str | None,
    reserve: Reserve | None = None,
) -> tuple[list[PlannedBatch], list[PlannedBatch], str]:
    """Take batches in order of the plan while their review fits beside what waits already.

    Args:
        store: Where the tables are; the backlog of every dataset counts.
        team: Who reviews; nothing is held back without one.
        batches: Batches that have not landed.
        decision_set: Decisions in force, which expect review seconds per image and arm; an arm without any is taken for
            the longest, and where nothing is known nothing is admitted.
        reserve: Asked for what fits beside the backlog; whoever runs at the same time is not in the backlog yet.

    Returns:
        The batches to do now, those held back, and a sentence; empty without a team. Batches that nobody reviews are
        always done.
    """
    if team is None:
        return list(batches), [], ""
    backlog = [row["backlog_seconds"] for row in run_query(store, "review_backlog").to_pylist()]
    allowed = admission(team, math.fsum(seconds for seconds in backlog if seconds is not None))
    expected = _expected(store, decision_set)
    is_known = bool(expected) and None not in backlog
    longest = max(expected.values(), default=0.0)
    reviewed = sorted((b for b in batches if b.role in {CHOSEN, COMPARE}), key=lambda b: b.position)
    seconds = [len(b.image_ids) * expected.get(b.arm, longest) for b in reviewed]
    count = fits = allowed.count(seconds) if is_known else 0
    if reserve is not None and count:
        count = reserve(team, seconds[:count])
    held = reviewed[count:]
    if not held:
        return list(batches), [], allowed.said
    waiting = {b.batch_id for b in held}
    images = sum(len(b.image_ids) for b in held)
    said = f"{allowed.said} {len(held)} batches with {images} images are held back."
    if not is_known:
        said += " No decision expects seconds of their review, so nobody knows what fits."
    elif count < fits:
        said += f" {fits - count} of them would fit, but other runs have just admitted what reviewers can do."
    elif not count and allowed.admit_seconds > 0:
        said += " Not one batch fits: make them smaller with --batch-images."
    return [b for b in batches if b.batch_id not in waiting], held, said


def _expected(store: Store, decision_set: str | None) -> dict[str, float]:
    """Average the expected review seconds per image of each arm over the groups of images."""
    rows = read_rows(store, "decisions", filters=equal(decision_set=decision_set)) if decision_set else []
    found = {}
    for arm in {row["arm"] for row in rows}:
        own = [row for row in rows if row["arm"] == arm and row["expected_review_seconds"] is not None]
        images = sum(row["images_count"] for row in own)
        if images:
            found[arm] = math.fsum(row["expected_review_seconds"] * row["images_count"] for row in own) / images
    return found
