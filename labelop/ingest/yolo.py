"""YOLO labels: one text file per image, a class number and shares of the image in each line.

`images/train/a.jpg` has its labels in `labels/train/a.txt`, `train/images/a.jpg` in `train/labels/a.txt`, and `a.jpg`
in `a.txt`; class names are in `data.yaml` or `classes.txt`. A line of more than five values is a polygon, or
a box with keypoints where `data.yaml` has `kpt_shape`: these are left out. An image without a file has no truth; an
empty file says that there is nothing.

Files written here and read again lack: masks, outlines, keypoints, classes of the whole image, ids of labels and of the
drafts they came from, more than two decimals of a pixel, and a split that the path of the image does not tell.
"""

from __future__ import annotations

import codecs
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import yaml

from labelop.errors import AnnotationError
from labelop.geometry import Box
from labelop.ids import sha256_hex
from labelop.ingest.gathering import Gathering
from labelop.ingest.labelled import Files, LabelledImage, class_numbers, one_file_each
from labelop.ingest.masks import polygons_mask
from labelop.ingest.sources import Source
from labelop.ingest.truth import (
    Annotations,
    FaultList,
    KnownImage,
    bad_record,
    checked_box,
    class_name,
    finite,
    number_of,
    split_name,
)
from labelop.labels import AcceptedLabel, Ontology
from labelop.strict_text import MAX_BYTES, MAX_YAML_BYTES, read_yaml

_BOX_VALUES = 4
_MOST_KEYPOINTS = 1000


def read_yolo(source: Source, known: Mapping[str, KnownImage], ontology: Ontology | None = None) -> Annotations:
    """Read the label files of a YOLO source.

    Args:
        source: Holds label files and `data.yaml` or `classes.txt`.
        known: Usable images by encoded path.
        ontology: Classes that labels of a review may have; None for truth.

    Returns:
        Labels by image path; a line that breaks its form is a fault and its siblings are kept.

    Raises:
        AnnotationError: The class names are missing or break their form, or there is no label file.
    """
    gathering = Gathering(source, known, ontology)
    classes, keypoint_numbers = _description(gathering)
    images: dict[str, list[str]] = defaultdict(list)
    for file in source.found():
        images[_label_path(file.path)].append(file.path)
        if (split := _split_of(file.path)) is not None:
            gathering.splits[file.path] = split
    paths = [path for path in source.below("", ".txt") if path in images or _is_label_file(path)]
    if not paths:
        raise AnnotationError(
            f"Source {source.root_uri} has no label file for any image.",
            hint="Labels of images/a.jpg are in labels/a.txt; use --source-format folder for bare images.",
        )
    read_line = partial(_label, classes, keypoint_numbers)
    for path in paths:
        gathering.read(path, MAX_BYTES, partial(_read_labels, gathering, images[path], read_line))
    return gathering.annotations(classes.values())


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


def _read_labels(
    gathering: Gathering,
    images: Sequence[str],
    read_line: Callable[[KnownImage, list[bytes]], AcceptedLabel],
    data: bytes,
    notes: FaultList,
) -> None:
    if not images:
        notes.add("#", "MISSING_IMAGE", "No image belongs to this label file.")
        return
    if len(images) > 1:
        notes.add("#", "BAD_RECORD", f"{' and '.join(images)} would share these labels: none of them gets any.")
        return
    [path] = images
    image = gathering.claim(notes, "#", path)
    if image is None:
        return
    labels = [
        notes.attempt(f"line {number}", partial(read_line, image, words), image.image_id)
        for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).splitlines(), start=1)
        if (words := line.split())
    ]
    gathering.settle(notes, "#", path, labels, sha256_hex(data))


