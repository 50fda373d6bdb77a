"""COCO object annotations: one JSON file for many images.

Besides the standard keys an image may carry `split` (train, val) and `image_label` (also `land_use`), the class of
the whole image. Boxes are xywh pixels of the upright image. Knows no pixels.

A file written here and read again lacks: ids of labels and of the drafts they came from, vertices of outlines (masks
are run lengths), keypoints, the second and further classes of a whole image, and more than two decimals of a pixel.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from labelop.errors import AnnotationError, UnreadableImageError
from labelop.geometry import Box, to_xywh
from labelop.ids import sha256_hex
from labelop.ingest.labelled import Files, LabelledImage, class_numbers, file_name
from labelop.ingest.masks import mask_of
from labelop.ingest.sources import Resolver, Source
from labelop.ingest.truth import (
    Annotations,
    Fault,
    FaultList,
    ImageTruth,
    KnownImage,
    bad_record,
    checked_box,
    finite,
    split_name,
    with_ids,
)
from labelop.labels import AcceptedLabel
from labelop.strict_text import read_json

_IMAGE_LABEL_KEYS = ("image_label", "land_use")
_EDGES = 4


def read_coco(source: Source, known: Mapping[str, KnownImage]) -> Annotations:
    """Read every annotation file of a COCO source.

    Args:
        source: Holds `annotations.json`, or JSON files in `annotations/`, or the one that was given.
        known: Usable images by encoded path.

    Returns:
        Labels by image path; a file or record that breaks its form is a fault and its siblings are kept.

    Raises:
        AnnotationError: The source has no annotation file.
    """
    paths = [source.given] if source.given else []
    paths = paths or source.side_files("annotations.json") or source.side_files("annotations/*.json")
    if not paths or not {entry.path for entry in source.entries}.issuperset(paths):
        raise AnnotationError(
            f"Source {source.root_uri} has no {source.given or 'annotations.json and no annotations/*.json'}.",
            hint="Give the address of the JSON file, or use --source-format folder.",
        )
    reader = _Reader(source.resolver(), known)
    for path in paths:
        reader.read_file(source, path)
    truths = {
        path: ImageTruth(known[path].image_id, with_ids(known[path].image_id, labels), *reader.notes[path])
        for path, labels in sorted(reader.labels.items())
    }
    return Annotations(tuple(reader.categories), truths, reader.splits, tuple(reader.faults))


def coco_files(images: Sequence[LabelledImage], classes: Sequence[str]) -> Files:
    """Write labels as one `annotations.json`.

    Args:
        images: Images with their accepted labels, in the order they are written.
        classes: Class names of objects, numbered from 1.

    Returns:
        The file; equal for equal labels.

    Raises:
        ReviewError: An object has none of the classes.
    """
    numbers = class_numbers(images, classes, first=1)
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for key, image in enumerate(images, start=1):
        size = {"width": image.width_px, "height": image.height_px}
        notes = {"split": image.split, "image_label": image.image_label}
        records.append({"id": key, "file_name": file_name(image.path), **size})
        records[-1] |= {name: value for name, value in notes.items() if value is not None}
        for label in image.objects:
            box = [round(side, 4) for side in to_xywh(label.box)] if label.box else []
            record = {"id": len(annotations) + 1, "image_id": key, "category_id": numbers[label.label], "bbox": box}
            annotations.append(record | {"area": round(box[2] * box[3], 4), "iscrowd": 0})
            if label.mask_rle:
                size_first = {"size": [image.height_px, image.width_px], "counts": label.mask_rle}
                annotations[-1]["segmentation"] = size_first
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    document = {"images": records, "annotations": annotations, "categories": categories}
    return {"annotations.json": json.dumps(document, indent=1, allow_nan=False).encode() + b"\n"}


@dataclass(slots=True)
class _Reader:
    resolver: Resolver
    known: Mapping[str, KnownImage]
    categories: dict[str, None] = field(default_factory=dict)
    labels: dict[str, list[AcceptedLabel]] = field(default_factory=lambda: defaultdict(list))
    notes: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def read_file(self, source: Source, path: str) -> None:
        faults = FaultList(path)
        try:
            data = source.read(path)
            document = read_json(data)
        except ValueError as error:
            faults.add("#", "BAD_ANNOTATIONS", f"The file {error}.")
        except UnreadableImageError as error:
            faults.add("#", "BAD_ANNOTATIONS", error.message)
        else:
            self._read_document(document, sha256_hex(data), faults)
        self.faults += faults.faults

    def _read_document(self, document: Any, digest: str, faults: FaultList) -> None:
        if not isinstance(document, dict):
            faults.add("#", "BAD_ANNOTATIONS", "The file is no JSON object.")
            return
        parts = {}
        for key in ("categories", "images", "annotations"):
            part = document.get(key, [] if key == "annotations" else None)
            if not isinstance(part, list):
                faults.add(f"/{key}", "BAD_ANNOTATIONS", f"Expected a list of {key}, got {type(part).__name__}.")
            parts[key] = part if isinstance(part, list) else []
        names = _categories(parts["categories"], faults)
        self.categories.update(dict.fromkeys(names.values()))
        images = self._images(parts["images"], digest, PurePosixPath(faults.path), faults)
        self._annotations(parts["annotations"], names, images, faults)

    def _images(self, records: list[Any], digest: str, file: PurePosixPath, faults: FaultList) -> dict[int, str | None]:
        """Find the file of each image id; None for images whose own record was refused."""
        images: dict[int, str | None] = {}
        base = "" if str(file.parent) == "." else f"{file.parent}/"
        for number, record in enumerate(records):
            pointer = f"/images/{number}"
            key = record.get("id") if isinstance(record, dict) else None
            if type(key) is not int or key in images:
                faults.add(pointer, "BAD_RECORD", f"An image needs an id of its own, got {key!r:.80}.")
                continue
            images[key] = None
            name = record.get("file_name")
            path = self.resolver.find(name, base) if isinstance(name, str) else None
            if path is None:
                faults.add(pointer, "MISSING_IMAGE", f"No file of the source is called {name!r:.200}.")
                continue
            if (split := split_name(record.get("split"))) is not None:
                self.splits[path] = split
            if faults.image_of(pointer, path, (record.get("width"), record.get("height")), self.known) is None:
                continue
            images[key] = path
            self.labels[path] += []
            self.notes[path] = (_image_label(record), digest)
        return images

    def _annotations(
        self, records: list[Any], names: Mapping[int, str], images: Mapping[int, str | None], faults: FaultList
    ) -> None:
        seen: set[int] = set()
        for number, record in enumerate(records):
            pointer = f"/annotations/{number}"
            image_key = record.get("image_id") if isinstance(record, dict) else None
            if type(image_key) is not int or image_key not in images:
                faults.add(pointer, "BAD_RECORD", f"An annotation names the image {image_key!r:.80}, which is unknown.")
                continue
            path = images[image_key]
            if path is None:
                continue  # the fault of its image stands for it
            image = self.known[path]
            key = record.get("id")
            if type(key) is int and key in seen:
                faults.add(pointer, "BAD_RECORD", f"The annotation id {key} is used twice.", image.image_id)
                continue
            if type(key) is int:
                seen.add(key)
            label = faults.attempt(pointer, partial(_label, record, names, image), image.image_id)
            if label is not None:
                self.labels[path].append(label)


def _label(record: Mapping[str, Any], names: Mapping[int, str], image: KnownImage) -> AcceptedLabel:
    category = record.get("category_id")
    if type(category) is not int or category not in names:
        raise bad_record("UNKNOWN_CATEGORY", f"Category {category!r:.80} is not one of {sorted(names)}.")
    if record.get("iscrowd", 0) not in (0, False):
        raise bad_record("CROWD", "A crowd region is no single object.")
    box = _box(record.get("bbox"), image)
    mask = mask_of(record.get("segmentation"), image.width_px, image.height_px)
    return AcceptedLabel("", names[category], box, mask)


def _box(bbox: Any, image: KnownImage) -> Box:
    sides = [finite(side) for side in bbox] if isinstance(bbox, list) else []
    if len(sides) != _EDGES or any(side is None for side in sides):
        raise bad_record("BAD_BOX", f"Box {bbox!r:.120} is not x, y, width, height as four finite numbers.")
    x, y, width, height = (side for side in sides if side is not None)
    return checked_box((x, y, x + width, y + height), image)


def _categories(records: list[Any], faults: FaultList) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, record in enumerate(records):
        key, name = (record.get("id"), record.get("name")) if isinstance(record, dict) else (None, None)
        if type(key) is not int or key in names or not isinstance(name, str) or not name:
            faults.add(f"/categories/{number}", "BAD_RECORD", "A category needs a name and an id of its own.")
            continue
        names[key] = name
    return names


def _image_label(record: Mapping[str, Any]) -> str | None:
    values = (record.get(key) for key in _IMAGE_LABEL_KEYS)
    return next((value for value in values if isinstance(value, str) and value), None)
