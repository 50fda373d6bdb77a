"""`labelop review calibrate` learns from measured reviews, says how good that is, and puts it in force when asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from labelop.cli import app
from labelop.effort.ledger import land_edits
from labelop.effort.saved import parameters_of
from labelop.landing.store import Store, land, read_rows
from labelop.queries import run_query
from labelop.review.annotation_review import pseudonym_of
from labelop.review.exchange import import_file
from labelop.review.label_studio import export_tasks, import_reviews
from labelop.review.simulate import simulate_reviews
from labelop.settings import Settings
from tests.contract.test_review_accepted import coco
from tests.unit.review_rows import VERSION, annotated, filled_store, image_row, prediction, prelabel_row, written

BASE, ACCEPT, DELETE, CLASS = 10.0, 3.0, 5.0, 1.6
"""Seconds of these reviewers; that of the class is the published one, which is not learnt."""


def measured(folder: Path, *, reviewers: int = 2) -> Store:
    """Make a store of 72 reviews of two to four boxes and a class: half accept all, half delete the last box."""
    store, draw = filled_store(folder / "store", images=0), np.random.default_rng(1)
    land(store, "images", [image_row(n) for n in range(72)], key="more images")
    drafts = [
        [prediction(f"p{n}-{k}", "RBC", (10 + 60 * k, 20, 60 + 60 * k, 70)) for k in range(2 + n % 3)]
        for n in range(72)
    ]
    rows = [prelabel_row(n, predictions=[*some, prediction(f"c{n}", "thin", None)]) for n, some in enumerate(drafts)]
    land(store, "prelabels", rows, key="more prelabels")
    records = []
    for n, task in enumerate(export_tasks(store, "cells")):
        record, gone = annotated(task, completed_by=n % reviewers), n // 2 % 2
        [annotation] = record["annotations"]
        boxes = [region for region in annotation["result"] if region["type"] == "rectanglelabels"]
        annotation["result"] = [region for region in annotation["result"] if not gone or region != boxes[-1]]
        seconds = BASE + (len(boxes) - gone) * ACCEPT + gone * DELETE + CLASS
        annotation["lead_time"] = round(seconds * (1.08, 0.92)[n % 2] * float(np.exp(draw.normal(0, 0.05))), 3)
        records.append(record)
    assert import_reviews(store, written(folder / "e.json", records), "cells", "run").landed == 72
    land_edits(store, "run")
    return store


def call(folder: Path, *words: str, user: str = "rob") -> Result:
    """Run a command of `labelop review` on the store of a folder, where lena is the lead."""
    (folder / "roles.yaml").write_text("schema: 1\npeople: {lena: [lead], otto: [operator]}\nothers: [reviewer]\n")
    names = {"LABELOP_CONFIG": str(folder), "LABELOP_USER": user, "LABELOP_STORE": str(folder / "store")}
    return CliRunner().invoke(app, ["review", *words, "--dataset", "cells"], env=names)


def learnt(folder: Path, *words: str, user: str = "rob") -> dict[str, list[dict[str, Any]]]:
    """Calibrate and give the tables."""
    done = call(folder, "calibrate", "--format", "json", *words, user=user)
    assert done.exit_code == 0, done.output
    tables: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return tables


def test_seconds_are_learnt_saved_and_used(tmp_path: Path) -> None:
    """What nobody measures later is modelled with the learnt set, marked so to the base seconds, and nothing before.

    Fails where the product only has published seconds, and where those of looking around stay published.
    """
    store = measured(tmp_path)
    tables = learnt(tmp_path, "--save", user="otto")
    told = {row["operation"]: row for row in tables["Seconds of operations"]}
    for name, seconds, count in (("base", BASE, 72), ("accept", ACCEPT, 180), ("delete", DELETE, 36)):
        assert told[name]["seconds"] == pytest.approx(seconds, rel=0.3)
        assert (told[name]["times_count"], told[name]["learnt"]) == (count, True)
        assert told[name]["seconds_low"] <= told[name]["seconds"] <= told[name]["seconds_high"]
    assert (told["add"]["learnt"], told["add"]["seconds"], told["add"]["literature_seconds"]) == (False, 12.5, 12.5)
    assert (told["accept_class"]["learnt"], told["accept_class"]["times_count"]) == (False, 72)
    [summary] = tables["Whether they may be used"]
    assert (summary["published"], summary["reviews_count"], summary["reviewers_count"]) == (True, 72, 2)
    assert summary["relative_error"] < 0.25
    assert "Reviewers" not in tables

    params = parameters_of(Settings(store=store.root), "cells")
    assert params.parameter_set == summary["parameter_set"]
    assert params.origin == "calibrated"
    before = read_rows(store, "edits")
    records = coco(1, annotations=[{"id": 0, "image_id": 0, "category_id": 1, "bbox": [10, 20, 50, 50]}])
    path = written(tmp_path / "done.json", records)
    done = call(tmp_path, "import", str(path), "--tool", "coco", "--arm", "local", "--reviewer", "7")
    assert done.exit_code == 0, done.output
    [review] = [row for row in read_rows(store, "reviews") if row["reviewer"] == pseudonym_of("7")]
    assert review["effort_source"] == "calibrated"
    sets = {row["parameter_set"] for row in read_rows(store, "edits") if row["review_id"] == review["review_id"]}
    assert sets == {params.parameter_set}
    assert {row["parameter_set"] for row in before} != sets
    ledger = run_query(store, "review_ledger", {"dataset": "cells"}).to_pylist()
    [row] = [row for row in ledger if row["review_id"] == review["review_id"]]
    expected = params.base_box_seconds + params.accept_box_seconds + 2 * params.delete_seconds
    assert (row["effort_source"], row["effort_seconds"]) == ("calibrated", pytest.approx(expected))


def test_what_predicts_nobody_else_is_told_and_not_saved(tmp_path: Path) -> None:
    """With one reviewer nobody can be left out: the tables say so, and asking to save it fails without a file."""
    store = measured(tmp_path, reviewers=1)
    [summary] = learnt(tmp_path)["Whether they may be used"]
    assert (summary["published"], summary["parameter_set"], summary["relative_error"]) == (False, None, None)
    assert "nobody can be left out" in summary["reason"]
    done = call(tmp_path, "calibrate", "--save", user="otto")
    assert done.exit_code == 1
    assert "are not used: fewer than 2 reviewers" in done.output
    assert not Settings(store=store.root).effort_path.exists()


def test_only_who_runs_nights_or_leads_puts_seconds_in_force(tmp_path: Path) -> None:
    """Anybody may look, which changes nothing; seconds that others' reviews are modelled with take a role.

    Fails where --save asked for none, and where a look landed edits.
    """
    store = measured(tmp_path)
    late = coco(1, annotations=[{"id": 0, "image_id": 0, "category_id": 1, "bbox": [10, 20, 50, 50]}])
    import_file(
        store,
        written(tmp_path / "late.json", late),
        dataset="cells",
        tool="coco",
        run_id="run",
        arm="local",
        reviewer="7",
    )
    before = len(read_rows(store, "edits"))
    done = call(tmp_path, "calibrate", "--save")
    assert done.exit_code == 1
    assert "'rob' may not save seconds of cells: roles reviewer, expected operator or lead" in done.output
    assert learnt(tmp_path)
    assert len(read_rows(store, "edits")) == before
    assert not Settings(store=store.root).effort_path.exists()
    learnt(tmp_path, "--save", user="lena")
    assert len(read_rows(store, "edits")) > before
    assert Settings(store=store.root).effort_path.exists()


def test_how_fast_each_reviewer_is_is_for_leads(tmp_path: Path) -> None:
    """Factors are told to a lead who asks, and to nobody else."""
    measured(tmp_path)
    done = call(tmp_path, "calibrate", "--reviewers")
    assert done.exit_code == 1
    assert "'rob' may not compare reviewers of cells: roles reviewer, expected lead" in done.output
    factors = {
        row["reviewer"]: row["seconds_factor"] for row in learnt(tmp_path, "--reviewers", user="lena")["Reviewers"]
    }
    assert factors[pseudonym_of("0")] / factors[pseudonym_of("1")] == pytest.approx(1.08 / 0.92, rel=0.1)


def test_nobody_learns_from_simulated_reviews_unasked(tmp_path: Path) -> None:
    """Without the option they are no reviews at all; with it they are told, and never put in force."""
    store = filled_store(tmp_path / "store", images=40, truth=True)
    simulate_reviews(store, "cells", VERSION, seed=0, run_id="run")
    done = call(tmp_path, "calibrate")
    assert done.exit_code == 1
    assert "No approved review of cells with objects was measured" in done.output
    done = call(tmp_path, "calibrate", "--with-simulated", "--save", user="otto")
    assert done.exit_code == 1
    assert "made by no person" in done.output
    assert not Settings(store=store.root).effort_path.exists()
