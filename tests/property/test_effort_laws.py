"""Laws of the edit script that hold for any drafts and labels."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelop.effort.measures import edits_count
from labelop.effort.parameters import DEFAULTS
from labelop.effort.script import edit_script
from labelop.geometry import Box, boxes_to_array, iou_matrix
from labelop.labels import AcceptedLabel, Prediction

CLASSES = st.sampled_from(["RBC", "WBC"])


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """A box on a coarse grid, so that overlaps and ties are common."""
    x, y = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    return Box(x * 5, y * 5, x * 5 + draw(st.integers(1, 5)) * 5, y * 5 + draw(st.integers(1, 5)) * 5)


objects = st.lists(st.tuples(CLASSES, boxes()), max_size=5)


def drafts_of(values: list[tuple[str, Box]]) -> list[Prediction]:
    """Make drafts with ids of their own."""
    return [Prediction(f"p{n}", label, 0.5, draft=True, box=box) for n, (label, box) in enumerate(values)]


def labels_of(values: list[tuple[str, Box]]) -> list[AcceptedLabel]:
    """Make accepted labels with ids of their own."""
    return [AcceptedLabel(f"a{n}", label, box) for n, (label, box) in enumerate(values)]


def seconds(drafts: list[Prediction], labels: list[AcceptedLabel]) -> float:
    """Sum the seconds of a script."""
    return sum(edit.model_seconds for edit in edit_script(drafts, labels))


@settings(deadline=None)
@given(objects, objects, st.randoms(use_true_random=False))
def test_order_of_input_does_not_matter(
    before: list[tuple[str, Box]], after: list[tuple[str, Box]], random: object
) -> None:
    """Shuffling drafts and labels gives the very same script."""
    drafts, labels = drafts_of(before), labels_of(after)
    shuffled_drafts, shuffled_labels = list(drafts), list(labels)
    random.shuffle(shuffled_drafts)  # type: ignore[attr-defined]
    random.shuffle(shuffled_labels)  # type: ignore[attr-defined]
    assert edit_script(shuffled_drafts, shuffled_labels) == edit_script(drafts, labels)


@settings(deadline=None)
@given(objects)
def test_identical_labels_need_no_edit(values: list[tuple[str, Box]]) -> None:
    """What was drafted exactly right is accepted whole, also where boxes coincide."""
    script = edit_script(drafts_of(values), labels_of(values))
    assert [edit.op for edit in script] == ["accept"] * len(values)
    assert edits_count(script) == 0


@settings(deadline=None)
@given(objects, objects)
def test_every_object_is_accounted_for_once(before: list[tuple[str, Box]], after: list[tuple[str, Box]]) -> None:
    """Each draft and each label is in exactly one operation."""
    script = edit_script(drafts_of(before), labels_of(after))
    assert sorted(e.prediction.prediction_id for e in script if e.prediction) == [f"p{n}" for n in range(len(before))]
    assert sorted(e.accepted.label_id for e in script if e.accepted) == [f"a{n}" for n in range(len(after))]


@settings(deadline=None)
@given(st.lists(st.tuples(CLASSES, boxes()), max_size=4), st.lists(st.tuples(CLASSES, boxes()), max_size=4))
def test_no_other_pairing_is_cheaper(before: list[tuple[str, Box]], after: list[tuple[str, Box]]) -> None:
    """The script costs what the cheapest of all possible partial matchings costs."""
    drafts, labels = drafts_of(before), labels_of(after)
    alone = {
        (i, j): seconds([draft], [label]) for i, draft in enumerate(drafts) for j, label in enumerate(labels)
    }  # the script of one pair is already the cheaper of pairing and not pairing
    spare_drafts, spare_labels = DEFAULTS.delete_seconds, DEFAULTS.add_box_seconds
    n, m = len(drafts), len(labels)
    slots: list[int | None] = [*range(m), *([None] * n)]
    best = min(
        sum(spare_drafts if j is None else alone[i, j] for i, j in enumerate(chosen))
        + spare_labels * (m - sum(j is not None for j in chosen))
        for chosen in permutations(slots, n)
    )
    assert seconds(drafts, labels) == pytest.approx(best)


@settings(deadline=None)
@given(objects, objects)
def test_relabelling_and_moving_are_the_same_both_ways(
    before: list[tuple[str, Box]], after: list[tuple[str, Box]]
) -> None:
    """Going back needs as many edits of paired objects; only deletes and adds change places."""
    there = [e.op for e in edit_script(drafts_of(before), labels_of(after))]
    back = [e.op for e in edit_script(drafts_of(after), labels_of(before))]
    assert there.count("delete") == back.count("add")
    assert there.count("add") == back.count("delete")


@settings(deadline=None)
@given(boxes(), boxes())
def test_overlap_is_symmetric(one: Box, other: Box) -> None:
    """IoU is the same both ways, lies in 0..1 and is 1 for a box with itself."""
    a, b = boxes_to_array([one]), boxes_to_array([other])
    assert iou_matrix(a, b)[0, 0] == iou_matrix(b, a)[0, 0]
    assert 0 <= iou_matrix(a, b)[0, 0] <= 1
    assert iou_matrix(a, a)[0, 0] == 1
