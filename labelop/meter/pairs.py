"""Which reviews of one image may be compared, and how far the people who made them agree.

Never two reviews of one draft, and never a person with themselves. Knows no table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np

from labelop.effort.agreement import RELIABLE, box_agreement, cohen_kappa, krippendorff_alpha
from labelop.effort.bias import Verdict
from labelop.effort.estimates import CONFIDENCE, Estimate, proportion
from labelop.labels import AcceptedLabel

_RESAMPLES = 199
_Labels: TypeAlias = Sequence[AcceptedLabel]
_Found: TypeAlias = tuple[str, str, str, Estimate, Verdict | None]


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of a person over an image."""

    image_id: str
    """SHA-256 of the original bytes."""
    batch_id: str
    """Batch of the task."""
    arm: str
    """local | cloud | blind | seeded | import."""
    reviewer: str
    """Pseudonym; empty where the tool did not say."""
    labels: tuple[AcceptedLabel, ...]
    """What was left."""


def comparable(blind: Sequence[Pass], drafted: Sequence[Pass]) -> dict[str, list[tuple[_Labels, _Labels]]]:
    """Pair reviews of the same image by different people, at most one pair of each sort for an image.

    Returns:
        `blind`: neither saw a draft; `cross-arm`: one saw none, or each saw that of another arm.
    """
    images: dict[str, tuple[list[Pass], list[Pass]]] = defaultdict(lambda: ([], []))
    for at, side in enumerate((blind, drafted)):
        for one in side:
            images[one.image_id][at].append(one)
    pairs: dict[str, list[tuple[_Labels, _Labels]]] = {"blind": [], "cross-arm": []}
    for _, (unseen, seen) in sorted(images.items()):
        sorts = {"blind": product(unseen, unseen), "cross-arm": [*product(unseen, seen), *product(seen, seen)]}
        for name, some in sorts.items():
            pair = next(
                ((a, b) for a, b in some if a.reviewer != b.reviewer and (name == "blind" or a.arm != b.arm)), None
            )
            if pair is not None:
                pairs[name].append((pair[0].labels, pair[1].labels))
    return pairs


def agreement_figures(blind: Sequence[Pass], drafted: Sequence[Pass]) -> Iterator[_Found]:
    """Give measure, slice, name, estimate and verdict of each figure of agreement."""
    for name, pairs in comparable(blind, drafted).items():
        classes = [(a, b) for one, other in pairs if (a := _class_of(one)) and (b := _class_of(other))]
        # where nobody labelled anything, objects are what was not found
        if not classes or any(label.box for pair in pairs for side in pair for label in side):
            yield from _of_objects(name, pairs)
        if classes:
            yield from _of_images(f"{name}, whole image", classes)


def _of_objects(name: str, pairs: Sequence[tuple[_Labels, _Labels]]) -> Iterator[_Found]:
    whole = box_agreement(pairs)
    draw = np.random.default_rng(0)
    # images are drawn again, since the objects of one share its difficulty
    again = [
        box_agreement([pairs[at] for at in draw.integers(0, len(pairs), len(pairs))])
        for _ in range(_RESAMPLES if len(pairs) > 1 else 0)
    ]
    for measure, field in (
        ("alpha", "alpha"), ("kappa", "kappa"), ("raw", "raw"), ("iou", "mean_iou"), ("unmatched", "unmatched_share"),
    ):  # fmt: skip
        value = getattr(whole, field)
        estimate = _between(value, [getattr(one, field) for one in again], whole.units)
        yield f"agreement_{measure}", "pairs", name, estimate, _verdict(estimate) if measure == "alpha" else None


def _of_images(name: str, classes: Sequence[tuple[str, str]]) -> Iterator[_Found]:
    draw = np.random.default_rng(0)
    again = [
        [classes[at] for at in draw.integers(0, len(classes), len(classes))]
        for _ in range(_RESAMPLES if len(classes) > 1 else 0)
    ]
    alpha = _between(krippendorff_alpha(classes), [krippendorff_alpha(some) for some in again], len(classes))
    yield "agreement_alpha", "pairs", name, alpha, _verdict(alpha)
    kappas = [cohen_kappa(*zip(*some, strict=True)) for some in (classes, *again)]
    yield "agreement_kappa", "pairs", name, _between(kappas[0], kappas[1:], len(classes)), None
    yield "agreement_raw", "pairs", name, proportion(sum(a == b for a, b in classes), len(classes)), None


def _between(value: float | None, drawn: Sequence[float | None], count: int) -> Estimate:
    """Give the percentile interval; draws in which nothing was defined are left out."""
    known = [one for one in drawn if one is not None]
    if value is None or not known:
        return Estimate(value, None, None, count)
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Estimate(value, low, high, count)


def _verdict(alpha: Estimate) -> Verdict:
    """Say whether all of the interval is at or above what is called reliable, all of it below, or neither."""
    if alpha.low is not None and alpha.low >= RELIABLE:
        return "pass"
    if alpha.high is not None and alpha.high < RELIABLE:
        return "fail"
    return "inconclusive"


def _class_of(labels: _Labels) -> str | None:
    return next((label.label for label in labels if label.box is None), None)
