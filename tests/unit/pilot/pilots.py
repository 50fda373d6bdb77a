"""Simulated pilots: images and reviewers with known gaps between the arms, for the tests of the statistics."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from labelop.ids import canonical_json
from labelop.pilot.design import Assignment, Sample, assign
from labelop.pilot.protocol import Protocol
from labelop.pilot.statistics import Timed
from tests.unit.report_rows import World

ARMS = ("local", "cloud", "blind")
EVEN = {"easy": 0.5, "hard": 0.5}
WHERE = {"dataset": "d", "dataset_version": "v1"}
GAPS = {"local": 0.4, "cloud": -0.4, "blind": 0.0}


def protocol(**changed: object) -> Protocol:
    """Make a protocol of three arms and four reviewers."""
    values: dict[str, object] = {
        "name": "spring",
        "dataset": "d",
        "dataset_version": "v1",
        "task": "detection",
        "arms": ARMS,
        "models": ("small", "large", ""),
        "reference": "local",
        "reviewers": ("ann", "ben", "cal", "dee"),
        "seed": 7,
        "sample_digest": "s",
        "images_count": 120,
        **changed,
    }
    return Protocol(**values)  # type: ignore[arg-type]


def plan(made: Protocol) -> list[Assignment]:
    """Assign its reviews; every other image is hard."""
    strata = {f"i{number:04}": ("easy", "hard")[number % 2] for number in range(made.images_count)}
    return assign(Sample(strata, EVEN), made.arms, made.reviewers, made.seed)


def reviewed(
    assigned: list[Assignment],
    gaps: dict[str, float],
    seed: int,
    *,
    image_sd: float = 0.6,
    reviewer_sd: float = 0.3,
    residual_sd: float = 0.35,
) -> list[Timed]:
    """Let reviewers work: log seconds = image + reviewer + gap of the arm + learning + noise (`measures.md` 3)."""
    draw = np.random.default_rng(seed)
    image = {key: draw.normal(3.0, image_sd) for key in sorted({one.image_id for one in assigned})}
    speed = {key: draw.normal(0.0, reviewer_sd) for key in sorted({one.reviewer for one in assigned})}
    noise = draw.normal(0.0, residual_sd, len(assigned))
    return [
        Timed(
            one.image_id,
            one.stratum,
            one.arm,
            one.reviewer,
            float(np.exp(image[one.image_id] + speed[one.reviewer] + gaps[one.arm] - 0.1 * one.period + slip)),
        )
        for one, slip in zip(assigned, noise, strict=True)
    ]


def world(*, restricted: int = 0, **changed: object) -> World:
    """Make the tables of a pilot whose local drafts cost time and of whose images so many are restricted."""
    made, said = World(), protocol(**{"images_count": 60, **changed})
    batch_of = {"local": "b-local", "cloud": "b-cloud", "blind": said.pilot_id}
    declared = {"protocol": canonical_json(asdict(said)), "weights": canonical_json({"easy": 0.5, "hard": 0.5})}
    made.put("pilots", **WHERE, pilot_id=said.pilot_id, name=said.name, asked="{}", plan_id="plan", **declared)
    assigned = plan(said)
    for number, image_id in enumerate(sorted({one.image_id for one in assigned})):
        image = {**WHERE, "image_id": image_id}
        made.put("images", **image, path=f"{image_id}.png", outcome="ok", width_px=10, height_px=10)
        made.put("levels", **image, level="restricted" if number < restricted else "public")
        for arm, placement in (("local", "onprem"), ("cloud", "cloud")):
            drafted = {"arm": arm, "placement": placement, "batch_id": batch_of[arm], "role": "pilot"}
            made.put("prelabels", **image, **drafted, model_id="m", outcome="ok", predictions=[], simulated=False)
    timed = reviewed(assigned, GAPS, 5)
    for number, (one, review) in enumerate(zip(assigned, timed, strict=True)):
        image = {**WHERE, "image_id": one.image_id, "arm": one.arm, "batch_id": batch_of[one.arm]}
        shown = {"reviewer": one.reviewer, "stratum": one.stratum, "period": one.period, "position": one.position}
        made.put("pilot_assignments", **image, **shown, pilot_id=said.pilot_id)
        took = {"active_seconds": review.seconds, "effort_source": "measured", "simulated": False}
        known = {"review_id": f"r{number}", "reviewer": one.reviewer, "decision": "approved", "labels": []}
        made.put("reviews", **image, **known, **took)
    return made
