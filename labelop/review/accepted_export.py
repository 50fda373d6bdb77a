"""Accepted labels go to other tools as COCO, CVAT, Pascal VOC or YOLO files: what a release would take, unfrozen.

Labels come through the same door as those of a release. Knows the tables; the formats are those of `labelop.ingest`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from labelop.errors import ReviewError
from labelop.ingest.coco import coco_files
from labelop.ingest.cvat import cvat_files
from labelop.ingest.labelled import Files, LabelledImage, write_files
from labelop.ingest.voc import voc_files
from labelop.ingest.yolo import yolo_files
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.review.label_files import AcceptedFormat
from labelop.review.label_set import accepted_labels, chosen_reviews
from labelop.review.rows import label_of
from labelop.review.tasks import load_ontology
from labelop.roles import Roles
from labelop.runs import current_version

_WRITERS: Mapping[AcceptedFormat, Callable[[Sequence[LabelledImage], Sequence[str]], Files]] = {
    "coco": coco_files,
    "cvat": cvat_files,
    "voc": voc_files,
    "yolo": yolo_files,
}


def export_accepted(
    store: Store, dataset: str, folder: Path, form: AcceptedFormat, *, roles: Roles, with_simulated: bool = False
) -> int:
    """Write the accepted labels of a dataset's current version in the form of another tool.

    Args:
        store: Where they are.
        dataset: Dataset name.
        folder: Is made; must hold nothing.
        form: `coco`, `cvat`, `voc` or `yolo`; docs/how-to/exchange-labels.md says what each drops.
        roles: The roles in force: where a dataset needs a lead's word, only that counts.
        with_simulated: Take reviews that no person made.

    Returns:
        Images written; one may be without labels, which was accepted too.

    Raises:
        RunFailedError: The dataset has never been ingested.
        ReviewError: Nothing was accepted, the format cannot hold it, or the folder is in use or cannot be written.
    """
    version = current_version(store, dataset)
    rows, left_out = chosen_reviews(store, dataset, version, roles, with_simulated=with_simulated)
    if not rows:
        raise ReviewError(
            f"Nothing of {dataset} {version} is accepted: {left_out} images are left out.",
            hint="`labelop review state` says where reviews stand.",
        )
    labels = accepted_labels(store, rows)
    where = equal(dataset=dataset, dataset_version=version)
    splits = {row["path"]: row["split"] for row in read_rows(store, "images", columns=["path", "split"], filters=where)}
    images = [
        LabelledImage(
            row["path"],
            row["width_px"],
            row["height_px"],
            tuple(label_of(value) for value in labels[row["review_id"]]),
            splits.get(row["path"]),
        )
        for row in sorted(rows, key=lambda row: str(row["path"]))
    ]
    known = load_ontology(store, dataset, version).box_classes
    used = sorted({label.label for image in images for label in image.objects})
    files = _WRITERS[form](images, list(dict.fromkeys([*known, *used])))
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ReviewError(f"{folder} holds something else.", hint="`--output` names a new folder.")
        write_files(files, folder)
    except OSError as error:
        raise ReviewError(
            f"The labels cannot be written to {folder}: {error.strerror}.", hint="`--output` names a folder."
        ) from error
    return len(images)
