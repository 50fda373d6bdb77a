"""What the measured reviews of a dataset teach about the seconds of its operations, told so that people can judge it.

Reads the query `timed_reviews` and leaves the fit to `calibration`. Knows no tool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labelop.effort.calibration import Calibration, TimedReview, calibrate
from labelop.effort.least_squares import FIELDS
from labelop.effort.parameters import DEFAULTS
from labelop.effort.saved import SavedSet
from labelop.errors import AnalysisError
from labelop.landing.store import Store
from labelop.queries import run_query
from labelop.schemas import utc_now


@dataclass(frozen=True, slots=True)
class Learnt:
    """A calibration, and what it rests on."""

    dataset: str
    """Whose reviews."""
    calibration: Calibration
    """Seconds, errors, and whether they may be used."""
    reviews_count: int
    """Measured reviews."""
    images_count: int
    """Images of these."""
    tools: tuple[str, ...]
    """Tools that measured, with their versions."""
    simulated: bool
    """Whether some of the reviews were made by no person."""


def learn(store: Store, dataset: str, *, with_simulated: bool = False) -> Learnt:
    """Fit the seconds of each operation to the measured reviews of a dataset, of all its versions.

    Args:
        store: Where the tables are; reviews whose edits are not landed yet are left out.
        dataset: Dataset name.
        with_simulated: Whether reviews that no person made are learnt from as well.

    Raises:
        AnalysisError: Nobody measured a review of it.
    """
    rows = run_query(store, "timed_reviews", {"dataset": dataset, "with_simulated": with_simulated}).to_pylist()
    if not rows:
        raise AnalysisError(
            f"No approved review of {dataset} with objects was measured, expected some to learn from.",
            hint="Label Studio measures by itself; of other tools `labelop review import --events` tells the time."
            + ("" if with_simulated else " --with-simulated takes reviews that no person made."),
        )
    reviews = [
        TimedReview(
            reviewer=row["reviewer"],
            image_id=row["image_id"],
            active_seconds=row["active_seconds"],
            counts={name: row[f"{name}_count"] for name in FIELDS if name != "base"},
            position=row["position_in_batch"],
        )
        for row in rows
    ]
    return Learnt(
        dataset,
        calibrate(reviews),
        len(reviews),
        len({one.image_id for one in reviews}),
        tuple(sorted({" ".join(filter(None, (row["tool"], row["tool_version"]))) for row in rows})),
        any(row["simulated"] for row in rows),
    )


def learnt_rows(found: Learnt, *, reviewers: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Write a calibration as tables: each operation beside its published seconds, whether it may be used, and why not.

    Args:
        found: What was learnt.
        reviewers: Whether the factor of each reviewer is told; for those who answer for labels.
    """
    told = found.calibration
    operations = [
        {
            "operation": name,
            "times_count": one.count,
            "learnt": name not in told.kept,
            "seconds": one.value,
            "seconds_low": None if name in told.kept else one.low,
            "seconds_high": None if name in told.kept else one.high,
            "literature_seconds": getattr(DEFAULTS, FIELDS[name]),
        }
        for name, one in told.seconds.items()
    ]
    summary = {
        "dataset": found.dataset,
        "reviews_count": found.reviews_count,
        "images_count": found.images_count,
        "reviewers_count": len(told.reviewer_factors),
        "tools": ", ".join(found.tools),
        "relative_error": told.relative_error,
        "mean_error_share": told.mean_error_share,
        "r2": told.r2,
        "condition": told.condition,
        "merged_adjust": told.merged_adjust,
        "simulated": found.simulated,
        "published": told.parameters is not None,
        "parameter_set": told.parameters.parameter_set if told.parameters else None,
        "reason": told.refusal or None,
    }
    tables = {"Seconds of operations": operations, "Whether they may be used": [summary]}
    if reviewers:
        factors = sorted(told.reviewer_factors.items())
        tables["Reviewers"] = [{"reviewer": name, "seconds_factor": factor} for name, factor in factors]
    return tables


def set_of(found: Learnt) -> SavedSet:
    """Give what is saved of a calibration.

    Raises:
        AnalysisError: It is not good enough, or learnt from reviews that no person made.
    """
    told = found.calibration
    if told.parameters is None or told.relative_error is None:
        raise AnalysisError(
            f"The seconds learnt of {found.dataset} are not used: {told.refusal}.", hint="Stay with measured time."
        )
    if found.simulated:
        raise AnalysisError(
            f"The seconds learnt of {found.dataset} are not used: they rest on reviews that no person made.",
            hint="Leave out --with-simulated.",
        )
    return SavedSet(
        parameter_set=told.parameters.parameter_set,
        dataset=found.dataset,
        learnt_on=utc_now().date(),
        reviews_count=found.reviews_count,
        images_count=found.images_count,
        reviewers_count=len(told.reviewer_factors),
        tools=list(found.tools),
        relative_error=told.relative_error,
        parameters=told.parameters,
    )
