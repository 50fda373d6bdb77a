"""Cut-offs from the tables: which drafts count as right, what is found, and nothing without blind labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.effort.saved import save
from labelop.geometry import Box
from labelop.labels import AcceptedLabel, Prediction
from labelop.landing.store import Store
from labelop.pilot.cutoffs import CARD, CLASS, SINGLE, Advice, advice_rows, advise, matched
from labelop.pilot.thresholds import Costs, Cutoffs
from labelop.schemas import utc_now
from labelop.settings import Settings
from tests.unit.effort.test_effort_saved import saved_set
from tests.unit.report_rows import World

CATALOG = Path(__file__).resolve().parents[3] / "data/sample/models"
WHERE = {"dataset": "d", "dataset_version": "v1"}
POWERS = {"sure": 0.4, "vain": 3.0}
"""A draft of score s is right with probability s ** power."""


def box(at: float, wide: float = 10.0) -> Box:
    """Make a box that overlaps no other one."""
    return Box(20 * at, 0, 20 * at + wide, 10)


def shape(at: float, label: str, **more: Any) -> dict[str, Any]:
    """Make a nested prediction or label."""
    sides = dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), (20 * at, 0.0, 20 * at + 10, 10.0), strict=True))
    return {"label": label, **sides, "mask_rle": None, **more}


def world(images: int, *, arm: str = "blind", drafts: int = 40) -> World:
    """Draw images with drafts of two classes, and people's labels where a draft is right."""
    draw, made = np.random.default_rng(3), World()
    for number in range(images):
        image = {"image_id": f"i{number:03}", **WHERE}
        made.put("images", **image, path=f"{number}.png", outcome="ok")
        predictions, labels = [], []
        for at in range(drafts):
            name, score = list(POWERS)[at % 2], float(draw.beta(0.8, 1.2))
            predictions.append(shape(at, name, prediction_id=f"p{at}", score=score, draft=score > 0.5))
            if draw.random() < score ** POWERS[name]:
                labels.append(shape(at, name, label_id=f"l{at}", prediction_id=None))
        drafted = {"model_id": "m", "model_digest": "x", "outcome": "ok", "simulated": False}
        made.put("prelabels", **image, **drafted, batch_id="b", role="pilot", arm="local", predictions=predictions)
        review = {"review_id": f"r{number}", "batch_id": "p", "decision": "approved", "labels": labels}
        made.put("reviews", **image, **review, arm=arm, reviewer="ann", simulated=False)
    return made


def asked(made: World, folder: Path) -> list[Advice]:
    """Land a world and ask for advice without a catalog."""
    return advise(made.land(Store(str(folder))), "d", "v1", {})


def test_the_cutoffs_of_blind_labels_lie_near_the_known_optimum(tmp_path: Path) -> None:
    """The class that is surer than its scores is shown earlier, and apart they beat one cut-off on held-out images."""
    [found] = asked(world(160), tmp_path)
    assert found.cutoffs is not None
    for name, power in POWERS.items():
        assert found.cutoffs.by_class[name] == pytest.approx(Costs().least_probability ** (1 / power), abs=0.12)
    assert found.held_out_seconds is not None
    assert found.held_out_single_seconds is not None
    assert found.held_out_seconds < 0.99 * found.held_out_single_seconds
    assert (found.images_count, found.in_force, found.simulated) == (160, None, False)
    cuts, worth = advice_rows([found]).values()
    assert [(row["label"], row["drafts_count"]) for row in cuts] == [("sure", 3200), ("vain", 3200)]
    assert (worth[0]["reason"], worth[0]["advised"]) == (None, CLASS)


