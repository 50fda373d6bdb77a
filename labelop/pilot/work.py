"""What a pilot gives to each reviewer: their tasks in their own order, under names that hide the arm.

Knows tables and the task format of Label Studio; must not know statistics.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from labelop.errors import ReviewError
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.pilot.plan import Pilot
from labelop.review.task_forms import labelling_config, task_form
from labelop.review.tasks import ReviewTask, load_ontology, load_tasks


def review_tasks(store: Store, pilot: Pilot) -> list[tuple[str, ReviewTask]]:
    """List who reviews what: reviewer and task, each reviewer's in their own order; drafts that failed are left out."""
    protocol = pilot.protocol
    tasks = {
        (task.image_id, task.batch_id): task for task in load_tasks(store, protocol.dataset, protocol.dataset_version)
    }
    rows = read_rows(store, "pilot_assignments", filters=equal(pilot_id=protocol.pilot_id))
    rows.sort(key=lambda row: (row["reviewer"], row["position"]))
    found = ((row["reviewer"], tasks.get((row["image_id"], row["batch_id"]))) for row in rows)
    return [(reviewer, task) for reviewer, task in found if task is not None]


def export_pilot(store: Store, pilot: Pilot, folder: Path) -> int:
    """Write one Label Studio file per reviewer, `REVIEWER.json`, and the labelling configuration.

    Returns:
        Tasks written.

    Raises:
        ReviewError: The folder cannot be written.
    """
    protocol = pilot.protocol
    tasks = review_tasks(store, pilot)
    files: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for reviewer, task in tasks:
        files[reviewer].append(task_form(task))
    config = labelling_config(load_ontology(store, protocol.dataset, protocol.dataset_version))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "labelling-config.xml").write_text(config, encoding="utf-8")
        for reviewer, forms in files.items():
            text = json.dumps(forms, indent=1, sort_keys=True, allow_nan=False) + "\n"
            (folder / f"{reviewer}.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReviewError(
            f"The pilot's tasks cannot be written to {folder}: {error.strerror}.", hint="`--output` names a folder."
        ) from error
    return len(tasks)
