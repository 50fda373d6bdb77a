"""Known answers of the edit script and of the measures made from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from labelop.effort import measures
from labelop.effort.changes import drags
from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.effort.script import Edit, edit_script
from labelop.geometry import Box
from labelop.labels import AcceptedLabel, Prediction


def draft(name: str, *edges: float, label: str = "RBC", shown: bool = True) -> Prediction:
    """Make a draft; without edges a label of the whole image."""
    return Prediction(name, label, 0.9, draft=shown, box=Box(*edges) if edges else None)


def final(name: str, *edges: float, label: str = "RBC", origin: str | None = None) -> AcceptedLabel:
    """Make an accepted label; without edges one of the whole image."""
    return AcceptedLabel(name, label, Box(*edges) if edges else None, prediction_id=origin)


def ops(edits: tuple[Edit, ...]) -> dict[str, int]:
    """Count operations."""
    return dict(Counter(edit.op for edit in edits))


def test_untouched_drafts_cost_no_edit() -> None:
    """Accepting all drafts as they are is all accepts, no edits and 1.8 s each."""
    script = edit_script([draft("p1", 0, 0, 10, 10), draft("p2", 20, 0, 30, 10)], [
        final("a", 0, 0, 10, 10), final("b", 20, 0, 30, 10)])  # fmt: skip
    assert ops(script) == {"accept": 2}
    assert measures.edits_count(script) == 0
    assert measures.model_seconds(script, boxes=True) == pytest.approx(7.8 + 2 * 1.8)


def test_every_operation_has_its_seconds() -> None:
    """One object of each kind gets its operation and the literature seconds of measures.md section 9."""
    script = edit_script(
        [
            draft("p1", 0, 0, 100, 100),
            draft("p2", 200, 0, 300, 100),
            draft("p3", 400, 0, 500, 100),
            draft("p4", 600, 0, 700, 100),
            draft("p5", 800, 0, 900, 100),
        ],
        [
            final("a", 0, 0, 100, 100, label="WBC"),
            final("b", 210, 5, 310, 105),
            final("c", 390, 10, 510, 110),
            final("d", 600, 0, 700, 80, label="WBC"),
            final("e", 1000, 0, 1100, 100),
        ],
    )
    found: dict[str, Any] = {
        e.op: (e.prediction and e.prediction.prediction_id, e.drags_count, e.model_seconds) for e in script
    }
    assert ops(script) == {"relabel": 1, "adjust": 2, "adjust_relabel": 1, "delete": 1, "add": 1}
    assert found["relabel"] == ("p1", 0, 3.8)
    assert [(e.drags_count, e.model_seconds) for e in script if e.op == "adjust"] == [(1, 4.9), (2, 7.3)]
    assert found["adjust_relabel"] == ("p4", 1, pytest.approx(4.9 + 3.8))
    assert found["delete"] == ("p5", 0, 2.8)
    assert found["add"] == (None, 0, 12.5)
    assert measures.edits_count(script) == 7  # adjusting and relabelling one object is two


def test_best_assignment_beats_greedy() -> None:
    """Two crowded drafts both find their label, where taking the best overlap first would strand one pair."""
    # p1 overlaps a most (0.905) and b too (0.60); p2 only reaches a (0.62): greedy by overlap pairs p1-a, strands p2-b
    drafts = [draft("p1", 0, 0, 100, 100), draft("p2", 30, 0, 120, 100)]
    labels = [final("a", 5, 0, 105, 100), final("b", -25, 0, 75, 100)]
    script = edit_script(drafts, labels)
    greedy = DEFAULTS.adjust_one_drag_seconds + DEFAULTS.delete_seconds + DEFAULTS.add_box_seconds
    assert ops(script) == {"adjust": 2}
    assert sum(e.model_seconds for e in script) < greedy


def test_class_is_a_cost_and_not_a_filter() -> None:
    """A draft of the wrong class in the right place is a relabel, never a delete and an add."""
    assert ops(edit_script([draft("p", 0, 0, 9, 9)], [final("a", 0, 0, 9, 9, label="WBC")])) == {"relabel": 1}


def test_lineage_wins_over_geometry() -> None:
    """With lineage a box dragged far is an adjust, and a draft redrawn in its own place is a delete and an add."""
    script = edit_script(
        [draft("p1", 0, 0, 10, 10), draft("p2", 50, 0, 60, 10)],
        [final("a", 30, 0, 40, 10, origin="p1"), final("b", 50, 0, 60, 10)],
    )
    assert ops(script) == {"adjust": 1, "delete": 1, "add": 1}
    assert all(edit.lineage for edit in script)


def test_a_copied_object_has_one_origin() -> None:
    """Of two labels that name one draft, the first is its correction and the second was added."""
    script = edit_script(
        [draft("p", 0, 0, 9, 9)], [final("a", 0, 0, 9, 9, origin="p"), final("b", 0, 0, 9, 9, origin="p")]
    )
    assert ops(script) == {"accept": 1, "add": 1}


def test_predictions_that_are_no_draft_take_no_part() -> None:
    """What no reviewer was shown costs nobody anything, whether it was right or wrong."""
    script = edit_script([draft("p", 0, 0, 9, 9, shown=False)], [final("a", 0, 0, 9, 9)])
    assert ops(script) == {"add": 1}


@pytest.mark.parametrize(
    ("proposed", "accepted", "expected", "seconds"),
    [
        ("farm", "farm", {"accept": 1}, 1.6),
        ("farm", "wetland", {"relabel": 1}, 3.8),
        (None, "farm", {"add": 1}, 5.1),
        ("farm", None, {"delete": 1}, 2.8),
    ],
)
def test_labels_of_the_image_compare_by_name(
    proposed: str | None, accepted: str | None, expected: dict[str, int], seconds: float
) -> None:
    """A label of the whole image is accepted, relabelled, added or cleared at the seconds of classification."""
    script = edit_script(
        [draft("p", label=proposed)] if proposed else [], [final("a", label=accepted)] if accepted else []
    )
    assert ops(script) == expected
    assert script[0].model_seconds == seconds
    assert script[0].iou is None


def test_image_and_box_never_pair() -> None:
    """A box and a label of the whole image of one class are different objects."""
    assert ops(edit_script([draft("p", 0, 0, 9, 9)], [final("a")])) == {"delete": 1, "add": 1}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((5, 5, 105, 105), 1),  # moved
        ((0, 0, 120, 100), 1),  # one edge
        ((0, 0, 120, 90), 1),  # one corner
        ((-9, 0, 120, 100), 2),  # two opposite edges
        ((-9, -9, 120, 120), 2),  # two opposite corners
    ],
)
def test_drags_follow_edges(after: tuple[float, float, float, float], expected: int) -> None:
    """A translation, an edge or a corner is one drag; opposite sides take two."""
    assert drags(Box(0, 0, 100, 100), Box(*after), 0.5) == expected


def test_human_edit_rate_is_over_all_images_together() -> None:
    """HER divides all edits by all labels, exceeds 1 where drafts do harm, and never divides by zero."""
    assert measures.human_edit_rate([1, 3], [10, 10]).value == pytest.approx(0.2)
    assert measures.human_edit_rate([4], [0]).value == 4
    with pytest.raises(ValueError, match="2 images above but 1"):
        measures.human_edit_rate([1, 2], [1])


def test_accept_rate_without_drafts_is_unknown() -> None:
    """The accept rate is over drafts, and null where nothing was proposed."""
    script = edit_script([draft("p1", 0, 0, 9, 9), draft("p2", 90, 0, 99, 9)], [final("a", 0, 0, 9, 9)])
    assert measures.accept_rate(script) == 0.5
    assert measures.accept_rate(edit_script([], [final("a", 0, 0, 9, 9)])) is None


def test_saving_can_be_negative() -> None:
    """Useless drafts cost more than drawing from scratch, and the saving says so."""
    script = edit_script([draft("p", 500, 500, 509, 509)], [final("a", 0, 0, 9, 9)])
    scratch = measures.scratch_seconds(1, 0, boxes=True)
    assert scratch == pytest.approx(7.8 + 12.5)
    assert measures.saving([measures.model_seconds(script, boxes=True)], [scratch]).value == pytest.approx(-2.8 / 20.3)
    assert measures.saving([], []).value is None


def test_pauses_are_not_work() -> None:
    """Gaps strictly below the cap count; one of exactly the cap does not."""
    assert measures.active_seconds([130.0, 0.0, 10.0, 30.0]) == 30.0
    assert measures.active_seconds([0.0, 99.9]) == pytest.approx(99.9)
    assert measures.active_seconds([5.0]) == 0.0
    assert measures.lead_time_cap_seconds(2) == 300.0


NO_NUMBERS = (-4.0, float("nan"), float("inf"))


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_amount_is_refused(value: float) -> None:
    """NaN, infinity and less than nothing became measured seconds, rates and pauses that say nothing."""
    bad = [1.0, value, 3.0]
    with pytest.raises(ValueError, match="active seconds"):
        measures.effort_of([], active_seconds=value)
    for above, below in ((bad, [1.0, 1.0, 1.0]), ([1.0, 1.0, 1.0], bad)):
        with pytest.raises(ValueError, match="image has"):
            measures.saving(above, below)
        with pytest.raises(ValueError, match="image has"):
            measures.human_edit_rate(above, below)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="delete_seconds"):
        EffortParameters(delete_seconds=value)


@pytest.mark.parametrize("value", NO_NUMBERS[1:])
def test_an_event_without_a_time_is_refused(value: float) -> None:
    """A time that is none made the gaps beside it vanish; a cap that is none, all of them."""
    with pytest.raises(ValueError, match="no finite time"):
        measures.active_seconds([1.0, value, 3.0])
    with pytest.raises(ValueError, match="gap_cap_seconds"):
        measures.active_seconds([1.0, 3.0], gap_cap_seconds=float("nan"))


def test_seconds_come_from_literature_or_calibration() -> None:
    """Another origin would pass modelled seconds off as measured."""
    with pytest.raises(ValueError, match="origin 'measured', expected one of literature, calibrated"):
        EffortParameters(origin="measured")


def test_parameter_set_is_named_by_content() -> None:
    """Equal parameters have one name, changed ones another, and senseless ones are refused."""
    assert EffortParameters().parameter_set == DEFAULTS.parameter_set
    assert DEFAULTS.parameter_set.startswith("literature-2026-11-")
    assert replace(DEFAULTS, delete_seconds=3.0).parameter_set != DEFAULTS.parameter_set
    with pytest.raises(ValueError, match="tau_match"):
        EffortParameters(tau_match=0.0)