def _label(classes: Mapping[int, str], keypoint_numbers: int, image: KnownImage, words: list[bytes]) -> AcceptedLabel:
    key = int(words[0]) if words[0].isdigit() and len(words[0]) < 10 else None  # noqa: PLR2004 - more is no class
    if key is None or key not in classes:
        raise bad_record("UNKNOWN_CATEGORY", f"Class {words[0]!r:.40} is none of the {len(classes)} that are named.")
    shares = [_number(word) for word in words[1:]]
    if any(share is None for share in shares) or len(shares) < _BOX_VALUES:
        raise bad_record("BAD_BOX", "The line is not a class and at least four finite numbers.")
    values = [share for share in shares if share is not None]
    if keypoint_numbers and len(values) == _BOX_VALUES + keypoint_numbers:
        values = values[:_BOX_VALUES]
    width, height = image.width_px, image.height_px
    if len(values) == _BOX_VALUES:
        cx, cy, w, h = values
        edges = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
        return AcceptedLabel("", classes[key], checked_box(edges, image))
    if len(values) % 2 or keypoint_numbers:
        raise bad_record("BAD_MASK", f"{len(values)} numbers are no box and no polygon of x, y pairs.")
    points = [value * (height if number % 2 else width) for number, value in enumerate(values)]
    xs, ys = points[::2], points[1::2]
    box = checked_box((min(xs), min(ys), max(xs), max(ys)), image)
    return AcceptedLabel("", classes[key], box, polygons_mask([points], width, height))


def _number(word: bytes) -> float | None:
    return finite(number_of(word.decode("utf-8", "replace")))


def _label_path(image_path: str) -> str:
    *folders, name = PurePosixPath(image_path).parts
    if "images" in folders:
        at = len(folders) - 1 - folders[::-1].index("images")
        folders[at] = "labels"
    return str(PurePosixPath(*folders, name).with_suffix(".txt"))


def _is_label_file(path: str) -> bool:
    *folders, name = PurePosixPath(path.lower()).parts
    return "labels" in folders and name != "classes.txt"


def _split_of(path: str) -> str | None:
    return next((split for part in PurePosixPath(path).parts[:-1] if (split := split_name(part)) is not None), None)


def _description(gathering: Gathering) -> tuple[dict[int, str], int]:
    """Read the names of the classes, and how many numbers of keypoints stand behind a box."""
    source = gathering.source
    for path in source.side_files("data.yaml"):
        try:
            document = read_yaml(source.read(path))
        except ValueError as error:
            raise AnnotationError(f"File {path} of {source.root_uri} {error}.") from error
        found = document if isinstance(document, dict) else {}
        shape = found.get("kpt_shape", [0])
        if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < _MOST_KEYPOINTS for size in shape):
            raise AnnotationError(f"File {path} of {source.root_uri}, key kpt_shape: expected a list of two numbers.")
        names = found.get("names")
        if isinstance(names, list | dict) and found.get("nc", len(names)) != len(names):
            raise AnnotationError(
                f"File {path} of {source.root_uri}: key nc is {found['nc']!r:.80} and there are {len(names)} names.",
                hint="Put right what is wrong of the two.",
            )
        return _checked(names, path, gathering), math.prod(shape)
    for path in (*source.side_files("classes.txt"), *source.side_files("labels/classes.txt")):
        lines = source.read(path, MAX_YAML_BYTES).removeprefix(codecs.BOM_UTF8).splitlines()
        # the number of a class is that of its line, so that an empty one counts
        texts = {at: line.decode("utf-8", "surrogateescape") for at, line in enumerate(lines) if line.strip()}
        return _checked(texts, path, gathering), 0
    raise AnnotationError(
        f"Source {source.root_uri} has neither data.yaml nor classes.txt.", hint="YOLO labels need their class names."
    )


def _checked(value: Any, path: str, gathering: Gathering) -> dict[int, str]:
    """Give the names by number; one that is none is a fault, and so is every label of it."""
    pairs = dict(enumerate(value)) if isinstance(value, list) else value
    found = {key: class_name(text) for key, text in pairs.items()} if isinstance(pairs, dict) else {}
    if not any(found.values()) or not all(type(key) is int for key in found):
        raise AnnotationError(
            f"File {path} of {gathering.source.root_uri}, key names: expected a list of names or a map from number to "
            "name."
        )
    notes = FaultList(path)
    for key in sorted(key for key, name in found.items() if name is None):
        notes.add(f"class {key}", "BAD_RECORD", "The class has no name that a table can hold.")
    gathering.faults += notes.told()
    return {key: name for key, name in sorted(found.items()) if name is not None}
