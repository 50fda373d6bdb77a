"""COCO object annotations: one JSON file for many images.

Besides the standard keys an image may carry `split` (train, val) and `image_label` (also `land_use`, or several in
`image_labels`), the class of the whole image. A file without one of the lists `images`, `categories` and `annotations`
is refused: an image is without objects only where the list of them says so. Boxes are xywh pixels of the upright image.
Knows no pixels.

A file written here and read again lacks: ids of labels and of the drafts they came from, vertices of outlines (masks
are run lengths), keypoints, the second and further classes of a whole image, and more than two decimals of a pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from labelop.errors import AnnotationError
from labelop.geometry import Box, to_xywh
from labelop.ids import digest_of_file
from labelop.ingest.gathering import Gathering
from labelop.ingest.labelled import Files, LabelledImage, class_numbers, file_name
from labelop.ingest.masks import extent, lie_apart, mask_of
from labelop.ingest.sources import Source
from labelop.ingest.truth import (
    Annotations,
    FaultList,
    KnownImage,
    bad_record,
    checked_box,
    class_name,
    finite,
)
from labelop.labels import AcceptedLabel, Ontology
from labelop.streamed_text import MAX_FILE_BYTES, json_records

_IMAGE_LABEL_KEYS = ("image_label", "land_use")
_EDGES = 4


def read_coco(source: Source, known: Mapping[str, KnownImage], ontology: Ontology | None = None) -> Annotations:
    """Read every annotation file of a COCO source.

    Args:
        source: Holds `annotations.json`, or JSON files in `annotations/`, or the one that was given.
        known: Usable images by encoded path.
        ontology: Classes that labels of a review may have; None for truth.

    Returns:
        Labels by image path; a file or record that breaks its form is a fault and its siblings are kept.

    Raises:
        AnnotationError: The source has no annotation file.
    """
    if source.given:
        paths = [path for path in (entry.path for entry in source.entries) if path == source.given]
    else:
        paths = [*source.side_files("annotations.json"), *source.side_files("annotations/*.json")]
    if not paths:
        raise AnnotationError(
            f"Source {source.root_uri} has no {source.given or 'annotations.json and no annotations/*.json'}.",
            hint="Give the address of the JSON file, or use --source-format folder.",
        )
    gathering = Gathering(source, known, ontology)
    categories: dict[str, None] = {}
    for path in paths:
        gathering.stream(path, MAX_FILE_BYTES, partial(_read_document, gathering, categories))
    return gathering.annotations(categories)


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
class _Image:
    """An image record, and what stands in its file about it."""

    pointer: str
    path: str | None
    """Encoded path; None for an image whose record was refused: that fault stands for all its labels."""
    whole: tuple[str, ...] = ()
    labels: list[AcceptedLabel | None] = field(default_factory=list)


def _read_document(gathering: Gathering, categories: dict[str, None], file: BinaryIO, notes: FaultList) -> None:
    names = _categories(_records(file, "categories"), notes)
    categories.update(dict.fromkeys(names.values()))
    images = _images(gathering, _records(file, "images"), notes)
    strays = _annotations(gathering.known, _records(file, "annotations"), names, images, notes)
    digest = digest_of_file(file)
    for image in images.values():
        if image.path is not None:
            # a label that names no image may be one of an image that seems to have none
            labels, image.labels = image.labels or [None] * strays, []  # they get ids, and need not be there twice
            gathering.settle(notes, image.pointer, image.path, labels, digest, whole=image.whole)


def _records(file: BinaryIO, wanted: str) -> Iterator[tuple[str, Any]]:
    """Give pointer and record of one list of a document that has all three."""
    found = json_records(file, ("categories", "images", "annotations"))
    return ((f"/{name}/{number}", record) for name, number, record in found if name == wanted)


def _images(gathering: Gathering, records: Iterable[tuple[str, Any]], notes: FaultList) -> dict[int, _Image]:
    file = PurePosixPath(notes.path)
    base = "" if str(file.parent) == "." else f"{file.parent}/"
    resolver = gathering.source.resolver()
    images: dict[int, _Image] = {}
    for pointer, record in records:
        key = record.get("id") if isinstance(record, dict) else None
        if type(key) is not int:
            notes.add(pointer, "BAD_RECORD", f"An image needs a number as id, got {key!r:.80}.")
            continue
        name = record.get("file_name")
        path = resolver.find(name, base) if isinstance(name, str) else None
        if (first := images.get(key)) is not None:
            notes.add(pointer, "BAD_RECORD", f"The image id {key} is used twice.")
            if first.path is not None and first.path != path:
                # nobody knows whose its labels are
                notes.add(first.pointer, "BAD_RECORD", f"The image id {key} is used twice.")
                first.path = None
            continue
        images[key] = _Image(pointer, None)
        if path is None:
            notes.add(pointer, "MISSING_IMAGE", f"No file of the source is called {name!r:.200}.")
            continue
        gathering.put_split(notes, pointer, path, record.get("split"))
        if gathering.claim(notes, pointer, path, (record.get("width"), record.get("height"))) is not None:
            whole, refused = _whole(pointer, record, notes)
            images[key] = _Image(pointer, path, whole, refused)
    return images


def _annotations(
    known: Mapping[str, KnownImage],
    records: Iterable[tuple[str, Any]],
    names: Mapping[int, str],
    images: Mapping[int, _Image],
    notes: FaultList,
) -> bool:
    """Add labels to their images; say whether there were some that name no image."""
    seen: set[Any] = set()
    strays = False
    for pointer, record in records:
        key = record.get("image_id") if isinstance(record, dict) else None
        if type(key) is not int or key not in images:
            notes.add(pointer, "BAD_RECORD", f"An annotation names the image {key!r:.80}, which is unknown.")
            strays = True
            continue
        found = images[key]
        if found.path is None:
            continue
        image = known[found.path]
        label = notes.attempt(pointer, partial(_label, record, names, image, seen), image.image_id)
        found.labels.append(label)
        points = record.get("keypoints")
        if label is not None and isinstance(points, list) and any(points):
            said = "Keypoints have no place in a label: they are left out, the box is kept."
            notes.add(f"{pointer}/keypoints", "KEYPOINTS", said, image.image_id)
    return strays


def _label(record: Mapping[str, Any], names: Mapping[int, str], image: KnownImage, seen: set[Any]) -> AcceptedLabel:
    key = record.get("id")
    if isinstance(key, dict | list) or key in seen:
        raise bad_record("BAD_RECORD", f"The annotation id {key!r:.80} is used twice, or is none.")
    if key is not None:
        seen.add(key)
    category = record.get("category_id")
    if type(category) is not int or category not in names:
        raise bad_record("UNKNOWN_CATEGORY", f"Category {category!r:.80} is none of the file's {len(names)}.")
    if record.get("iscrowd") not in (None, 0, False):
        raise bad_record("CROWD", "A crowd region is no single object.")
    box = _box(record.get("bbox"), image)
    mask = mask_of(record.get("segmentation"), image.width_px, image.height_px)
    if mask is not None:
        painted = extent(mask, image.height_px)
        if lie_apart(box.xyxy, painted):
            raise bad_record("BAD_MASK", f"Box {list(box.xyxy)} and mask {list(painted)} lie apart.")
    return AcceptedLabel("", names[category], box, mask)


def _box(bbox: Any, image: KnownImage) -> Box:
    sides = [finite(side) for side in bbox] if isinstance(bbox, list) else []
    if len(sides) != _EDGES or any(side is None for side in sides):
        raise bad_record("BAD_BOX", f"Box {bbox!r:.120} is not x, y, width, height as four finite numbers.")
    x, y, width, height = (side for side in sides if side is not None)
    return checked_box((x, y, x + width, y + height), image)


def _categories(records: Iterable[tuple[str, Any]], notes: FaultList) -> dict[int, str]:
    names: dict[int, str | None] = {}
    for pointer, record in records:
        key, text = (record.get("id"), record.get("name")) if isinstance(record, dict) else (None, None)
        name = class_name(text)
        if type(key) is not int or name is None:
            notes.add(pointer, "BAD_RECORD", f"A category needs a number as id and a name, got {text!r:.80}.")
        elif key in names:
            notes.add(pointer, "BAD_RECORD", f"The category id {key} is used twice.")
            # of two names nobody knows which is meant
            names[key] = name if names[key] == name else None
        else:
            names[key] = name
    return {key: name for key, name in names.items() if name is not None}


def _whole(
    pointer: str, record: Mapping[str, Any], notes: FaultList
) -> tuple[tuple[str, ...], list[AcceptedLabel | None]]:
    """Read classes of the whole image: one text, or the list of texts that a release has; None for each refused."""
    given = [(key, record[key]) for key in _IMAGE_LABEL_KEYS if record.get(key) not in (None, "")]
    several = record.get("image_labels") or []
    given += [("image_labels", text) for text in (several if isinstance(several, list) else [several])]
    read = [(key, class_name(text)) for key, text in given]
    refused = [key for key, name in read if name is None]
    for key in refused:
        notes.add(f"{pointer}/{key}", "BAD_RECORD", "A class of the whole image is no name.")
    return tuple(dict.fromkeys(name for _, name in read if name is not None)), [None] * len(refused)
