"""The form of a Label Studio task: drafts as the predictions its editor starts from, and the labelling configuration.

Knows the task format of Label Studio 1.x (boxes in percent of the upright image, masks in its brush's run lengths) and
nothing of its server. A task says neither arm nor model by name: reviewers must not know what they compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from labelop.errors import AnnotationError, ReviewError
from labelop.geometry import to_percent
from labelop.labels import Ontology, Prediction
from labelop.review import brush
from labelop.review.annotation_forms import CLICK_CONTROL, PROMPT_CONTROL
from labelop.review.tasks import ReviewTask

DRAFTS = "drafts"
"""Model version of every draft, whatever its model: the editor shows it, and the server's stream of tasks hides drafts
of any other version than the one a project has."""

LOCAL_FILES_PREFIX = "/data/local-files/?d="
"""Where Label Studio serves files of its local storage; the percent-encoded relative path follows."""

BOX_CONTROL, MASK_CONTROL, CHOICE_CONTROL, IMAGE_OBJECT = "box", "mask", "image_label", "image"
"""Names of the controls in the labelling configuration; results refer to them."""

_PROMPT = {"smart": "true", "smartOnly": "true"}

_BUCKETS = ("s3://", "gs://", "azure-blob://")
"""Addresses in which a name stands as it is."""


def task_form(task: ReviewTask, prefix: str = LOCAL_FILES_PREFIX, *, masks: bool = False) -> dict[str, Any]:
    """Write one task with its drafts as the prediction the editor starts from.

    Args:
        task: What is to be reviewed.
        prefix: Goes before the path of the image.
        masks: Whether a draft that has a mask is shown as its mask; else as its box.

    Raises:
        ReviewError: The mask of a draft is broken.
    """
    scores = [draft.score for draft in task.drafts]
    return {
        "data": {
            "image": prefix + (unquote(task.path) if prefix.startswith(_BUCKETS) else task.path),
            "task_uid": task.task_uid,
            "image_id": task.image_id,
            "dataset": task.dataset,
            "dataset_version": task.dataset_version,
        },
        "predictions": [
            {
                "model_version": DRAFTS,
                "score": sum(scores) / len(scores) if scores else 0.0,
                "result": [draft_region(d, task.width_px, task.height_px, masks=masks) for d in task.drafts],
            }
        ],
    }


def draft_region(draft: Prediction, width_px: int, height_px: int, *, masks: bool = False) -> dict[str, Any]:
    """Write one draft as a result region whose id is the prediction id: that is the lineage.

    Raises:
        ReviewError: Its mask is wanted and broken.
    """
    region = {"id": draft.prediction_id, "to_name": IMAGE_OBJECT, "score": draft.score}
    if draft.box is None:
        return region | {"from_name": CHOICE_CONTROL, "type": "choices", "value": {"choices": [draft.label]}}
    region |= {"original_width": width_px, "original_height": height_px, "image_rotation": 0}
    if masks and draft.mask_rle is not None:
        try:
            rle = brush.encode(brush.from_counts(draft.mask_rle, width_px, height_px))
        except (AnnotationError, ValueError) as error:
            raise ReviewError(f"The mask of prediction {draft.prediction_id} is broken: {error}.") from error
        value = {"format": "rle", "rle": rle, "brushlabels": [draft.label]}
        return region | {"from_name": MASK_CONTROL, "type": "brushlabels", "value": value}
    x, y, width, height = to_percent(draft.box, width_px, height_px)
    return region | {
        "from_name": BOX_CONTROL,
        "type": "rectanglelabels",
        "value": {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [draft.label]},
    }


def labelling_config(ontology: Ontology, *, masks: bool = False, smart: bool = False) -> str:
    """Write the labelling configuration: boxes for objects, a brush where masks are wanted, a choice for the image.

    Args:
        ontology: Classes to choose from.
        masks: Whether there is a brush.
        smart: Whether clicks and boxes of their own ask an ML backend for a mask; they leave no region, and need the
            brush.
    """
    view = ET.Element("View")
    ET.SubElement(view, "Image", name=IMAGE_OBJECT, value="$image", zoom="true", rotateControl="false")
    plain = {"smart": "false"} if smart else {}  # else the editor offers them as prompts too
    controls = [("RectangleLabels", BOX_CONTROL, "Boxes", plain)]
    if masks:
        controls.append(("BrushLabels", MASK_CONTROL, "Masks by brush", plain))
    if masks and smart:
        controls.append(("KeyPointLabels", CLICK_CONTROL, "Masks by click", _PROMPT))
        controls.append(("RectangleLabels", PROMPT_CONTROL, "Masks by box", _PROMPT))
    for kind, name, title, more in controls if ontology.box_classes else ():
        if smart:  # four rows of the same classes
            ET.SubElement(view, "Header", value=title, size="6")
        _control(view, kind, name, "Label", ontology.box_classes, **more)
    _control(view, "Choices", CHOICE_CONTROL, "Choice", ontology.image_classes)
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _control(view: ET.Element, kind: str, name: str, item: str, classes: Sequence[str], **more: str) -> None:
    if not classes:
        return
    control = ET.SubElement(view, kind, {"name": name, "toName": IMAGE_OBJECT} | more)
    for label in classes:
        ET.SubElement(control, item, value=label)
