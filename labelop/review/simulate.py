"""Simulated reviewers, so that a demonstration has corrections without people; every row they make says so.

They correct from the truth that came with the source, with drawn slips and times, and their work goes through the same
JSON export and import as that of people. Knows the task format; must not be able to land anything itself.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from labelop.effort.measures import model_seconds
from labelop.effort.parameters import DEFAULTS
from labelop.effort.script import Edit, edit_script
from labelop.errors import naming
from labelop.geometry import Box
from labelop.ids import digest_of, row_id
from labelop.labels import AcceptedLabel, Prediction
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.review.annotation_import import import_reviews
from labelop.review.intake import ImportResult, load_context
from labelop.review.rows import label_of
from labelop.review.task_forms import draft_region, task_form
from labelop.review.tasks import ReviewTask, tasks_to_give_out

REVIEWERS = {"sim-a": 0.85, "sim-b": 1.0, "sim-c": 1.25}
"""Pseudonym and speed factor: the share of the modelled seconds the reviewer needs."""

MISS_SHARE = 0.03
"""Share of needed edits that a simulated reviewer overlooks, 0..1."""

SAME_ENOUGH_IOU = 0.80
"""Overlap with the truth at which a draft box is left as it is; people agree on a box no better than this."""

_JITTER_SHARE = 0.015  # of a box's edge: how exactly a drawn box follows the truth
_TIME_SIGMA = 0.25  # of log seconds, around a mean of 1
_EPOCH = dt.datetime(2026, 1, 5, 8, 0, tzinfo=dt.UTC)
_TOOL = "simulated"


@dataclass(frozen=True, slots=True)
class _Slips:
    """What is drawn for one review."""

    random: np.random.Generator
    """Seeded by the image and the arm, so that a review never depends on others."""

    def overlooked(self) -> bool:
        return bool(self.random.random() < MISS_SHARE)

    def time_factor(self) -> float:
        return math.exp(float(self.random.normal(-(_TIME_SIGMA**2) / 2, _TIME_SIGMA)))

    def drawn(self, box: Box, width_px: int, height_px: int) -> Box:
        """Draw a box as a hand does; the exact one where the slip leaves nothing of it."""
        sides = np.array([box.x1 - box.x0, box.y1 - box.y0, box.x1 - box.x0, box.y1 - box.y0])
        x0, y0, x1, y1 = (np.array(box.xyxy) + self.random.normal(0.0, _JITTER_SHARE, 4) * sides).round(2).tolist()
        if x1 - x0 < 1 or y1 - y0 < 1:
            return box
        return Box(x0, y0, x1, y1).clipped(width_px, height_px) or box


def simulate_reviews(
    store: Store,
    dataset: str,
    dataset_version: str,
    seed: int,
    run_id: str,
    *,
    folder: Path | None = None,
    assigned: Mapping[str, str] | None = None,
) -> ImportResult:
    """Let simulated reviewers correct every task that has truth, and import what they export.

    One export file per batch, so that what is landed does not depend on which batches were there before. An image that
    both arms drafted goes to two different reviewers. Tasks that a person reviewed are left alone.

    Args:
        store: Where.
        dataset: Dataset name.
        dataset_version: Dataset version.
        seed: Of the drawn slips and times; the same seed gives the same reviews.
        run_id: Run that lands them.
        folder: Keeps the exported files; a temporary one when None.
        assigned: Who of `REVIEWERS` does each task, by its name, and no others are done; all of the plan in force when
            None.

    Returns:
        Counts over all files.
    """
    context = load_context(store, dataset, dataset_version)
    where = equal(dataset=dataset, dataset_version=dataset_version)
    reviews = read_rows(store, "reviews", columns=["image_id", "batch_id", "arm", "labels", "simulated"], filters=where)
    truth = {row["image_id"]: [label_of(v) for v in row["labels"]] for row in reviews if row["arm"] == "import"}
    by_people = {(row["batch_id"], row["image_id"]) for row in reviews if not row["simulated"]}
    if assigned is None:
        counting = tasks_to_give_out(store, dataset, dataset_version, context.tasks.values())
        reviewer_of: Mapping[str, str] = _assigned(counting)
    else:
        counting = [task for name, task in context.tasks.items() if name in assigned]
        reviewer_of = assigned
    batches: dict[str, list[ReviewTask]] = defaultdict(list)
    for task in counting:
        if task.image_id in truth and (task.batch_id, task.image_id) not in by_people:
            batches[task.batch_id].append(task)
    result = ImportResult(0, 0, 0)
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        for batch_id, tasks in sorted(batches.items()):
            path = place / f"simulated-{batch_id}.json"
            records = [_record(t, truth[t.image_id], reviewer_of[t.task_uid], n, seed) for n, t in enumerate(tasks)]
            with naming(path):
                path.write_text(json.dumps(records, sort_keys=True, allow_nan=False), encoding="utf-8")
            result += import_reviews(
                store,
                path,
                dataset,
                run_id,
                dataset_version=dataset_version,
                tool=_TOOL,
                simulated=True,
                pseudonyms={name: name for name in REVIEWERS},
                context=context,
            )
    return result


def _assigned(tasks: Sequence[ReviewTask]) -> dict[str, str]:
    """Give each task a reviewer: spread by image, and never the same one for two drafts of one image."""
    names = sorted(REVIEWERS)
    # the arm decides the shift, so the answer for one task does not depend on which others exist
    shift = {"local": 0, "cloud": 1}
    return {t.task_uid: names[(int(t.image_id[:8], 16) + shift.get(t.arm, 2)) % len(names)] for t in tasks}


def _record(
    task: ReviewTask, truth: Sequence[AcceptedLabel], reviewer: str, position: int, seed: int
) -> dict[str, Any]:
    """Write one task as the tool would export it after this reviewer's work."""
    measuring = [task.batch_id] if task.source_batch_id else []  # two of one arm are not alike
    seed_digest = digest_of([seed, task.dataset_version, task.image_id, task.arm, *measuring])
    slips = _Slips(np.random.default_rng(int(seed_digest[:16], 16)))
    script = edit_script(task.drafts, truth, params=replace(DEFAULTS, tau_same=SAME_ENOUGH_IOU))
    result = [region for edit in script for region in _regions(task, edit, slips)]
    looks_for_boxes = any(label.box for label in truth) or any(draft.box for draft in task.drafts)
    seconds = model_seconds(script, boxes=looks_for_boxes) * REVIEWERS[reviewer] * slips.time_factor()
    submitted = _EPOCH + dt.timedelta(minutes=10 * position)
    return task_form(task) | {
        "id": position + 1,
        "annotations": [
            {
                "unique_id": row_id("sim", task.task_uid, seed),
                "completed_by": reviewer,
                "result": result,
                "was_cancelled": False,
                "lead_time": round(seconds, 3),
                "created_at": submitted.isoformat(),
                "updated_at": submitted.isoformat(),
            }
        ],
    }


def _regions(task: ReviewTask, edit: Edit, slips: _Slips) -> list[dict[str, Any]]:
    """Write what the reviewer leaves of one object; a needed edit that is overlooked leaves the draft."""
    draft, label = edit.prediction, edit.accepted
    if edit.op == "accept" or slips.overlooked():
        return [_region(task, draft, "prediction")] if draft else []
    if label is None:
        return []
    adjusted = draft is None or edit.drags_count > 0
    box = draft.box if draft else None
    if label.box and adjusted:
        box = slips.drawn(label.box, task.width_px, task.height_px)
    region_id = draft.prediction_id if draft else row_id("new", task.task_uid, label.label_id)
    drawn = Prediction(region_id, label.label, 1.0, draft=True, box=box)
    return [_region(task, drawn, "prediction-changed" if draft else "manual")]


def _region(task: ReviewTask, drawn: Prediction, origin: str) -> dict[str, Any]:
    return draft_region(drawn, task.width_px, task.height_px) | {"origin": origin}
