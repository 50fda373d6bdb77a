"""Drafts go out as Label Studio tasks, so that reviewers correct in a tool they know.

Knows the task format of Label Studio 1.x (boxes in percent of the upright image) and nothing of its server. A task says
neither arm nor model by name: reviewers must not know what they compare.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from labelop.egress.address import shown
from labelop.errors import ReviewError
from labelop.geometry import to_percent
from labelop.labels import Prediction
from labelop.landing.store import Store
from labelop.review.tasks import Ontology, ReviewTask, in_force, load_ontology, load_tasks
from labelop.runs import current_version
from labelop.sensitivity.clearance import CLOUD, Clearance, NamedPolicy, clear, standings

LOCAL_FILES_PREFIX = "/data/local-files/?d="
"""Where Label Studio serves files of its local storage; the percent-encoded relative path follows."""

BOX_CONTROL, CHOICE_CONTROL, IMAGE_OBJECT = "box", "image_label", "image"
"""Names of the controls in the labelling configuration; results refer to them."""

_DIGEST_DIGITS = 12
_AWAY = ("https", "http", "s3", "gs", "azure-blob")
"""Schemes that Label Studio opens."""
_PLAIN = re.compile(r"[!-\[\]-~]+")  # ASCII that shows, without the backslash
_RELATIVE = re.compile(r"(?![^/?#]*:)(?!.*//)[!-\[\]-~]*")


@dataclass(frozen=True, slots=True)
class ExportResult:
    """Where an export lies."""

    tasks_path: Path
    """JSON list of tasks with predictions."""
    config_path: Path
    """Labelling configuration, XML."""
    tasks_count: int
    """Tasks written."""
    withheld_count: int = 0
    """Tasks left out because their address would name an image to another host."""


def export_tasks(
    store: Store,
    dataset: str,
    *,
    dataset_version: str | None = None,
    prefix: str = LOCAL_FILES_PREFIX,
    policy: NamedPolicy | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Write the review tasks of a dataset as Label Studio tasks.

    Args:
        store: Where.
        dataset: Dataset name.
        dataset_version: Dataset version; the one landed last when None.
        prefix: Goes before each relative path; never the root of the originals. One that names a host or bucket tells
            it the names of files, so only images that may be at the cloud as they are are exported then.
        policy: The sensitivity policy in force; without one no image may be named elsewhere.
        limit: Most tasks to export, from the front of the fixed order; all when None.

    Returns:
        Tasks in the fixed order of `load_tasks`; equal for equal tables.

    Raises:
        RunFailedError: The dataset has never been ingested.
        ReviewError: The prefix is no address that browsers and labelop read alike.
    """
    version = dataset_version or current_version(store, dataset)
    return [task_form(task, prefix) for task in _tasks(store, dataset, version, prefix, policy)[0][:limit]]


