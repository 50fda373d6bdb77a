"""YOLO labels: one text file per image, a class number and shares of the image in each line.

`images/train/a.jpg` has its labels in `labels/train/a.txt`; class names are in `data.yaml` or `classes.txt`. A line of
more than five values is a polygon. An image without a file has no truth; an empty file says that there is nothing.

Files written here and read again lack: masks, outlines, keypoints, classes of the whole image, ids of labels and of the
drafts they came from, more than two decimals of a pixel, and a split that the path of the image does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import yaml

from labelop.errors import AnnotationError, UnreadableImageError
from labelop.geometry import Box
from labelop.ids import sha256_hex
from labelop.ingest.labelled import Files, LabelledImage, class_numbers, one_file_each
from labelop.ingest.masks import polygons_mask
from labelop.ingest.sources import Source
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
from labelop.strict_text import read_yaml

_BOX_VALUES = 4
_IMAGES, _LABELS = "images/", "labels/"


def read_yolo(source: Source, known: Mapping[str, KnownImage]) -> Annotations:
    """Read the label files of a YOLO source.

    Args:
        source: Holds `labels/` and `data.yaml` or `classes.txt`.
        known: Usable images by encoded path.

    Returns:
        Labels by image path; a line that breaks its form is a fault and its siblings are kept.

    Raises:
        AnnotationError: The class names are missing or break their form.
    """
    classes = _class_names(source)
    label_files = set(source.below("", ".txt"))
    truths: dict[str, ImageTruth] = {}
    faults: list[Fault] = []
    for path, image in sorted(known.items()):
        label_path = _label_path(path)
        if label_path not in label_files:
            continue
        notes = FaultList(label_path)
        try:
            data = source.read(label_path)
        except UnreadableImageError as error:
            notes.add("#", "BAD_ANNOTATIONS", error.message, image.image_id)
        else:
            truths[path] = ImageTruth(image.image_id, _labels(data, classes, image, notes), None, sha256_hex(data))
        faults += notes.faults
    splits = {file.path: split for file in source.found() if (split := _split_of(file.path)) is not None}
    wanted = {_label_path(file.path) for file in source.found()}
    faults += [
        Fault(path, "#", "MISSING_IMAGE", "No image belongs to this label file.")
        for path in sorted(label_files - wanted)
        if path.startswith(_LABELS) and path != f"{_LABELS}classes.txt"
    ]
    return Annotations(tuple(classes.values()), truths, splits, tuple(faults))


def yolo_files(images: Sequence[LabelledImage], classes: Sequence[str]) -> Files:
    """Write labels as one text file per image beside a tree of images, and `data.yaml`.

    Args:
        images: Images with their accepted labels.
        classes: Class names of objects, numbered from 0.

    Returns:
        The files by encoded path, equal for equal labels; an image without objects has an empty file.

    Raises:
        ReviewError: An object has none of the classes, or two images have one stem in one folder.
    """
    numbers = class_numbers(images, classes, first=0)
    place = {image.path: _label_path(image.path) for image in images}
    one_file_each(images, place, "YOLO")
    described = yaml.safe_dump({"names": dict(enumerate(classes))}, allow_unicode=True, sort_keys=True)
    files = {"data.yaml": described.encode()}
    for image in images:
        lines = [_line(numbers[label.label], label.box, image) for label in image.objects if label.box is not None]
        files[place[image.path]] = "".join(f"{line}\n" for line in lines).encode()
    return files


def _line(number: int, box: Box, image: LabelledImage) -> str:
    width, height = image.width_px, image.height_px
    shares = (
        (box.x0 + box.x1) / 2 / width,
        (box.y0 + box.y1) / 2 / height,
        (box.x1 - box.x0) / width,
        (box.y1 - box.y0) / height,
    )
    return " ".join([str(number), *(f"{share:.9f}" for share in shares)])


def _labels(data: bytes, classes: Mapping[int, str], image: KnownImage, faults: FaultList) -> tuple[AcceptedLabel, ...]:
    labels = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        words = line.split()
        if not words:
            continue
        label = faults.attempt(f"line {number}", partial(_label, words, classes, image), image.image_id)
        if label is not None:
            labels.append(label)
    return with_ids(image.image_id, labels)


def _label(words: list[bytes], classes: Mapping[int, str], image: KnownImage) -> AcceptedLabel:
    key = int(words[0]) if words[0].isdigit() and len(words[0]) < 10 else None  # noqa: PLR2004 - more is no class
    if key is None or key not in classes:
        raise bad_record("UNKNOWN_CATEGORY", f"Class {words[0]!r:.40} is not one of {sorted(classes)}.")
    shares = [_number(word) for word in words[1:]]
    if any(share is None for share in shares) or len(shares) < _BOX_VALUES:
        raise bad_record("BAD_BOX", "The line is not a class and at least four finite numbers.")
    values = [share for share in shares if share is not None]
    width, height = image.width_px, image.height_px
    if len(values) == _BOX_VALUES:
        cx, cy, w, h = values
        edges = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
        return AcceptedLabel("", classes[key], checked_box(edges, image))
    if len(values) % 2:
        raise bad_record("BAD_MASK", f"A polygon of {len(values)} numbers is not made of x, y pairs.")
    points = [value * (height if number % 2 else width) for number, value in enumerate(values)]
    xs, ys = points[::2], points[1::2]
    box = checked_box((min(xs), min(ys), max(xs), max(ys)), image)
    return AcceptedLabel("", classes[key], box, polygons_mask([points], width, height))


def _number(word: bytes) -> float | None:
    try:
        return finite(float(word))
    except ValueError:
        return None


def _label_path(image_path: str) -> str:
    inside = _LABELS + image_path.removeprefix(_IMAGES) if image_path.startswith(_IMAGES) else image_path
    return str(PurePosixPath(inside).with_suffix(".txt"))


def _split_of(path: str) -> str | None:
    return next((split for part in PurePosixPath(path).parts[:-1] if (split := split_name(part)) is not None), None)


def _class_names(source: Source) -> dict[int, str]:
    for path in source.side_files("data.yaml"):
        try:
            document = read_yaml(source.read(path))
        except ValueError as error:
            raise AnnotationError(f"File {path} of {source.root_uri} {error}.") from error
        return _checked(document.get("names") if isinstance(document, dict) else None, path, source)
    for path in (*source.side_files("classes.txt"), *source.side_files("labels/classes.txt")):
        lines = source.read(path).decode("utf-8-sig", "replace").split("\n")
        return _checked([line.strip() for line in lines if line.strip()], path, source)
    raise AnnotationError(
        f"Source {source.root_uri} has neither data.yaml nor classes.txt.", hint="YOLO labels need their class names."
    )


def _checked(value: Any, path: str, source: Source) -> dict[int, str]:
    pairs = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(pairs, dict) or not all(type(k) is int and isinstance(v, str) and v for k, v in pairs.items()):
        raise AnnotationError(
            f"File {path} of {source.root_uri}, key names: expected a list of names or a map from number to name."
        )
    return dict(sorted(pairs.items()))
