"""The one door through which labels become accepted: exports, releases and every count of labels go through it.

It gives the table `approvals` that `sql/views/` join with; `v_accepted` is the door in SQL. Nothing lands here. A
review passes when its steps end in an approval whose seals hold, what it says is what was approved, and its task was
not seeded.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from labelop.review.approvals import Trust, warn_of_missing
from labelop.review.content import COLUMNS, content_digests
from labelop.review.states import NO_KEY, SEEDED, StateRow, refusal_of

APPROVALS = pa.schema(
    [
        ("review_id", pa.string()),
        ("content_digest", pa.string()),
        ("state", pa.string()),
        ("refusal", pa.string()),
        ("approved_by", pa.string()),
        ("role", pa.string()),
        ("approved_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""One row per review of a draft: where it stands, why it is not accepted (null when it is), and who approved it."""

Rows: TypeAlias = "pa.Table | ds.Dataset"
"""A table, or a lazy one."""

_IMPORT_ARM = "import"
_NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class LazyApprovals:
    """The table `approvals` of one look at the store, computed when a query first scans it and then kept.

    Args:
        tables: `reviews`, `review_states` and `bias_seeds` by name.
        trust: Key and list that approvals rest on.
    """

    def __init__(self, tables: Mapping[str, Rows], trust: Trust) -> None:
        self._tables = tables
        self._trust = trust
        self._found: pa.Table | None = None

    def table(self) -> pa.Table:
        """Compute it, once."""
        if self._found is None:
            self._found = approvals(self._tables, self._trust)
        return self._found

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Stream it to DuckDB: asking for the schema costs nothing, the first batch costs the checks."""
        batches = (batch for _ in range(1) for batch in self.table().to_batches())
        return pa.RecordBatchReader.from_batches(APPROVALS, batches).__arrow_c_stream__(requested_schema)


def approvals(tables: Mapping[str, Rows], trust: Trust) -> pa.Table:
    """Judge every review of a draft.

    Args:
        tables: `reviews`, `review_states` and `bias_seeds` by name.
        trust: Key and list that approvals rest on.

    Returns:
        Columns `APPROVALS`, one row per review id; imported truth was reviewed by nobody and has none.
    """
    reviews = _rows(tables["reviews"], [*COLUMNS])
    reviews = reviews.filter(pc.not_equal(reviews.column("arm"), _IMPORT_ARM))
    digests = content_digests(reviews)
    rows = reviews.select(["review_id", "arm", "decision", "dataset_version", "image_id", "batch_id"]).to_pylist()
    copies = Counter(row["review_id"] for row in rows)
    seeded = {
        _task(row) for row in _rows(tables["bias_seeds"], ["dataset_version", "image_id", "batch_id"]).to_pylist()
    }
    chains = state_chains(tables["review_states"])
    found: dict[str, dict[str, Any]] = {}
    for row, digest in zip(rows, digests, strict=True):
        review_id = row["review_id"]
        chain = chains.get(review_id, [])
        if copies[review_id] > 1:
            refusal = "DOUBLED"
        elif row["decision"] != "approved":
            refusal = "REJECTED"
        elif row["arm"] == SEEDED or _task(row) in seeded:
            refusal = "SEEDED"
        else:
            refusal = refusal_of(trust.key, digest, chain, trust.withdrawn.get(review_id, -1))
        last = max(chain, key=lambda step: step.position, default=None)
        found[review_id] = {
            "review_id": review_id,
            "content_digest": digest,
            "state": last.state if last else "pending",
            "refusal": refusal or None,
            "approved_by": None if refusal or last is None else last.by,
            "role": None if refusal or last is None else last.role,
            "approved_at": None if refusal or last is None else last.at,
        }
    if trust.missing is not None and any(row["refusal"] == NO_KEY for row in found.values()):
        warn_of_missing(trust.missing)
    return pa.Table.from_pylist(list(found.values()), schema=APPROVALS)


def state_chains(states: Rows) -> dict[str, list[StateRow]]:
    """Read the steps of each review, in order of position."""
    columns = [name for name in StateRow.__dataclass_fields__ if name != "at"]
    chains: dict[str, list[StateRow]] = defaultdict(list)
    for row in _rows(states, [*columns, "landed_at"]).to_pylist():
        # a null that nobody here writes must not stop the check of others: it becomes a value that no seal fits
        said: dict[str, Any] = {
            name: row[name] if row[name] is not None else -1 if name == "position" else "" for name in columns
        }
        step = StateRow(at=row["landed_at"] or _NEVER, **said)
        chains[step.review_id].append(step)
    return {review_id: sorted(chain, key=lambda step: step.position) for review_id, chain in chains.items()}


def _task(row: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return row["dataset_version"], row["image_id"], row["batch_id"]


def _rows(rows: Rows, columns: list[str]) -> pa.Table:
    return rows.to_table(columns=columns) if isinstance(rows, ds.Dataset) else rows.select(columns)
