"""The page's first words say what the numbers hold, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from labelop.report.compare import comparisons, lines
from labelop.report.results import Results
from labelop.report.verdict import verdicts


def arm(name: str, **other: Any) -> dict[str, Any]:
    """Make one row of `local_vs_cloud`."""
    return {
        "dataset": "bccd",
        "slice": "paired",
        "arm": name,
        "images_count": 40,
        "accepted_count": 400,
        "her": 0.5,
        "active_seconds_mean": 30.0,
        "cost_per_image": 0.2,
        "cost_per_label": 0.02,
        "images_per_second": 10.0,
        "currency": "USD",
        "simulated": False,
    } | other


def results(*rows: dict[str, Any], **more: Any) -> Results:
    """Make results of one dataset."""
    counts = {"discovered_count": 42, "landed_count": 40, "quarantined_count": 2}
    summary = [{"dataset": "bccd", "simulated": False} | counts]
    return Results({"run_summary": summary, "local_vs_cloud": rows, "arm_cost": []} | more)


@pytest.mark.parametrize(
    ("local", "cloud", "expected"),
    [
        (0.02, 0.01, "The cloud path is cheaper: 50.0\u00a0% less per accepted label."),
        (0.01, 0.02, "The local path is cheaper: 50.0\u00a0% less per accepted label."),
        (0.0200, 0.0195, "Local and cloud cost about the same: 2.5\u00a0% apart, below the 5\u00a0% margin."),
        (None, 0.02, "The cost per accepted label is not known for both arms yet."),
    ],
)
def test_headline_names_the_cheaper_path(local: float | None, cloud: float, expected: str) -> None:
    """The headline names the cheaper arm only when the difference is above the margin and both costs are known."""
    found = verdicts(results(arm("local", cost_per_label=local), arm("cloud", cost_per_label=cloud)))
    assert found[0].headline == expected


def test_paired_slice_decides() -> None:
    """The same images under both arms are believed before whatever each arm was given."""
    rows = [arm("local", slice="all", cost_per_label=0.5), arm("cloud", slice="all", cost_per_label=0.1)]
    rows += [arm("local", cost_per_label=0.1), arm("cloud", cost_per_label=0.5)]
    found = results(*rows)
    assert [item.slice for item in comparisons(found)] == ["paired", "all"]
    assert verdicts(found)[0].headline.startswith("The local path is cheaper")


def test_one_arm_alone_is_not_compared() -> None:
    """With one arm only, the page gives its cost and says what is missing."""
    cost = {"dataset": "bccd", "arm": "local", "images_count": 9, "accepted_count": 90, "cost_per_label": 0.03,
            "currency": "USD"}  # fmt: skip
    found = verdicts(results(arm("local"), arm_cost=[cost]))[0]
    assert found.headline == "Local and cloud cannot be compared yet."
    assert "0.0300 USD" in found.sentences[0]
    assert "under both arms" in found.sentences[-1]


def test_few_images_are_called_a_hint() -> None:
    """A comparison of a handful of images says that it is one."""
    found = verdicts(results(arm("local", images_count=7), arm("cloud", images_count=7)))[0]
    assert found.sentences[-1].startswith("Only 7 images")


def test_unmeasured_time_is_not_called_measured() -> None:
    """Without measured seconds the verdict says that time is modelled."""
    found = verdicts(results(arm("local", active_seconds_mean=None), arm("cloud")))[0]
    assert any("not measured" in sentence for sentence in found.sentences)


def test_fixed_cost_is_told_apart() -> None:
    """Setup spread over a few images is named, so that nobody takes it for the price of the next image."""
    cost = {"dataset": "bccd", "currency": "USD", "total_cost": 20.0, "inference_share": 0.3}
    costs = [cost | {"arm": "local", "images_count": 160}, cost | {"arm": "cloud", "images_count": 40}]
    setup = [{"dataset": "bccd", "arm": "cloud", "category": "setup", "amount": 2.5}] * 2
    found = verdicts(results(arm("local"), arm("cloud"), arm_cost=costs, cost_lines=setup))[0]
    assert any(
        "0.0\u00a0% of the local cost over 160 images and 25.0\u00a0% of the cloud cost over 40 images" in sentence
        for sentence in found.sentences
    )


def test_unfinished_night_is_said() -> None:
    """Files that are neither landed nor quarantined are in the verdict, not only in a table."""
    counts = {"discovered_count": 1200, "landed_count": 190, "quarantined_count": 10}
    found = verdicts(results(run_summary=[{"dataset": "bccd"} | counts]))[0]
    assert found.sentences[-1] == "1,000 of 1,200 files are not accounted for yet; run the night again."
    held = {"dataset": "bccd", "deferred_count": 1000} | counts
    found = verdicts(results(run_summary=[held]))[0]
    assert found.sentences[-1] == "1,000 of 1,200 files wait for a first run, reviewers or a sync.", (
        "not only sites defer"
    )
    assert not any("accounted" in sentence for sentence in verdicts(results())[0].sentences)


def test_lines_say_which_direction_is_good() -> None:
    """Fewer corrections are better, fewer images per second are worse, undefined is a dash."""
    rows = results(arm("local", active_seconds_mean=None), arm("cloud", her=0.25, images_per_second=5.0))
    by_name = {str(line[0]): line for line in lines(comparisons(rows)[0])}
    assert by_name["Corrections per label (HER)"][3] == "\u221250.0\u00a0% (better)"
    assert by_name["Images per second"][3] == "\u221250.0\u00a0% (worse)"
    assert by_name["Reviewer's active seconds per image"][1:] == ("\u2013", "30.0", "\u2013")
    assert by_name["Cost per image (USD)"][3] == "same"
