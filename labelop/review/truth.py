"""Labels that came with a source become imported reviews, so that truth is read in one place whatever its format.

Knows the manifest and the `reviews` table; nobody is said to have spent time on these labels.
"""

from __future__ import annotations

from labelop.ids import row_id
from labelop.ingest.manifest import Manifest
from labelop.ingest.truth import ImageTruth
from labelop.labels import AcceptedLabel
from labelop.landing.rows import rows_to_table
from labelop.landing.store import Store, land
from labelop.review.rows import label_columns, review_row

IMPORT_ARM = "import"
"""Value of `reviews.arm` for labels that came with a source."""


def land_truths(store: Store, manifest: Manifest, tool: str, run_id: str) -> bool:
    """Land the labels a source brought as approved reviews of the arm `import`.

    Args:
        store: Where.
        manifest: What was found; its truths may be empty, and then nothing is landed.
        tool: Format the labels came in: `coco`, `voc` or `yolo`.
        run_id: Run that lands them.

    Returns:
        True when this call landed them, False when they were there before or there are none.
    """
    chosen: dict[str, ImageTruth] = {}
    for truth in sorted(manifest.truths, key=lambda t: (t.image_id, t.source_digest)):
        # the same bytes under two names are one image; the first truth in canonical order stands
        chosen.setdefault(truth.image_id, truth)
    if not chosen:
        return False
    reviews = [(truth_review_id(manifest.dataset_version, truth.image_id), truth) for truth in chosen.values()]
    rows = rows_to_table(
        "reviews",
        [
            review_row(
                review_id=review_id,
                dataset=manifest.dataset,
                dataset_version=manifest.dataset_version,
                image_id=truth.image_id,
                arm=IMPORT_ARM,
                labels=(),
                tool=tool,
                source_digest=truth.source_digest,
                run_id=run_id,
            )
            for review_id, truth in reviews
        ],
    )
    columns = label_columns([truth_labels(truth, review_id) for review_id, truth in reviews])
    for name, column in columns.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    return land(store, "reviews", rows, key=f"truths:{manifest.dataset}:{manifest.dataset_version}:{tool}")


def truth_review_id(dataset_version: str, image_id: str) -> str:
    """Name the imported review of an image; without the tool, since an image has one truth."""
    return row_id("r", dataset_version, image_id, IMPORT_ARM)


def truth_labels(truth: ImageTruth, review_id: str) -> tuple[AcceptedLabel, ...]:
    """Gather the labels of one image; a label of the whole image that is not among them is added."""
    labels = truth.labels
    if truth.image_label is not None and not any(label.box is None for label in labels):
        labels = (*labels, AcceptedLabel(row_id("l", review_id, "image", truth.image_label), truth.image_label))
    return labels