def export_review(
    store: Store,
    dataset: str,
    folder: Path,
    *,
    dataset_version: str | None = None,
    prefix: str = LOCAL_FILES_PREFIX,
    policy: NamedPolicy | None = None,
    limit: int | None = None,
) -> ExportResult:
    """Write `tasks.json` and `labelling-config.xml` into a folder, ready for a Label Studio project.

    Args: see `export_tasks`.

    Raises:
        RunFailedError: The dataset has never been ingested.
        ReviewError: The prefix is no address that browsers and labelop read alike, or the folder cannot be written.
    """
    version = dataset_version or current_version(store, dataset)
    kept, withheld = _tasks(store, dataset, version, prefix, policy)
    tasks = [task_form(task, prefix) for task in kept[:limit]]
    # words that came with a source stay with its files
    config = labelling_config(load_ontology(store, dataset, version, with_source=not _is_elsewhere(prefix)))
    result = ExportResult(folder / "tasks.json", folder / "labelling-config.xml", len(tasks), withheld)
    text = json.dumps(tasks, indent=1, sort_keys=True, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        result.tasks_path.write_text(text, encoding="utf-8")
        result.config_path.write_text(config, encoding="utf-8")
    except OSError as error:
        raise ReviewError(
            f"The export cannot be written to {folder}: {error.strerror}.", hint="`--output` names a folder."
        ) from error
    return result


def _tasks(
    store: Store, dataset: str, version: str, prefix: str, policy: NamedPolicy | None
) -> tuple[list[ReviewTask], int]:
    """Give the tasks that may be exported under a prefix, and how many are left out."""
    is_away = _is_elsewhere(prefix)
    tasks = in_force(store, dataset, version, load_tasks(store, dataset, version))
    if not is_away:
        return tasks, 0
    known = {} if policy is None else standings(store, dataset, version, policy)
    # as it is: a rule that releases a changed picture says nothing about the name of its file
    may_be_named = {key for key, one in known.items() if policy and clear(policy, one, CLOUD) == Clearance()}
    kept = [task for task in tasks if task.image_id in may_be_named]
    return kept, len(tasks) - len(kept)


def _is_elsewhere(prefix: str) -> bool:
    r"""Say whether addresses name a host or bucket; relative ones stay with whoever serves the files.

    Browsers read `/\host/`, `//host/`, `http:host` and tabs in between as the address of another host, so what is
    neither plainly relative nor plainly absolute is refused.

    Raises:
        ReviewError: It is neither.
    """
    if _RELATIVE.fullmatch(prefix):
        return False
    try:
        address = urlsplit(prefix)
        if _PLAIN.fullmatch(prefix) and address.scheme in _AWAY and address.hostname and address.port != 0:
            return True
    except ValueError:
        pass  # no address either
    raise ReviewError(
        f"--prefix {shown(prefix)!r} is no address to put before the path of an image.",
        hint="Give a relative path without // and backslashes, or scheme://host/ with one of " + ", ".join(_AWAY) + ".",
    )


def task_form(task: ReviewTask, prefix: str = LOCAL_FILES_PREFIX) -> dict[str, Any]:
    """Write one task with its drafts as the prediction the editor starts from."""
    scores = [draft.score for draft in task.drafts]
    return {
        "data": {
            "image": prefix + task.path,
            "task_uid": task.task_uid,
            "image_id": task.image_id,
            "dataset": task.dataset,
            "dataset_version": task.dataset_version,
        },
        "predictions": [
            {
                # a digest instead of a name: the editor shows it
                "model_version": task.model_digest[:_DIGEST_DIGITS],
                "score": sum(scores) / len(scores) if scores else 0.0,
                "result": [draft_region(draft, task.width_px, task.height_px) for draft in task.drafts],
            }
        ],
    }


def draft_region(draft: Prediction, width_px: int, height_px: int) -> dict[str, Any]:
    """Write one draft as a result region whose id is the prediction id: that is the lineage."""
    region = {"id": draft.prediction_id, "to_name": IMAGE_OBJECT, "score": draft.score}
    if draft.box is None:
        return region | {"from_name": CHOICE_CONTROL, "type": "choices", "value": {"choices": [draft.label]}}
    x, y, width, height = to_percent(draft.box, width_px, height_px)
    return region | {
        "from_name": BOX_CONTROL,
        "type": "rectanglelabels",
        "original_width": width_px,
        "original_height": height_px,
        "image_rotation": 0,
        "value": {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [draft.label]},
    }


def labelling_config(ontology: Ontology) -> str:
    """Write the labelling configuration: boxes for objects, one choice for the whole image."""
    view = ET.Element("View")
    ET.SubElement(view, "Image", name=IMAGE_OBJECT, value="$image", zoom="true", rotateControl="false")
    _control(view, "RectangleLabels", BOX_CONTROL, "Label", ontology.box_classes)
    _control(view, "Choices", CHOICE_CONTROL, "Choice", ontology.image_classes)
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _control(view: ET.Element, kind: str, name: str, item: str, classes: Sequence[str]) -> None:
    if not classes:
        return
    control = ET.SubElement(view, kind, name=name, toName=IMAGE_OBJECT)
    for label in classes:
        ET.SubElement(control, item, value=label)
