"""How a pilot ends before all of its reviews came: over, and judged without them, or stopped, and nothing follows.

Who, when and why stay in the tables, and the first word of a kind stands. Knows the table `pilot_ends`, no statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from labelop.errors import PilotError
from labelop.ids import row_id
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.pilot.protocol import Protocol, require_line
from labelop.roles import Roles
from labelop.schemas import utc_now

Kind = Literal["over", "stopped"]

OVER: Kind = "over"
"""Reviews that are missing will not come."""

STOPPED: Kind = "stopped"
"""Nobody goes on with it, and no verdict of it counts."""


@dataclass(frozen=True, slots=True)
class End:
    """Who ended a pilot."""

    by: str
    """Name of the person."""
    role: str
    """Role as which they did."""
    reason: str
    """Why; empty where it is over."""
    at: datetime
    """When."""

    @property
    def said(self) -> str:
        """Who, when and why, as a person reads it."""
        return f"by {self.by} on {self.at:%Y-%m-%d}{f': {self.reason}' if self.reason else ''}"


def ends_of(store: Store, pilot_id: str) -> Mapping[Kind, End]:
    """Read how a pilot ended; empty while it goes on."""
    rows = read_rows(store, "pilot_ends", filters=equal(pilot_id=pilot_id))
    return {row["kind"]: End(row["by"], row["role"], row["reason"] or "", row["landed_at"]) for row in rows}


def require_unstopped(name: str, ends: Mapping[Kind, End]) -> None:
    """Refuse to go on with a pilot that was stopped.

    Raises:
        PilotError: It was; says by whom, when and why.
    """
    if (end := ends.get(STOPPED)) is not None:
        raise PilotError(
            f"Pilot {name} was stopped {end.said}.",
            hint="Plan another one under another name; what was reviewed stays in the tables.",
        )


def end_pilot(
    store: Store, protocol: Protocol, kind: Kind, *, by: str, roles: Roles, run_id: str, reason: str | None = None
) -> bool:
    """Land that a pilot has ended.

    Args:
        store: Where the tables are.
        protocol: What was declared.
        kind: How it ended.
        by: Who says so.
        roles: The roles in force: it takes an operator or a lead.
        run_id: Run that records it.
        reason: Why, in words; asked for of one that is stopped.

    Returns:
        Whether this call ended it; the first word of a kind stands.

    Raises:
        RoleError: The person may not.
        PilotError: A stopped one lacks a reason, or the reason cannot be shown.
    """
    role = roles.require(by, "end a pilot")
    if reason is not None or kind == STOPPED:
        require_line("The reason to stop a pilot", reason or "")
    row: dict[str, Any] = {
        "pilot_id": protocol.pilot_id,
        "dataset": protocol.dataset,
        "dataset_version": protocol.dataset_version,
        "kind": kind,
        "by": by,
        "role": role,
        "reason": reason,
        "run_id": run_id,
        "landed_at": utc_now(),
    }
    return land(store, "pilot_ends", [row], key=row_id("pilot-ends", protocol.pilot_id, kind))
