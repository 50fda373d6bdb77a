"""Agreement equals published worked examples and what statsmodels computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from labelop.effort.agreement import (
    MISSING,
    box_agreement,
    cohen_kappa,
    fleiss_kappa,
    interval,
    krippendorff_alpha,
)
from labelop.geometry import Box
from labelop.labels import AcceptedLabel

NAMES = st.sampled_from("abc")

KRIPPENDORFF = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
"""Four observers and twelve units, the worked example of Krippendorff's computing note (2011); a dot is missing."""


def box(name: str, label: str, *edges: float) -> AcceptedLabel:
    """Make one object."""
    return AcceptedLabel(name, label, Box(*edges))


def test_alpha_is_that_of_the_worked_example() -> None:
    """Nominal 0.743 and interval 0.849, with missing values, as published."""
    rows = [row.split() for row in KRIPPENDORFF]
    units = [[int(value) for value in column if value != "."] for column in zip(*rows, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(units, interval) == pytest.approx(0.849, abs=5e-4)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=40))
def test_kappa_is_that_of_statsmodels(pairs: list[tuple[str, str]]) -> None:
    """Cohen's kappa equals statsmodels', and is undefined where chance alone would always agree."""
    table = np.zeros((3, 3))
    for a, b in pairs:
        table["abc".index(a), "abc".index(b)] += 1
    found = cohen_kappa([a for a, _ in pairs], [b for _, b in pairs])
    if found is None:
        assert np.count_nonzero(table) == 1
        return
    assert found == pytest.approx(float(cohens_kappa(table, return_results=False)))


def test_fleiss_is_that_of_the_worked_example() -> None:
    """Fourteen raters and ten subjects of five categories: 0.210, as published with the method."""
    table = (
        "0 0 0 0 14", "0 2 6 4 2", "0 0 3 5 6", "0 3 9 2 0", "2 2 8 1 1",
        "7 7 0 0 0", "3 2 6 3 0", "2 5 3 2 2", "6 5 2 1 0", "0 2 2 3 7",
    )  # fmt: skip
    units = [[k for k, n in enumerate(map(int, row.split())) for _ in range(n)] for row in table]
    assert fleiss_kappa(units) == pytest.approx(0.210, abs=5e-4)
    with pytest.raises(ValueError, match="expected one number"):
        fleiss_kappa([["a", "b"], ["a"]])


def test_one_label_only_is_no_agreement_to_speak_of() -> None:
    """Where nobody ever said anything else, or nothing was compared, there is no coefficient."""
    assert cohen_kappa(["a", "a"], ["a", "a"]) is None
    assert fleiss_kappa([["a", "a"]]) is None
    assert krippendorff_alpha([["a", "a"], ["b"]]) is None
    assert (cohen_kappa([], []), fleiss_kappa([]), krippendorff_alpha([])) == (None, None, None)
    with pytest.raises(ValueError, match="2 labels of one rater but 1"):
        cohen_kappa(["a", "b"], ["a"])


def test_boxes_are_matched_by_place_first() -> None:
    """A pair in one place with two classes disagrees in class, a box without a partner was missed by the other."""
    first = [box("1", "a", 0, 0, 10, 10), box("2", "a", 50, 0, 60, 10), box("3", "b", 90, 0, 99, 10)]
    second = [box("4", "a", 0, 0, 10, 8), box("5", "b", 50, 0, 60, 10)]
    found = box_agreement([(first, second), ([], [])])
    assert found.units == 3
    assert found.raw == pytest.approx(1 / 3)
    assert found.unmatched_share == pytest.approx(1 / 3)
    assert found.mean_iou == pytest.approx(0.9)
    assert found.prevalence == {"a": 0.6, "b": 0.4}
    marks = [("a", "a"), ("a", "b"), ("b", MISSING)]
    assert found.alpha == krippendorff_alpha(marks)
    assert found.kappa == cohen_kappa([a for a, _ in marks], [b for _, b in marks])
    assert box_agreement([]).raw is None