def test_cutoffs_go_by_the_seconds_in_force(tmp_path: Path) -> None:
    """Where deleting was learnt to take long, less is shown and the advice names its seconds: it had published ones."""
    made = world(160)
    made.put("datasets", **WHERE, landed_at=utc_now())
    settings = Settings(store=made.land(Store(str(tmp_path))).root)
    names = {"LABELOP_STORE": settings.store, "LABELOP_CATALOG": str(CATALOG)}

    def told() -> tuple[dict[str, float], dict[str, str]]:
        done = CliRunner().invoke(app, ["models", "thresholds", "--dataset", "d", "--format", "json"], env=names)
        assert done.exit_code == 0, done.output
        cuts, [worth] = json.loads(done.stdout).values()
        return {row["label"]: row["per_class"] for row in cuts}, worth

    usual, published = told()
    slow = EffortParameters(origin="calibrated", delete_seconds=28.0)
    save(settings, saved_set("d", slow))
    found, learnt = told()
    assert all(found[name] > usual[name] + 0.1 for name in POWERS)
    assert (published["parameter_set"], learnt["parameter_set"]) == (DEFAULTS.parameter_set, slow.parameter_set)
    assert "by published seconds" in published["sentence"]
    assert "by calibrated seconds" in learnt["sentence"]


@pytest.mark.parametrize(
    ("images", "arm", "said"),
    [
        (4, "local", "no label made without a draft"),
        (1, "blind", "40 drafts have blind labels"),
        (0, "blind", "no label"),
    ],
)
def test_without_enough_blind_labels_there_is_a_reason_and_no_figure(
    tmp_path: Path, images: int, arm: str, said: str
) -> None:
    """Labels corrected from a draft make a model look right, so they are not asked."""
    [found] = asked(world(images, arm=arm), tmp_path)
    assert said in found.reason
    assert (found.cutoffs, found.held_out_seconds, found.in_force_seconds) == (None, None, None)
    cuts, worth = advice_rows([found]).values()
    assert (cuts, worth[0]["held_out_seconds"]) == ([], None)


@pytest.mark.parametrize(
    ("own", "single", "card", "advised", "said"),
    [
        (90.0, 100.0, 110.0, CLASS, {"a": 0.2, "b": 0.8}),
        (100.0, 90.0, 110.0, SINGLE, {"a": 0.5, "b": 0.5}),
        (100.0, 90.0, None, SINGLE, {"a": 0.5, "b": 0.5}),
        (100.0, 100.0, 90.0, CARD, {"a": 0.6, "b": 0.7}),
        (90.0, 90.0, 90.0, CARD, {"a": 0.6, "b": 0.7}),
    ],
)
def test_what_is_best_on_held_out_images_is_advised(
    own: float, single: float, card: float | None, advised: str, said: dict[str, float]
) -> None:
    """Cut-offs per class were advised though a single one, or the card's, took less; of equals the card stays."""
    cuts = Cutoffs({"a": 0.2, "b": 0.8}, 0.5, (), 1.0, 1.0, {"a": 50, "b": 50})
    found = Advice("m", 9, cuts, {"a": 0.6, "b": 0.7, "c": 0.5}, own, single, card)
    assert (found.advised, found.draft_scores) == (advised, said)
    assert found.said.startswith(f"Take the {advised}: ")
    assert ("Leave the card as it is." in found.said) == (advised == CARD)
    rows, [worth] = advice_rows([found]).values()
    assert {row["label"]: row["draft_score"] for row in rows} == said
    assert {row["label"]: row["per_class"] for row in rows} == {"a": 0.2, "b": 0.8}
    assert (worth["advised"], worth["sentence"]) == (advised, found.said)


def test_a_label_goes_to_the_best_scored_draft_of_its_class() -> None:
    """A second draft of one object, another class and a box that hardly overlaps are wrong."""
    drafts = [
        Prediction("low", "a", 0.3, draft=False, box=box(0)),
        Prediction("high", "a", 0.9, draft=True, box=box(0, 9)),
        Prediction("far", "a", 0.8, draft=True, box=box(0, 4)),
        Prediction("other", "b", 0.7, draft=True, box=box(0)),
    ]
    [a, b] = matched("i", drafts, [AcceptedLabel("l", "a", box=box(0))])
    assert (a.label, a.scores) == ("a", (0.9, 0.8, 0.3))
    assert list(a.ious) == pytest.approx([0.9, 0.0, 0.0])
    assert a.ious[0] >= DEFAULTS.tau_match
    assert (b.label, b.ious) == ("b", (0.0,))
