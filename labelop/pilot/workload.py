"""What reviewers face: the tables' backlog and arrivals against the team, for people to read and the night to warn by.

Knows the tables; the formulas are in `capacity`.
"""

from __future__ import annotations

import math
from typing import Any

from labelop.landing.store import Store
from labelop.pilot.capacity import Forecast, Team, admission, forecast, staff, wait
from labelop.queries import open_session, run_query

_HOUR = 3600.0
_DAYS = 5
_UNKNOWN = "no decision expects seconds of the review that waits or came"


def workload(store: Store, team: Team) -> dict[str, Any]:
    """Tell capacity, backlog, wait and forecast of a team, over all datasets.

    Returns:
        Figures by name, in seconds of review; null where nothing is known, with the reason beside it, and then nothing
        is admitted. Arrivals are means over all days between the first and the last, waits are in working time.
    """
    session = open_session(store)
    waiting = run_query(session, "review_backlog").to_pylist()
    backlog_unknown = sum(row["waiting_count"] for row in waiting if row["backlog_seconds"] is None)
    backlog = None if backlog_unknown else math.fsum(row["backlog_seconds"] for row in waiting)
    days = run_query(session, "review_arrivals").to_pylist()
    arrivals_unknown = sum(row["unknown_count"] for row in days)
    allowed = admission(team, backlog or 0.0)
    daily = [] if arrivals_unknown else [row["review_seconds"] for row in days]
    images = sum(row["images_count"] for row in days)
    each = math.fsum(daily) / images if images and not arrivals_unknown else None
    arrivals = images / len(days) if days else None
    if backlog is None or arrivals_unknown:
        ahead = Forecast((), None, alarm=False, reason=_UNKNOWN)
    else:
        ahead = forecast(team, backlog, daily, days=_DAYS)
    last = ahead.backlog_seconds[-1] if ahead.backlog_seconds else None
    told: dict[str, Any] = {
        "reviewers_count": team.reviewers,
        "present_count": team.present,
        "capacity_seconds_per_day": team.day_seconds,
        "limit_seconds": allowed.limit_seconds,
        "backlog_seconds": backlog,
        "backlog_unknown_count": backlog_unknown,
        "admit_seconds": 0.0 if backlog is None else allowed.admit_seconds,
        "review_seconds_per_image": each,
        "capacity_images_per_day": team.images_per_day(each) if each else None,
        "arriving_images_per_day": arrivals,
        "arrivals_unknown_count": arrivals_unknown,
        "staff_needed_count": staff(arrivals, each, team) if each and arrivals else None,
    }
    if each and arrivals and team.present_seconds:
        nights = [row["images_count"] for row in days if row["images_count"]]
        cv2 = days[0]["service_cv2"]
        found = wait(
            arrivals * team.present / team.present_seconds,
            each,
            team.present,
            batch_images=images / len(nights),
            service_cv2=1.0 if cv2 is None else cv2,  # as of exponential seconds, until two reviews are known
        )
        told |= {
            "utilisation": found.utilisation,
            "share_waiting": found.share_waiting,
            "wait_seconds": found.seconds,
            "wait_reason": found.reason,
        }
    else:
        reason = "nobody reviews" if each else "no draft has come whose seconds are expected"
        told |= {"utilisation": None, "share_waiting": None, "wait_seconds": None, "wait_reason": reason}
    return told | {
        "forecast_days": _DAYS,
        "forecast_p10_seconds": last.low if last else None,
        "forecast_p50_seconds": last.value if last else None,
        "forecast_p90_seconds": last.high if last else None,
        "share_above_limit": ahead.share_above,
        "alarm": ahead.alarm,
        "forecast_reason": ahead.reason,
    }


def alarm_of(told: dict[str, Any]) -> str:
    """Say in a sentence why people should know; empty while there is no alarm."""
    if not told["alarm"]:
        return ""
    needed = told["staff_needed_count"]
    return (
        f"In {told['forecast_days']} days {told['share_above_limit']:.0%} of the forecasts have more review waiting "
        f"than {told['limit_seconds'] / _HOUR:.1f} h: {told['reviewers_count']} reviewers are on the list, "
        f"{'nobody knows how many' if needed is None else needed} are needed."
    )
