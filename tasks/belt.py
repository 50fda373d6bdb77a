"""A second belt around admission: the orchestrator counts the review that runs have admitted.

The first belt reads the backlog from the tables (`labelop.prelabel.admit`), so two runs that look at once would both
admit what reviewers can do once. A global concurrency limit counts in seconds of review and gives them back as people
work. `capacity.yaml` is its one source: each run sets it before it asks. Embedded there is one process and nothing to
count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from prefect import get_client
from prefect.exceptions import PrefectHTTPStatusError

from labelop.pilot.capacity import Team
from tasks.binding import is_orchestrated

LIMIT = "labelop-review-seconds"
"""Name of the limit: `prefect gcl inspect` shows what is taken."""

_DAY = 86_400
_LOCKED = 423


def reserve(team: Team, review_seconds: Sequence[float]) -> int:
    """Take pieces of review, in order, until one does not fit beside what other runs took.

    Args:
        team: Who reviews.
        review_seconds: Seconds of each piece; together at most what the team covers.

    Returns:
        How many were taken; all of them without an orchestrator.
    """
    return take(team, review_seconds) if is_orchestrated() else len(review_seconds)


def take(team: Team, review_seconds: Sequence[float]) -> int:
    """Take them from the limit of the server that the Prefect settings name; see `reserve`."""
    most = math.floor(team.cover_days * team.day_seconds)
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(LIMIT, most, team.day_seconds / _DAY)
        for count, seconds in enumerate(review_seconds):
            try:
                if slots := math.floor(seconds):  # so that what the first belt lets through fits when nobody took any
                    client.increment_concurrency_slots([LIMIT], slots, "rate_limit")
            except PrefectHTTPStatusError as error:
                if error.response.status_code != _LOCKED:
                    raise
                return count
    return len(review_seconds)
