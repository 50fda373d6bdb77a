"""Accepted labels as one COCO document, in an order that depends on the labels alone.

Knows the format; must not know a store. Boxes are x, y, width, height in pixels of the upright image. COCO has no label
for a whole image, so those stand in `image_labels` of their image; nothing else is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labelop.geometry import to_xywh
from labelop.ids import canonical_json
from labelop.ingest.masks import run_lengths
from labelop.review.rows import label_of


def coco_document(
    dataset: str, version: str, rows: Sequence[Mapping[str, Any]], labels: Mapping[str, Sequence[Mapping[str, Any]]]
) -> bytes:
    """Write labels as COCO JSON.

    Args:
        dataset: Dataset name.
        version: Dataset version.
        rows: One per image: `image_id`, `path` (percent-encoded), `width_px`, `height_px`, `review_id`.
        labels: Nested values of `reviews.labels` by review id.

    Returns:
        Canonical JSON with a newline; equal for equal labels.
    """
    names = sorted({label["label"] for row in rows for label in labels[row["review_id"]] if label["x0_px"] is not None})
    number_of = {name: number for number, name in enumerate(names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, row in enumerate(rows, start=1):
        ordered = sorted(map(label_of, labels[row["review_id"]]), key=lambda one: one.label_id)
        size = [row["height_px"], row["width_px"]]
        images.append(
            {
                "id": number,
                "file_name": row["path"],
                "height": size[0],
                "width": size[1],
                "sha256": row["image_id"],
                "image_labels": [label.label for label in ordered if label.box is None],
            }
        )
        for label in ordered:
            if label.box is not None:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": number_of[label.label],
                        "bbox": list(to_xywh(label.box)),
                        "area": _mask_area(label.mask_rle) if label.mask_rle else label.box.area,
                        "iscrowd": 0,
                        "segmentation": {"counts": label.mask_rle, "size": size} if label.mask_rle else [],
                        "label_id": label.label_id,
                    }
                )
    document = {
        "info": {"description": f"{dataset} {version}"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in number_of.items()],
    }
    return (canonical_json(document) + "\n").encode()


def _mask_area(mask_rle: str) -> int:
    return sum(run_lengths(mask_rle)[1::2])
