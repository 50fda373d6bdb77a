"""Plots are pictures and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from labelop.report import plots
from labelop.report.intervals import pilot_intervals
from labelop.report.results import Results
from labelop.report.tornado import tornado

HOSTILE = '<script>alert(1)</script>"]]><a href="javascript:alert(1)">{{7*7}}'


def results(name: str = "bccd") -> Results:
    """Make the rows the plots need."""
    shared: dict[str, Any] = {"dataset": name, "currency": "USD", "simulated": False}
    return Results(
        {
            "run_summary": [shared],
            "arm_cost": [shared | {"arm": arm, "images_count": 4} for arm in ("local", "cloud")],
            "cost_lines": [
                shared | {"arm": arm, "category": category, "amount": 0.5}
                for arm in ("local", "cloud")
                for category in ("gpu", "review", name)
            ],
            "arm_effort": [
                shared | {"arm": "local", "model_id": model, "modelled_count": 2, "modelled_by": modelled_by}
                for model, modelled_by in (("a", "calibrated"), ("b", "calibrated"), ("c", "literature"))
            ],
            "effort_by_operation": [
                shared | {"arm": "local", "label": name, "op": op, "model_seconds": 8.0, "modelled_by": "calibrated"}
                for op in ("accept", "add")
            ],
            "model_quality": [shared | {"split": "val", "model_id": name, "ap50": 0.8, "images_per_second": 5.0}],
        }
    )


def drawn(name: str) -> list[str]:
    """Draw every plot."""
    rows = results(name)
    found = [plots.cost_stack(rows), plots.effort_by_class(rows, name, 1), plots.quality(rows)]
    return [svg for svg in found if svg is not None]


def test_hostile_names_stay_text() -> None:
    """A plot of hostile names holds no script, link, event or outside reference."""
    for svg in drawn(HOSTILE):
        tags = {element.tag.rpartition("}")[2] for element in fromstring(svg).iter()}
        names = {name for element in fromstring(svg).iter() for name in element.attrib}
        assert not tags & {"script", "a", "image", "use", "foreignObject", "style"}
        assert not [name for name in names if name.startswith("on") or "href" in name]
        assert "alert(1)" in svg


def test_ids_are_unique_and_plots_are_described() -> None:
    """Every plot carries a title and a description, and no id appears twice on a page."""
    page = "".join(drawn("bccd"))
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) >= 6
    assert page.count("<title ") == page.count("<desc ") == 3


def test_same_rows_give_the_same_plot() -> None:
    """Drawing is repeatable, so that reports can be compared byte by byte."""
    assert drawn("bccd") == drawn("bccd")


def test_the_last_digit_of_a_sum_does_not_show() -> None:
    """0.1 + 0.2 and 0.3 are drawn as one bar: threads add in another order each time."""

    def drawn(value: float) -> str:
        spec = {"data": {"values": [{"x": value * 1e3, "y": "a"}]}, "mark": "bar"}
        spec["encoding"] = {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y"}}
        return plots.render(spec, "p", "Bars", "One bar.")

    assert drawn(0.1 + 0.2) == drawn(0.3)


def test_seconds_are_per_image_of_the_whole_arm() -> None:
    """Calibrated seconds are divided by the calibrated images of all models: 16 over 4 reach the 4 of the axis."""
    svg = plots.effort_by_class(results(), "bccd", 1)
    assert svg is not None
    labels = [float(text) for text in re.findall(r">(\d+(?:\.\d+)?)</text>", svg)]
    assert max(labels) == pytest.approx(4.0)


def test_nothing_to_draw_is_none() -> None:
    """Without rows there is no plot rather than an empty frame."""
    empty = Results({})
    assert plots.cost_stack(empty) is None
    assert plots.effort_by_class(empty, "bccd", 1) is None
    assert plots.quality(empty) is None


def test_the_widest_parameter_is_on_top() -> None:
    """The tornado has one bar per parameter and names the widest; without a range there is nothing to draw."""
    row = {"dataset": "d", "low_difference": -0.2, "difference": -0.1, "high_difference": 0.3, "currency": "USD"}
    rows: list[Any] = [{**row, "parameter": "cloud.gpu", "rank": 1}, {**row, "parameter": "seconds.local", "rank": 2}]
    drawn = tornado(Results({"sensitivity": rows}))
    assert drawn is not None
    assert "Widest: d: cloud.gpu" in drawn
    assert "seconds.local" in drawn
    assert tornado(Results({"sensitivity": []})) is None


def test_a_verdict_is_drawn_with_its_interval() -> None:
    """Every comparison with a figure is on the plot of pilots and in its description; one without is not.

    Nor is a stopped pilot, of which no verdict counts: it was drawn and told as superior.
    """
    row: dict[str, Any] = {
        "dataset": "d",
        "pilot": "spring",
        "arm": "cloud",
        "reference": "local",
        "verdict": "superior",
    }
    row |= {"ratio": 0.8, "ratio_low": 0.7, "ratio_high": 0.9, "equal_low": 0.9, "equal_high": 1.1, "stopped": False}
    open_row = dict.fromkeys(("ratio", "ratio_low", "ratio_high")) | {"stratum": "few", "verdict": "inconclusive"}
    rows: list[Any] = [row | {"stratum": "all"}, row | open_row, row | {"stratum": "given up", "stopped": True}]
    drawn = pilot_intervals(Results({"pilot_verdicts": rows}))
    assert drawn is not None
    assert "d, spring, all: cloud / local is superior." in drawn
    assert "few" not in drawn
    assert "given up" not in drawn
    assert pilot_intervals(Results({"pilot_verdicts": rows[1:]})) is None
