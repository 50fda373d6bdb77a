"""Say how two stores differ in what they mean, leaving out what belongs to one run only."""

from __future__ import annotations

from labelop.landing.compare import differences
from labelop.landing.store import Store, read_rows
from labelop.schemas import TABLES

OF_ONE_RUN = frozenset({"usage", "runs", "decisions"})
"""Attempts and events are counted per run; an expected cost may rest on a speed measured before."""


def meaning_differs(ours: Store, theirs: Store) -> list[str]:
    """List the differences of two stores that did the same night, however often they were interrupted."""
    found = differences(ours, theirs, sorted(TABLES.keys() - OF_ONE_RUN))
    for name, columns in {
        "decisions": ("dataset", "level", "role", "arm", "placement", "model_id", "allowed", "rule_id"),
        "usage": ("batch_id",),
    }.items():
        mine, other = ({tuple(row[c] for c in columns) for row in read_rows(store, name)} for store in (ours, theirs))
        if mine != other:
            found.append(f"{name}: {sorted(map(str, mine ^ other))[:3]}")
    return found
