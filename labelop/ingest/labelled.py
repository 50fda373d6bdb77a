"""Labels on their way out: what the writers of all annotation formats are given, and what they share.

Writers are pure: they give the bytes of each file by its path, and whoever asks writes, digests or zips them.
Boxes are those of the upright image, as everywhere; every file declares that size, so a tool that does not turn images
upright sees at once that it must. Knows no format.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from labelop.errors import ReviewError
from labelop.ingest import names
from labelop.labels import AcceptedLabel

Files = dict[str, bytes]
"""Content by percent-encoded relative path, the same form as the paths of images."""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image with its accepted labels."""

    path: str
    """Percent-encoded path below the source root."""
    width_px: int
    """Width of the upright image."""
    height_px: int
    """Height of the upright image."""
    labels: tuple[AcceptedLabel, ...]
    """Objects, and labels of the whole image; empty when there is nothing in it."""
    split: str | None = None
    """train | val, or None."""

    @property
    def objects(self) -> tuple[AcceptedLabel, ...]:
        """Labels that have a place in the image."""
        return tuple(label for label in self.labels if label.box is not None)

    @property
    def image_label(self) -> str | None:
        """Class of the whole image, the first where there are several."""
        return next((label.label for label in self.labels if label.box is None), None)


def file_name(path: str) -> str:
    """Write an encoded path as text for a file: itself decoded, or encoded where text cannot hold it."""
    name = names.readable(path)
    return name if names.is_writable(name) else path


def write_files(files: Files, folder: Path) -> None:
    """Write files below a folder, which is made when it is not there.

    Raises:
        ManifestError: A path leaves the folder.
        OSError: A file cannot be written.
    """
    for path, content in files.items():
        target = folder.joinpath(*(os.fsdecode(part) for part in names.components(path)))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def class_numbers(images: Iterable[LabelledImage], classes: Sequence[str], first: int) -> Mapping[str, int]:
    """Number the classes in their order.

    Args:
        images: What is to be written.
        classes: All class names of objects, distinct.
        first: Number of the first class.

    Raises:
        ReviewError: An object has another class, or a class name cannot be written as text.
    """
    numbers = {name: number for number, name in enumerate(classes, start=first)}
    for name in numbers:
        if name != name.strip() or not name or not names.is_writable(name):
            raise ReviewError(
                f"Class {name!r} cannot be written: it is empty or has blanks or control characters around."
            )
    for image in images:
        for label in image.objects:
            if label.label not in numbers:
                raise ReviewError(
                    f"Image {image.path} has an object of class {label.label!r}, expected one of {', '.join(classes)}.",
                    hint="Give every class of the labels.",
                )
    return numbers


def one_file_each(images: Iterable[LabelledImage], place: Mapping[str, str], form: str) -> None:
    """Refuse images that would share a label file.

    Args:
        images: What is to be written.
        place: Label file of each image path.
        form: Name of the format, for the message.

    Raises:
        ReviewError: Two images have one label file.
    """
    taken: dict[str, str] = {}
    for image in images:
        other = taken.setdefault(place[image.path], image.path)
        if other != image.path:
            raise ReviewError(
                f"{form} names labels after the image without its ending: {other} and {image.path} would share "
                f"{place[image.path]}.",
                hint="Write COCO or CVAT, which hold all images in one file.",
            )


def whole_pixels(low: float, high: float, size_px: int) -> tuple[int, int]:
    """Round two edges to whole pixels inside the image, never to nothing."""
    a, b = max(0, round(low)), min(size_px, round(high))
    if b > a:
        return a, b
    a = min(max(0, math.floor(low)), size_px - 1)
    return a, a + 1


def short(value: float) -> str:
    """Write pixels with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def xml_bytes(root: ET.Element) -> bytes:
    """Write an XML document, indented, UTF-8."""
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"
