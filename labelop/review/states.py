"""The states a review goes through, who may move it, and what it takes for its labels to be accepted.

A review without any state is pending. Pure: knows no store, no file and no tool. A state is a row that is never
changed; its seal binds it to what the review says and to the state before it, so that rows cannot be made up, altered
or swapped.
"""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from labelop.ids import canonical_json

State: TypeAlias = Literal["pending", "in_review", "approved", "revision_requested", "rejected"]
"""Where a review stands."""
STATES: tuple[State, ...] = get_args(State)

TRANSITIONS: Mapping[State, frozenset[State]] = {
    "pending": frozenset({"in_review", "approved", "revision_requested", "rejected"}),
    "in_review": frozenset({"pending", "approved", "revision_requested", "rejected"}),
    # what was asked for or turned down is looked at again before it may count
    "approved": frozenset({"revision_requested", "rejected"}),
    "revision_requested": frozenset({"in_review", "rejected"}),
    "rejected": frozenset({"in_review"}),
}
"""States that may follow each state."""

APPROVERS = frozenset({"reviewer", "lead"})
"""Roles whose approval can make a label accepted."""

SEEDED = "seeded"
"""Arm of tasks that show a wrong draft on purpose: a review of one is never accepted, whatever other rows say."""

NO_KEY = "NO_KEY"
"""Refusal of an approval that cannot be checked."""

_DOMAIN = "labelop/review-state/1"


@dataclass(frozen=True, slots=True)
class StateRow:
    """One step of one review."""

    review_id: str
    """Which review."""
    position: int
    """0, 1, ...: place among the review's steps."""
    state: State
    """Where it stands from then on."""
    by: str
    """Who moved it: the name of a person here, or the pseudonym of the reviewer who submitted it."""
    role: str
    """As what: reviewer or lead."""
    reason: str
    """Short code of why, for example `submitted`."""
    note: str
    """What the person wrote; may be empty."""
    content_digest: str
    """What the review said then, see `labelop.review.content`."""
    previous: str
    """Seal of the step before; empty for the first."""
    at: dt.datetime
    """When, UTC."""
    seal: str = ""
    """Keyed hash over all of it, 64 hex digits."""


def seal_of(key: bytes, row: StateRow) -> str:
    """Compute the seal of a step: HMAC-SHA256 over everything it says, 64 hex digits."""
    said = [_DOMAIN, row.review_id, row.position, row.state, row.by, row.role, row.reason, row.note]
    said += [row.content_digest, row.previous, row.at.isoformat(timespec="microseconds")]
    return hmac.digest(key, canonical_json(said).encode(), "sha256").hex()


def refusal_of(key: bytes | None, content_digest: str, chain: Sequence[StateRow], revoked_to: int = -1) -> str:
    """Say why a review's steps do not make its labels accepted.

    Args:
        key: Key of the seals; without one nothing can be believed.
        content_digest: What the review says now.
        chain: All its steps, in any order.
        revoked_to: Highest position at which an approval of it was withdrawn; -1 for never. Known from outside the
            tables, since whoever removes the last step of a chain leaves no gap.

    Returns:
        Reason code, `NOT_APPROVED` among them; empty when the last step is an approval that holds.
    """
    steps = sorted(chain, key=lambda row: row.position)
    if not steps or steps[-1].state != "approved":
        return "NOT_APPROVED"
    if key is None:
        return NO_KEY
    last = steps[-1]
    faults = {
        _fault_of(key, steps): True,
        "LABELS_CHANGED": last.content_digest != content_digest,
        "WRONG_ROLE": last.role not in APPROVERS,
        "WITHDRAWN": last.position <= revoked_to,
    }
    return next((code for code, is_so in faults.items() if code and is_so), "")


def _fault_of(key: bytes, steps: Sequence[StateRow]) -> str:
    """Find what shows that steps were removed, doubled, made up or altered."""
    before: State = "pending"
    previous = ""
    for position, step in enumerate(steps):
        if step.position != position:
            return "STATES_BROKEN"
        if not hmac.compare_digest(step.seal, seal_of(key, step)) or step.previous != previous:
            return "FORGED"
        if step.state not in TRANSITIONS[before]:
            return "FORBIDDEN_STEP"
        before, previous = step.state, step.seal
    return ""
