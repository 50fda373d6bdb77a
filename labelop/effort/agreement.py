"""How far two or more people agree, on labels of images and on objects; chance is taken off.

Sources: Cohen 1960, Fleiss 1971, Krippendorff, Content Analysis, 2004, chapter 11; `measures.md` 2.3. Knows no table
and no tool. Reviewers who saw one and the same draft agree through it: give blind or cross-arm pairs only, and publish
raw agreement and the unmatched share beside any coefficient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from labelop.geometry import boxes_to_array, iou_matrix
from labelop.labels import AcceptedLabel

RELIABLE, TENTATIVE = 0.80, 0.667
"""Alpha from which agreement is called reliable, and tentative."""

MISSING = "(missing)"
"""Category of an object that one of the two did not mark."""

_PAIR = 2
Distance = Callable[[Any, Any], float]
"""Squared difference of two values, 0 when they are the same."""


@dataclass(frozen=True, slots=True)
class BoxAgreement:
    """How two people agree on the objects of the same images: places first, then classes."""

    alpha: float | None
    """Krippendorff's alpha of the classes of matched objects, what one missed as a category of its own."""
    kappa: float | None
    """Cohen's kappa of the same."""
    raw: float | None
    """Share of objects on which both say the same."""
    mean_iou: float | None
    """Mean overlap of matched boxes."""
    unmatched_share: float | None
    """Share of objects that only one of the two marked."""
    prevalence: Mapping[str, float]
    """Share of each class among all marks, MISSING left out; chance-corrected figures sink where it is skewed."""
    units: int
    """Objects compared."""


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Compute Cohen's kappa of two raters: (p_o - p_e) / (1 - p_e).

    Args:
        first: Label of each unit by one rater.
        second: Label of the same units by the other.

    Returns:
        -1..1; None without units or where both only ever gave one and the same label.

    Raises:
        ValueError: The two are not about the same units.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} labels of one rater but {len(second)} of the other")
    if not first:
        return None
    count = len(first)
    agreed = sum(a == b for a, b in zip(first, second, strict=True)) / count
    other = Counter(second)
    by_chance = sum(n * other[label] for label, n in Counter(first).items()) / count**2
    return None if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)


def fleiss_kappa(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Compute Fleiss' kappa of many raters.

    Args:
        units: Labels of each unit, by as many raters for each; which rater gave which does not matter.

    Returns:
        At most 1; None without units or where there is one label only.

    Raises:
        ValueError: Units have fewer than two labels, or not equally many.
    """
    if not units:
        return None
    raters = {len(unit) for unit in units}
    if len(raters) > 1 or min(raters) < _PAIR:
        raise ValueError(f"units have {sorted(raters)} labels, expected one number of at least {_PAIR}")
    from statsmodels.stats import inter_rater  # noqa: PLC0415 - slow to import

    names = {label: at for at, label in enumerate(dict.fromkeys(label for unit in units for label in unit))}
    if len(names) == 1:
        return None
    table, _ = inter_rater.aggregate_raters(
        np.array([[names[label] for label in unit] for unit in units]), n_cat=len(names)
    )
    return float(inter_rater.fleiss_kappa(table))


def nominal(one: Any, other: Any) -> float:
    """Distance of names: 0 when equal, else 1."""
    return float(one != other)


def interval(one: float, other: float) -> float:
    """Distance of numbers: the squared difference."""
    return (one - other) ** 2


def krippendorff_alpha(units: Sequence[Sequence[Any]], distance: Distance = nominal) -> float | None:
    """Compute Krippendorff's alpha: 1 - D_o / D_e, for any number of raters, missing values and any distance.

    Args:
        units: Values of each unit, one per rater that gave one; units with fewer than two are left out.
        distance: Of two values, see `nominal` and `interval`.

    Returns:
        At most 1; None where nothing could be compared or all values are the same.
    """
    compared = [list(unit) for unit in units if len(unit) >= _PAIR]
    counts = [Counter(unit) for unit in compared]
    totals = sum(counts, Counter[Any]())
    values, number = list(totals), totals.total()
    apart = {(a, b): distance(a, b) for a in values for b in values if a != b}
    expected = sum(totals[a] * totals[b] * far for (a, b), far in apart.items()) / max(1, number - 1)
    if not expected:
        return None
    seen = sum(
        sum(count[a] * count[b] * apart[a, b] for a in count for b in count if a != b) / (count.total() - 1)
        for count in counts
    )
    return 1 - seen / expected


def box_agreement(
    images: Sequence[tuple[Sequence[AcceptedLabel], Sequence[AcceptedLabel]]], *, least_iou: float = 0.5
) -> BoxAgreement:
    """Compare two people's boxes of the same images.

    Boxes are matched by place alone, for the greatest sum of overlaps; then the classes of pairs are compared, and a
    box without a partner counts as missed by the other.

    Args:
        images: The labels of both people, image by image; labels without a box are left out.
        least_iou: Overlap from which two boxes are one object.

    Returns:
        Agreement over all images together.
    """
    marks: list[tuple[str, str]] = []
    overlaps: list[float] = []
    for sides in images:
        one, other = ([label for label in side if label.box is not None] for side in sides)
        pairs = _matched(one, other, least_iou)
        marks += [(one[i].label, other[j].label) for i, j, _ in pairs]
        overlaps += [iou for *_, iou in pairs]
        met_one, met_other = {i for i, *_ in pairs}, {j for _, j, _ in pairs}
        marks += [(label.label, MISSING) for i, label in enumerate(one) if i not in met_one]
        marks += [(MISSING, label.label) for j, label in enumerate(other) if j not in met_other]
    given = Counter(name for mark in marks for name in mark if name != MISSING)
    count = len(marks)
    return BoxAgreement(
        alpha=krippendorff_alpha(marks),
        kappa=cohen_kappa([a for a, _ in marks], [b for _, b in marks]),
        raw=sum(a == b for a, b in marks) / count if count else None,
        mean_iou=sum(overlaps) / len(overlaps) if overlaps else None,
        unmatched_share=1 - len(overlaps) / count if count else None,
        prevalence={name: number / given.total() for name, number in sorted(given.items())},
        units=count,
    )


def _matched(
    one: Sequence[AcceptedLabel], other: Sequence[AcceptedLabel], least_iou: float
) -> list[tuple[int, int, float]]:
    sides = [boxes_to_array([label.box for label in side if label.box is not None]) for side in (one, other)]
    overlap = iou_matrix(*sides)
    gain = np.where(overlap >= least_iou, overlap, 0.0)
    chosen = zip(*(side.tolist() for side in linear_sum_assignment(gain, maximize=True)), strict=True)
    return [(i, j, float(overlap[i, j])) for i, j in chosen if gain[i, j] > 0]
