"""What is kept of the evidence, and how long: `retention_days` of the policy, carried out.

Dropped are findings, what signals saw, and the vault key of a dataset, which shreds all that was sealed under it.
Levels, decisions and the egress log stay for good. Evidence that is gone opens nothing: an image whose level is no
longer explained is not released in any form. Knows tables and rules, no pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import pyarrow.compute as pc

from labelop.egress.audit import AuditLog
from labelop.egress.vault import Vault
from labelop.landing.drop import count_rows, drop_rows
from labelop.landing.store import Store, read
from labelop.schemas import utc_now
from labelop.sensitivity.levels import Level
from labelop.sensitivity.policy import SensitivityPolicy
from labelop.settings import Settings


@dataclass(frozen=True, slots=True)
class RunOut:
    """Something whose time has run out."""

    what: str
    """findings | signal_results | vault key."""
    about: str
    """Level of the findings, or the dataset of the key; empty for what signals saw, which has no level."""
    before: datetime
    """What landed before this has run out."""
    count: int
    """Rows, or keys."""


def run_out(store: Store, policy: SensitivityPolicy, settings: Settings, now: datetime | None = None) -> list[RunOut]:
    """List what has run out; nothing is dropped.

    Args:
        store: Where the tables are.
        policy: Says how long each level's evidence is kept; a level it does not name is kept for good.
        settings: Where the keys are.
        now: The time to go by; the present when None.

    Raises:
        LandingError: The store cannot be read.
    """
    return [one for one in _due(store, policy, settings, now or utc_now()) if one.count]


def retain(
    store: Store, policy: SensitivityPolicy, settings: Settings, run_id: str, now: datetime | None = None
) -> list[RunOut]:
    """Drop what has run out, and say so in the egress log first.

    Rows are gone from the tables at once; their files go with the maintenance of the store after its retention. A vault
    key goes where the key folder is that of the settings.

    Args:
        store: Where the tables are.
        policy: Says how long.
        settings: Where keys and log are.
        run_id: Run that drops it.
        now: The time to go by; the present when None.

    Returns:
        What was dropped.

    Raises:
        LandingError: The store did not do it; what is left goes with the next call.
        OSError: The log could not be written; nothing was dropped.
    """
    at = now or utc_now()
    due = run_out(store, policy, settings, at)
    if due:
        said = [asdict(one) | {"before": one.before.isoformat(timespec="seconds")} for one in due]
        line = {"event": "run_out", "policy_digest": policy.digest, "run_id": run_id, "dropped": said}
        AuditLog(settings.audit_path).append(line)
    for one in due:
        if one.what == _KEY:
            Vault(settings.keys_path).shred(one.about)
    for name, predicate in _predicates(_ends(policy, at)).items() if due else ():
        drop_rows(store, name, predicate)
    return due


_KEY = "vault key"


def _ends(policy: SensitivityPolicy, now: datetime) -> dict[Level, datetime]:
    return {level: now - timedelta(days=days) for level, days in policy.retention_days.items()}


def _due(store: Store, policy: SensitivityPolicy, settings: Settings, now: datetime) -> Iterator[RunOut]:
    ends = _ends(policy, now)
    for level, before in sorted(ends.items()):
        old = (pc.field("level") == level.text) & (pc.field("landed_at") < before)
        yield RunOut("findings", level.text, before, count_rows(store, "findings", old))
    if not ends:
        return
    # what signals saw has no level of its own, and what is sealed is of restricted images: the shortest time counts
    first = max(ends.values())
    yield RunOut("signal_results", "", first, count_rows(store, "signal_results", pc.field("landed_at") < first))
    vault = Vault(settings.keys_path)
    images = read(store, "images", columns=["dataset", "landed_at"])
    newest = images.group_by("dataset").aggregate([("landed_at", "max")]).sort_by("dataset").to_pylist()
    for row in newest:
        if row["landed_at_max"] < first and vault.has_key(row["dataset"]):
            yield RunOut(_KEY, row["dataset"], first, 1)


def _predicates(ends: Mapping[Level, datetime]) -> dict[str, str]:
    if not ends:
        return {}
    old = [f"(level = '{level.text}' AND landed_at < {_literal(before)})" for level, before in sorted(ends.items())]
    return {"findings": " OR ".join(old), "signal_results": f"landed_at < {_literal(max(ends.values()))}"}


def _literal(at: datetime) -> str:
    # the type of the column: a plain literal is of another, and is not compared
    return f"arrow_cast('{at.isoformat(timespec='microseconds')}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
