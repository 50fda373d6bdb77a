"""A hundred reviewers who wave a known share of wrong drafts through, measured by the whole meter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from labelop.landing.store import Store, read_rows
from labelop.meter.figures import land_figures
from labelop.meter.plan import Shares
from labelop.review.annotation_review import pseudonym_of
from labelop.review.label_set import write_label_set
from labelop.review.label_studio import import_reviews
from labelop.review.task_forms import task_form
from labelop.review.tasks import load_tasks
from tests.contract.test_bias_round import planned
from tests.unit.review.test_transitions import ROLES
from tests.unit.review_rows import VERSION, annotated, written

REVIEWERS = 100
ERRORS = 60


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, float]]:
    """Let each reviewer do every seeded task, and somebody every other one; give each one's share of waving through.

    Who sees an error submits what is shown with that share, and else the drafts as the model made them.
    """
    root = tmp_path_factory.mktemp("recovered")
    store = planned(root, images=ERRORS + 10, shares=Shares(0.0, 0.0, 1.0))
    draw = np.random.default_rng(20)
    shares = draw.uniform(0.02, 0.6, REVIEWERS)
    tasks = load_tasks(store, "cells", VERSION)
    plain = {task.image_id: task for task in tasks if task.arm == "local"}
    records = []
    for task in tasks:
        shown, right = task_form(task), task_form(plain[task.image_id])["predictions"][0]["result"]
        if task.arm != "seeded":
            records.append(annotated(shown, unique_id=f"plain-{task.task_uid}", completed_by="p-1"))
            continue
        record: dict[str, Any] = shown | {"annotations": []}
        for who, waves in enumerate(draw.random(REVIEWERS) < shares):
            said = {"result": shown["predictions"][0]["result"] if waves else right, "completed_by": f"p-{who}"}
            [one] = annotated(shown, unique_id=f"{who}-{task.task_uid}", **said)["annotations"]
            record["annotations"].append(one)
        records.append(record)
    landed = import_reviews(store, written(root / "answers.json", records), "cells", "run")
    assert landed.quarantined == 0
    return store, {pseudonym_of(f"p-{who}"): float(share) for who, share in enumerate(shares)}


def test_known_over_acceptance_is_recovered(measured: tuple[Store, dict[str, float]]) -> None:
    """From plan to figures: at least 93 of 100 intervals of 95 % hold the reviewer's true catch rate."""
    store, shares = measured
    figures = {
        one.name: one.found
        for one in land_figures(store, "cells", "run")
        if (one.measure, one.slice) == ("catch_rate", "reviewer")
    }
    assert figures.keys() == shares.keys()
    assert {one.count for one in figures.values()} == {ERRORS}
    held = [
        found.low <= 1 - shares[name] <= found.high
        for name, found in figures.items()
        if found.low is not None and found.high is not None
    ]
    assert len(held) == REVIEWERS
    assert sum(held) >= 93
    assert max(found.high - found.low for found in figures.values() if found.high and found.low is not None) < 0.26


def test_no_seed_is_released(measured: tuple[Store, dict[str, float]], tmp_path: Path) -> None:
    """Thousands of submitted wrong drafts, all passed as right by somebody, leave no trace in a released set."""
    store, _ = measured
    write_label_set(store, "cells", tmp_path / "out", by="lena", roles=ROLES, run_id="run", with_simulated=True)
    rows = {row["review_id"]: row for row in read_rows(store, "reviews")}
    seeded = {name for name, row in rows.items() if row["arm"] == "seeded"}
    assert len(seeded) == ERRORS * REVIEWERS
    released = {row["review_id"] for row in pq.read_table(tmp_path / "out/images.parquet").to_pylist()}
    assert len(released) == ERRORS + 10
    assert not released & seeded
    drafts, shown = (
        {_said(draft) for row in read_rows(store, table) for draft in row["predictions"] or []}
        for table in ("prelabels", "bias_tasks")
    )
    labels = {_said(row) for row in pq.read_table(tmp_path / "out/labels.parquet").to_pylist()}
    assert labels <= drafts
    assert len(shown - drafts) > ERRORS / 4  # the wrong ones
    assert json.loads((tmp_path / "out/manifest.json").read_text())["images_count"] == ERRORS + 10


def _said(one: dict[str, Any]) -> tuple[Any, ...]:
    return one["prediction_id"], one["label"], one["x0_px"], one["y1_px"]
