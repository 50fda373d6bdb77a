"""Simulated pilots: images and reviewers with known gaps between the arms, for the tests of the statistics."""

from __future__ import annotations

import numpy as np

from labelop.pilot.design import Assignment, Sample, assign
from labelop.pilot.protocol import Protocol
from labelop.pilot.statistics import Timed

ARMS = ("local", "cloud", "blind")
EVEN = {"easy": 0.5, "hard": 0.5}


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
