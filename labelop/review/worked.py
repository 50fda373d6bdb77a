"""How long a person worked on each image, by what lies between user events, and what of it no review has counted.

Knows times and rows of `reviews`; must not know a file or a tool.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, TypeAlias

import pyarrow.dataset as ds

from labelop.effort.measures import MEASURED, active_seconds
from labelop.errors import ReviewRecordError
from labelop.landing.store import Store, read_rows

Gap: TypeAlias = tuple[dt.datetime, dt.datetime]
"""Two events of a person on one image with nothing on another in between, close enough to count as work."""

Claims: TypeAlias = Mapping[tuple[str, str], Sequence[Gap]]
"""First and last event that landed reviews counted, by reviewer and image id."""

_SECOND_DIGITS = 6


def gaps_by_image(events: Iterable[tuple[dt.datetime, str]]) -> dict[str, list[Gap]]:
    """Share a person's active time out among images, by the gap rule (`measures.md` 1.4).

    A gap counts where both of its ends are on one image and nothing happened on another in between: one second is
    never counted for two images.

    Args:
        events: Time and image id of each event of one person, any order.

    Returns:
        Gaps by image id, in order of time; images without one are left out.
    """
    found: dict[str, list[Gap]] = defaultdict(list)
    for image_id, visit in groupby(sorted(events), key=itemgetter(1)):
        for gap in pairwise(at for at, _ in visit):
            if seconds_of([gap]) > 0:
                found[image_id].append(gap)
    return dict(found)


def seconds_of(gaps: Iterable[Gap]) -> float:
    """Add up the active seconds of gaps."""
    return round(sum(active_seconds(at.timestamp() for at in gap) for gap in gaps), _SECOND_DIGITS)


def load_claims(store: Store) -> Claims:
    """Read which time reviews have counted, whatever they are of: a person's second is of one of them."""
    columns = ["reviewer", "image_id", "worked_from", "worked_until"]
    found: dict[tuple[str, str], list[Gap]] = defaultdict(list)
    for row in read_rows(store, "reviews", columns=columns, filters=ds.field("worked_from").is_valid()):
        found[row["reviewer"], row["image_id"]].append((row["worked_from"], row["worked_until"]))
    return found


def measure(row: dict[str, Any], gaps: Sequence[Gap], claims: Claims) -> None:
    """Measure a review by its reviewer's events, less the time that was counted for an earlier one.

    Args:
        row: Row of `reviews` that nobody has measured.
        gaps: Of its image, in order of time; above none.
        claims: What has been counted.

    Raises:
        ReviewRecordError: All of it was counted before; code COUNTED_BEFORE. The review stays unmeasured.
    """
    counted = claims.get((row["reviewer"], row["image_id"]), ())
    own = [gap for gap in gaps if all(gap[1] <= start or gap[0] >= end for start, end in counted)]
    if not own:
        raise ReviewRecordError(
            f"the events of review {row['review_id']} were counted for an earlier one of its image",
            code="COUNTED_BEFORE",
            pointer="#",
        )
    row |= {
        "active_seconds": seconds_of(own),
        "effort_source": MEASURED,
        "worked_from": own[0][0],
        "worked_until": own[-1][1],
    }
