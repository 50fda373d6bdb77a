"""What an annotation becomes that people open again: a new review for each state, with its own share of the time.

A review that is landed never changes. The states of one annotation form a chain whose ids follow from the first, so the
chain is found again without a column for it. Knows rows of `reviews`, no file and no tool.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labelop.errors import ReviewRecordError
from labelop.ids import row_id

_LOOK = ("batch_id", "image_id", "reviewer", "decision", "submitted_at")
_SECOND_DIGITS = 6
"""What sums of shares add behind these is dust."""


def successor(row: Mapping[str, Any], landed: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], bool]:
    """Say which review the state of an annotation is.

    Tools add the time of a second look to that of the first; what an earlier state has accounted for is taken off, and
    active seconds never exceed what passed between the two. A state that adds none has 0, not null: the time of the
    annotation is measured, and accounted for. Those of user events are shared out by `worked`.

    Args:
        row: The state, under the id of the annotation's first.
        landed: Landed reviews by id.

    Returns:
        Its row, and whether it is new; the landed row where this state, or a later one, is landed.

    Raises:
        ReviewRecordError: It differs from what is landed and nothing says which is later; code CHANGED_AFTER_IMPORT.
    """
    first = row["review_id"]
    chain: list[Mapping[str, Any]] = []
    review_id = first
    while review_id in landed:
        chain.append(landed[review_id])
        review_id = row_id("r", first, len(chain))
    if not chain:
        return dict(row), True
    last = chain[-1]
    if (last["labels"], last["decision"]) == (row["labels"], row["decision"]):
        return dict(last), False
    before, now = last["submitted_at"], row["submitted_at"]
    if before is None or now is None or before == now:
        raise ReviewRecordError(
            f"review {first} is landed with other labels, and no time says which are later",
            code="CHANGED_AFTER_IMPORT",
            pointer=f"/review/{first}",
        )
    if now < before:
        return dict(last), False
    new = {**row, "review_id": review_id}
    if row["lead_seconds"] is not None:
        new["lead_seconds"] = _rest(row["lead_seconds"], chain)
        passed = (now - before).total_seconds()
        new["active_seconds"] = min(new["lead_seconds"], row["active_seconds"], passed)
    return new, True


def _rest(lead_seconds: float, chain: Sequence[Mapping[str, Any]]) -> float:
    """Take off what earlier states have accounted for."""
    rest = round(lead_seconds - sum(one["lead_seconds"] or 0.0 for one in chain), _SECOND_DIGITS)
    # less than before: this tool did not add up
    return lead_seconds if rest < 0 else rest


def look_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Say who looked at what when: equal for two copies of one annotation, whatever their ids are.

    The seconds tell looks apart only where no time does: those of a landed later state are its share, not the whole.
    """
    return (*(row[name] for name in _LOOK), row["lead_seconds"] if row["submitted_at"] is None else None)


def check_alone(row: Mapping[str, Any], alike: Iterable[Mapping[str, Any]], pointer: str) -> None:
    """Refuse a review that another one of the same look equals in all but its id: it would be paid twice.

    Raises:
        ReviewRecordError: There is such a one; code DUPLICATE.
    """
    said = _said(row)
    for one in alike:
        if _said(one) == said:
            raise ReviewRecordError(
                f"it equals review {one['review_id']} in all but its id", code="DUPLICATE", pointer=pointer
            )


def _said(row: Mapping[str, Any]) -> set[tuple[Any, ...]]:
    # ids of labels follow from that of their review
    return {tuple(value for name, value in label.items() if name != "label_id") for label in row["labels"]}


def set_positions(rows: Iterable[dict[str, Any]], landed: Iterable[Mapping[str, Any]]) -> None:
    """Number the reviews of each reviewer and batch in order of submission, after those landed.

    Unknown times leave the number null. By batch, so that it does not depend on which batches came back before.
    """
    times = defaultdict(list)
    for row in landed:
        if _is_ordered(row):
            times[row["reviewer"], row["batch_id"]].append(row["submitted_at"])
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for new in rows:
        if _is_ordered(new):
            groups[new["reviewer"], new["batch_id"]].append(new)
    for key, own in groups.items():
        _number(sorted(own, key=lambda row: (row["submitted_at"], row["review_id"])), sorted(times[key]))


def _is_ordered(row: Mapping[str, Any]) -> bool:
    return row["submitted_at"] is not None and row["reviewer"] is not None


def _number(rows: Sequence[dict[str, Any]], earlier: Sequence[Any]) -> None:
    own = [row["submitted_at"] for row in rows]
    for row in rows:
        # of what was handed in at once, as finished labels are, nothing came before the other
        row["position_in_batch"] = bisect_left(own, row["submitted_at"]) + bisect_left(earlier, row["submitted_at"])
