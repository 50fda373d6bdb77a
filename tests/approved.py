"""Approves reviews that a test wrote into tables, as an import would have."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa

from labelop.landing.store import Store, read_rows
from labelop.review.approvals import Trust
from labelop.review.content import COLUMNS, content_digests
from labelop.review.states import State, StateRow, seal_of
from labelop.review.transitions import submit
from labelop.roles import NO_FILE
from labelop.schemas import table

KEY = b"k" * 32
TRUST = Trust(KEY, {})
AT = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)


def sealed(review_id: str, digest: str, states: tuple[State, ...] = ("approved",), **changes: Any) -> list[StateRow]:
    """Make the steps of one review with seals that hold."""
    chain: list[StateRow] = []
    for position, state in enumerate(states):
        said: dict[str, Any] = {
            "by": "anna", "role": "reviewer", "reason": "submitted", "note": "", "content_digest": digest, "at": AT,
        } | changes  # fmt: skip
        previous = chain[-1].seal if chain else ""
        step = StateRow(review_id=review_id, position=position, state=state, previous=previous, **said)
        chain.append(StateRow(review_id=review_id, position=position, state=state, previous=previous, **said,
                              seal=seal_of(KEY, step)))  # fmt: skip
    return chain


def state_row(step: StateRow) -> dict[str, Any]:
    """Write a step as a row of `review_states`."""
    said = {name: getattr(step, name) for name in StateRow.__dataclass_fields__ if name != "at"}
    return said | {"run_id": "run", "landed_at": step.at}


def approved(reviews: pa.Table) -> pa.Table:
    """Make the states of all reviews that were submitted as approved, or skipped."""
    digests = content_digests(reviews.select([*COLUMNS]))
    rows = [
        state_row(step)
        for review, digest in zip(reviews.select(["review_id", "decision"]).to_pylist(), digests, strict=True)
        for step in sealed(
            review["review_id"], digest, ("approved",) if review["decision"] == "approved" else ("rejected",)
        )
    ]
    return pa.Table.from_pylist(rows, schema=table("review_states").schema)


def approve_all(store: Store) -> None:
    """Give every landed review the state that its import would have given it."""
    submit(store, read_rows(store, "reviews"), NO_FILE, "run")
