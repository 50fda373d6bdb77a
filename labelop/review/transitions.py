"""Moves reviews from state to state: each step is checked, sealed and landed once, and a lost race is told.

Knows the tables, the roles and the key; what makes a label accepted is decided in `gate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from labelop.errors import ReviewError
from labelop.ids import digest_of
from labelop.landing.rows import rows_to_table
from labelop.landing.store import Store, dataset_of, land_after, land_many, read
from labelop.review.approvals import sealing_key, withdraw
from labelop.review.content import COLUMNS, content_digests
from labelop.review.gate import state_chains
from labelop.review.states import TRANSITIONS, State, StateRow, seal_of
from labelop.roles import Action, Roles
from labelop.schemas import utc_now

SUBMITTED = "submitted"
"""Reason of the first step of a review that somebody submitted in a tool."""

MOST_NOTE_CHARACTERS = 2000
"""Longest note."""
_REASON = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_ACTIONS: dict[State, Action] = {"approved": "approve"}


def submit(store: Store, rows: Sequence[dict[str, Any]], roles: Roles, run_id: str) -> int:
    """Let the word of reviewers who submitted count, as far as their dataset takes it; once per review.

    Args:
        store: Where.
        rows: Rows of `reviews`, landed before. Those that have a state already are left alone.
        roles: The roles in force. Where a dataset needs a lead, a review stays pending until one approves it; so
            does one that does not say whose it is, until somebody does.
        run_id: Run that imported them.

    Returns:
        Reviews that were moved.
    """
    wanted = {row["review_id"]: row for row in rows if row["arm"] != "import"}
    key, seeded = sealing_key(store), _seeded(store)
    steps: list[StateRow] = []

    def look() -> tuple[str, list[dict[str, Any]]]:
        nonlocal steps
        begun = set(read(store, "review_states", columns=["review_id"])["review_id"].to_pylist())
        fresh = [row for review_id, row in wanted.items() if review_id not in begun]
        steps = _first_steps(fresh, key, seeded, roles)
        return digest_of(sorted(begun)), [_state_row(step, run_id) for step in steps]

    land_after(store, "review_states", look)
    return len(steps)


def _first_steps(
    rows: Sequence[dict[str, Any]], key: bytes, seeded: set[tuple[Any, Any, Any]], roles: Roles
) -> list[StateRow]:
    steps = []
    digests = content_digests(rows_to_table("reviews", rows).select([*COLUMNS])) if rows else []
    for row, digest in zip(rows, digests, strict=True):
        state: State = "approved" if row["decision"] == "approved" else "rejected"
        by = row["reviewer"] or "unknown"
        # who submits is a reviewer by that, and a lead where roles.yaml names the pseudonym
        role = "lead" if "lead" in roles.people.get(by, ()) else "reviewer"
        needs_lead = roles.approver(row["dataset"]) == "lead"
        is_nobodys = row["reviewer"] is None or (needs_lead and role != "lead")
        if state == "approved" and (is_nobodys or _task(row) in seeded):
            continue
        steps.append(_sealed(key, row["review_id"], [], state, by, role, SUBMITTED, "", digest))
    return steps


def move(
    store: Store,
    review_ids: Iterable[str],
    state: State,
    *,
    by: str,
    roles: Roles,
    reason: str,
    note: str = "",
    run_id: str,
) -> int:
    """Move reviews to a state; all of them are checked before the first is moved.

    Args:
        store: Where.
        review_ids: Which.
        state: Where to.
        by: Who says so.
        roles: The roles in force: approving needs what the dataset needs, taking an approval back needs a lead.
        reason: Short code: lower-case letters, digits, dashes and underscores.
        note: Text for people; no names of persons on images.
        run_id: Run that records it.

    Returns:
        Reviews that were moved; those that stand there already are left alone.

    Raises:
        RoleError: The person may not.
        ReviewError: A review is unknown, the step is not one of its state, it was seeded, or reason or note have
            another form; or somebody else moved one meanwhile.
    """
    wanted = sorted(set(review_ids))
    _check_words(reason, note)
    reviews = _filtered(store, "reviews", wanted, [*COLUMNS])
    found = dict(zip(reviews.column("review_id").to_pylist(), reviews.to_pylist(), strict=True))
    if missing := [review_id for review_id in wanted if found.get(review_id, {"arm": "import"})["arm"] == "import"]:
        raise ReviewError(
            f"Review {missing[0]!r} is unknown ({len(missing)} of {len(wanted)} are).",
            hint="`labelop review state` lists reviews with their states; imported truth has none.",
        )
    digests = dict(zip(found, content_digests(reviews), strict=False))
    chains = state_chains(_filtered(store, "review_states", wanted))
    seeded = _seeded(store) if state == "approved" else set()
    key, steps, withdrawn = sealing_key(store), [], []
    for review_id in wanted:
        row, chain = found[review_id], chains.get(review_id, [])
        before: State = chain[-1].state if chain else "pending"
        if before == state:
            continue
        action: Action = "withdraw" if before == "approved" else _ACTIONS.get(state, "review")
        role = roles.require(by, action, row["dataset"])
        _check_step(review_id, before, state, row, seeded)
        if before == "approved":
            withdrawn.append((review_id, chain[-1].position))
        steps.append(_sealed(key, review_id, chain, state, by, role, reason, note, digests[review_id]))
    withdraw(store, withdrawn)  # first: a death in between leaves a label out, never in
    # the place in the chain is the key, so of two people who move one review at once the second is refused
    groups = [(f"state:{step.review_id}:{step.position}", [_state_row(step, run_id)]) for step in steps]
    landed = land_many(store, "review_states", groups) if groups else []
    if not all(landed):
        lost = [step.review_id for step, is_ours in zip(steps, landed, strict=True) if not is_ours]
        raise ReviewError(
            f"{len(lost)} of {len(steps)} reviews were moved by somebody else meanwhile, {lost[0]} among them.",
            hint="Look at their states and try again.",
        )
    return len(steps)


def _check_words(reason: str, note: str) -> None:
    if not _REASON.fullmatch(reason):
        raise ReviewError(
            f"Reason {reason[:80]!r} is no short code.", hint="Lower-case letters, digits, - and _; at most 64."
        )
    if len(note) > MOST_NOTE_CHARACTERS or not note.replace("\n", " ").isprintable():
        raise ReviewError(f"A note has at most {MOST_NOTE_CHARACTERS} characters, all of them printable.")


def _check_step(
    review_id: str, before: State, state: State, row: dict[str, Any], seeded: set[tuple[Any, Any, Any]]
) -> None:
    if state not in TRANSITIONS[before]:
        raise ReviewError(
            f"Review {review_id} is {before} and cannot become {state}; expected one of "
            f"{', '.join(sorted(TRANSITIONS[before]))}."
        )
    if state == "approved" and row["decision"] != "approved":
        raise ReviewError(f"Review {review_id} was skipped by its reviewer: it has no labels to approve.")
    if state == "approved" and _task(row) in seeded:
        raise ReviewError(
            f"Review {review_id} is of a seeded task: its draft was made wrong on purpose.",
            hint="The image needs a review of a task that was not seeded.",
        )


def _sealed(  # noqa: PLR0917 - the parts of a step
    key: bytes,
    review_id: str,
    chain: Sequence[StateRow],
    state: State,
    by: str,
    role: str,
    reason: str,
    note: str,
    digest: str,
) -> StateRow:
    previous = chain[-1].seal if chain else ""
    parts = (review_id, len(chain), state, by, role, reason, note, digest, previous, utc_now())
    return StateRow(*parts, seal=seal_of(key, StateRow(*parts)))


def _state_row(step: StateRow, run_id: str) -> dict[str, Any]:
    said = {name: getattr(step, name) for name in StateRow.__dataclass_fields__ if name != "at"}
    return {**said, "run_id": run_id, "landed_at": step.at}


def _seeded(store: Store) -> set[tuple[Any, Any, Any]]:
    rows = read(store, "bias_seeds", columns=["dataset_version", "image_id", "batch_id"]).to_pylist()
    return {_task(row) for row in rows}


def _task(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    return row["dataset_version"], row["image_id"], row["batch_id"]


def _filtered(store: Store, name: str, review_ids: Sequence[str], columns: list[str] | None = None) -> pa.Table:
    wanted = pc.field("review_id").isin(pa.array(review_ids, pa.string()))
    return dataset_of(store, name).to_table(columns=columns, filter=wanted)
