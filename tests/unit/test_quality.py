"""Model quality against truth: known answers, and which prelabels they are over."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from labelop.effort.quality import average_precision, image_accuracy, land_quality, quality_rows
from labelop.geometry import Box
from labelop.labels import AcceptedLabel, Prediction
from labelop.landing.store import Store, land, read_rows
from tests.unit.review_rows import NOW, VERSION, filled_store, image_row, prediction, prelabel_row, truth_row


def guess(name: str, score: float, *edges: float, label: str = "RBC") -> Prediction:
    """Make a prediction that is no draft: quality counts it all the same."""
    return Prediction(name, label, score, draft=False, box=Box(*edges) if edges else None)


def truth(name: str, *edges: float, label: str = "RBC") -> AcceptedLabel:
    """Make a true label; without edges one of the whole image."""
    return AcceptedLabel(name, label, Box(*edges) if edges else None)


def test_exact_predictions_are_perfect(capsys: pytest.CaptureFixture[str]) -> None:
    """Boxes equal to the truth give 1 for every figure, and nothing is printed."""
    images = [([guess("p", 0.9, 0, 0, 50, 50), guess("q", 0.8, 60, 0, 90, 50, label="WBC")],
               [truth("a", 0, 0, 50, 50), truth("b", 60, 0, 90, 50, label="WBC")])]  # fmt: skip
    expected = {"ap50": 1.0, "ap": 1.0, "ap50:RBC": 1.0, "ap50:WBC": 1.0}
    assert average_precision(images) == pytest.approx(expected)
    assert capsys.readouterr().out == ""


def test_average_precision_by_hand() -> None:
    """One hit above one false alarm with one miss: precision 1 up to recall 0.5, which is 51 of 101 points."""
    images = [
        ([guess("p", 0.9, 0, 0, 50, 50), guess("q", 0.5, 200, 200, 250, 250)], [truth("a", 0, 0, 50, 50)]),
        ([], [truth("b", 0, 0, 50, 50)]),
    ]
    assert average_precision(images)["ap50"] == pytest.approx(51 / 101)


def test_a_loose_box_counts_at_half_overlap_only() -> None:
    """A box of IoU 0.62 is right at 0.50, 0.55 and 0.60 and wrong at the seven thresholds above."""
    figures = average_precision([([guess("p", 0.9, 0, 0, 100, 62)], [truth("a", 0, 0, 100, 100)])])
    assert figures["ap50"] == pytest.approx(1.0)
    assert figures["ap"] == pytest.approx(0.3)


def test_a_class_without_predictions_pulls_the_mean() -> None:
    """A class of the truth that the model never finds counts as 0, one outside the truth does not count."""
    images = [([guess("p", 0.9, 0, 0, 9, 9), guess("x", 0.9, 0, 0, 9, 9, label="new")],
               [truth("a", 0, 0, 9, 9), truth("b", 20, 20, 29, 29, label="WBC")])]  # fmt: skip
    assert average_precision(images) == pytest.approx({"ap50": 0.5, "ap": 0.5, "ap50:RBC": 1.0, "ap50:WBC": 0.0})


def test_without_truth_there_is_no_figure() -> None:
    """Quality is unknown, not 0, where nothing is known to be true."""
    assert average_precision([([guess("p", 0.9, 0, 0, 9, 9)], [])]) == {}
    assert image_accuracy([([guess("p", 0.9)], [truth("a", 0, 0, 9, 9)])]) is None


def test_image_accuracy_takes_the_best_guess() -> None:
    """The best-scored label of the image counts; no guess is a wrong one."""
    images: list[Any] = [
        ([guess("p", 0.4, label="farm"), guess("q", 0.6, label="pond")], [truth("a", label="pond")]),
        ([guess("p", 0.9, label="farm")], [truth("a", label="pond")]),
        ([], [truth("a", label="pond")]),
        ([], [truth("a", 0, 0, 9, 9)]),
    ]
    assert image_accuracy(images) == pytest.approx(1 / 3)


def test_figures_are_per_split_and_model(tmp_path: Path) -> None:
    """Each model is measured on the images it answered, by split, and the same figures land once."""
    store = filled_store(tmp_path / "s", images=2, compare=1, truth=True)
    land(store, "images", [image_row(2, split=None)], key="more")
    land(store, "reviews", [truth_row(2)], key="more")
    land(store, "prelabels", [prelabel_row(2)], key="more")
    landed = land_quality(store, "cells", VERSION, "run")
    assert landed > 0
    assert land_quality(store, "cells", VERSION, "again") == 0
    rows = {(r["split"], r["model_id"], r["metric"]): r for r in read_rows(store, "quality")}
    assert rows["val", "m-local", "ap50"]["images_count"] == 2
    assert rows["val", "m-cloud", "ap50"]["images_count"] == 1
    assert rows["all", "m-local", "ap50"]["images_count"] == 1
    assert rows["val", "m-local", "image_accuracy"]["value"] == 0.0
    assert rows["val", "m-local", "ap50"]["value"] == pytest.approx(1.0)
    assert not any(model == "m-broken" for _, model, _ in rows)


def test_one_image_counts_once_per_model(tmp_path: Path) -> None:
    """An image a model ran on in two roles counts once, by the evaluation; an older digest does not count."""
    store = Store(str(tmp_path))
    land(store, "images", [image_row(0)], key="k")
    land(store, "reviews", [truth_row(0)], key="k")
    wrong = [prediction("p", "RBC", (300.0, 200.0, 310.0, 210.0))]
    rows = [
        prelabel_row(0, batch_id="b-1", predictions=wrong),
        prelabel_row(0, role="evaluate", batch_id="b-2"),
        prelabel_row(0, role="evaluate", batch_id="b-0", predictions=wrong, model_digest="old",
                     landed_at=NOW - dt.timedelta(days=1)),
    ]  # fmt: skip
    land(store, "prelabels", rows, key="k")
    found = {row["metric"]: row for row in quality_rows(store, "cells", VERSION, "run")}
    assert found["ap50"]["images_count"] == 1
    assert found["ap50"]["value"] > 0.9


def test_an_empty_store_has_no_quality(tmp_path: Path) -> None:
    """Without prelabels or truth nothing is landed."""
    assert land_quality(Store(str(tmp_path)), "cells", VERSION, "run") == 0
