"""Which images may be named to a host or bucket elsewhere; each answer is in the egress log before a task is written.

Who has the name of a file can ask for the file, so only images are named that may be at the cloud as they are. Knows
the policy and the log; must not know what a task looks like.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from urllib.parse import urlsplit

from labelop.egress.audit import AuditLog
from labelop.egress.denials import group_lines
from labelop.landing.store import Store
from labelop.review.tasks import ReviewTask
from labelop.sensitivity.clearance import CLOUD, Clearance, NamedPolicy, Standing, clear, standings
from labelop.sensitivity.levels import Level

EVENT = "named_elsewhere"
"""What lines about such names are called."""


def answer_names(
    store: Store,
    tasks: Sequence[ReviewTask],
    prefix: str,
    policy: NamedPolicy | None,
    log: AuditLog | None,
    *,
    limit: int | None = None,
) -> tuple[list[ReviewTask], int]:
    """Give the tasks whose images may be named under an address elsewhere, and how many may not.

    Args:
        store: Where the levels are.
        tasks: Tasks of one dataset version, in order.
        prefix: Address that names a host or bucket.
        policy: The policy in force; without one nothing may be named.
        log: Where each answer is written first; without one nothing may be named.
        limit: Most tasks to give; all when None.

    Raises:
        OSError: The log could not be written; nothing may be named then.
    """
    known = standings(store, tasks[0].dataset, tasks[0].dataset_version, policy) if tasks and policy else {}
    kept: list[ReviewTask] = []
    answers: dict[tuple[str, Level], list[str]] = defaultdict(list)
    withheld = 0
    for task in tasks:
        standing = known.get(task.image_id, Standing(Level.RESTRICTED))
        # as it is: a rule that releases a changed picture says nothing about the name of its file
        if policy is None or log is None or clear(policy, standing, CLOUD) != Clearance():
            withheld += 1
            answers["deny", standing.level].append(task.image_id)
        elif limit is None or len(kept) < limit:
            kept.append(task)
            answers["allow", standing.level].append(task.image_id)
    if log is not None:
        shared = {"event": EVENT, "placement": CLOUD, "to": urlsplit(prefix).hostname}
        shared |= {"policy_digest": policy.digest if policy else ""}
        lines = []
        for (answer, level), image_ids in sorted(answers.items()):
            why = {} if answer == "allow" else {"reason": "level-not-allowed"}
            about = {**shared, "answer": answer, "level": level.text, **why, "datasets": [tasks[0].dataset]}
            lines += group_lines(about, list(dict.fromkeys(image_ids)))
        if lines:
            log.append_many(lines)
    return kept, withheld
