"""Labels that came with a source, in the one canonical frame, and what was wrong with the others.

Shared by the readers of all annotation formats. Knows boxes and labels; must not know a format or where files lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from labelop import ids
from labelop.errors import AnnotationError
from labelop.geometry import Box
from labelop.ingest import names
from labelop.labels import AcceptedLabel

_SLACK_PX = 2.0
"""How far a box may stand out of its image and is cut: formats round and count pixels differently."""

BAD_FILE = "BAD_ANNOTATIONS"
"""Code of an annotation file that was refused as a whole."""

_DECIMALS = 2
_MOST_FAULTS = 10_000
_MOST_DETAIL = 500
_LONGEST_NAME = 200
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}


@dataclass(frozen=True, slots=True)
class KnownImage:
    """A usable image that annotations can refer to."""

    image_id: str
    """SHA-256 of the original bytes."""
    width_px: int
    """Width of the upright image."""
    height_px: int
    """Height of the upright image."""


@dataclass(frozen=True, slots=True)
class ImageTruth:
    """Accepted labels of one image that came with the source."""

    image_id: str
    """SHA-256 of the original bytes."""
    labels: tuple[AcceptedLabel, ...]
    """Objects; empty when the source says that there are none."""
    image_label: str | None
    """Class of the whole image, or None."""
    source_digest: str
    """SHA-256 of the annotation file."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One record of an annotation or side file that was not taken in."""

    path: str
    """Percent-encoded path of the file that holds the record."""
    pointer: str
    """Place inside it: a JSON pointer, an XML object, a line; `#` for the whole file."""
    reason: str
    """Code in capitals, for example BAD_BOX."""
    detail: str
    """What was got and expected."""
    image_id: str | None = None
    """Image the record is about, where that is known."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """Everything read from the annotation files of a source."""

    categories: tuple[str, ...]
    """Class names of objects, in the order of the source."""
    truths: Mapping[str, ImageTruth]
    """Labels by encoded image path."""
    splits: Mapping[str, str]
    """`train` or `val` by encoded image path."""
    faults: tuple[Fault, ...]
    """Records that were not taken in."""


NO_ANNOTATIONS = Annotations((), {}, {}, ())
"""What a source without annotation files has."""


@dataclass(slots=True)
class FaultList:
    """Collects the faults of one file while its other records are read on."""

    path: str
    """Encoded path of the file."""
    classes: Sequence[str] | None = None
    """Classes that objects may have; any when None."""
    faults: list[Fault] = field(default_factory=list)
    """What was found so far: the first 10,000, since a file may hold nothing else."""
    more_count: int = 0
    """How many were found besides."""

    def add(self, pointer: str, reason: str, detail: str, image_id: str | None = None) -> None:
        """Note one record that was not taken in."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(Fault(self.path, pointer, reason, detail[:_MOST_DETAIL], image_id))
        else:
            self.more_count += 1

    def told(self) -> list[Fault]:
        """Give the faults, and one that counts those that are not told singly."""
        if not self.more_count:
            return self.faults
        detail = f"{self.more_count} further records were not taken in."
        return [*self.faults, Fault(self.path, "#", "MORE_FAULTS", detail)]

    def attempt(
        self, pointer: str, read: Callable[[], AcceptedLabel], image_id: str | None = None
    ) -> AcceptedLabel | None:
        """Read one record; note it and go on when it breaks its form, or is of a class that objects may not have."""
        try:
            label = read()
            if self.classes is not None:
                known_class(label.label, self.classes)
        except AnnotationError as error:
            self.add(pointer, str(error.context.get("code", "BAD_RECORD")), error.message, image_id)
            return None
        return label


def bad_record(code: str, message: str) -> AnnotationError:
    """Make the error by which a reader refuses one record."""
    return AnnotationError(message, code=code)


def checked_box(edges: Sequence[Any], image: KnownImage) -> Box:
    """Make a box from left, top, right and bottom edges in pixels of the upright image.

    Args:
        edges: Four numbers; anything else is refused.
        image: The image they lie in; up to 2 pixels outside are cut.

    Raises:
        AnnotationError: Not four finite numbers, no area, or outside the image; code BAD_BOX.
    """
    values = [finite(edge) for edge in edges]
    if len(values) != 4 or any(value is None for value in values):  # noqa: PLR2004 - a box has four edges
        raise bad_record("BAD_BOX", f"Box {list(edges)!r:.120} is not four finite numbers.")
    x0, y0, x1, y1 = (value for value in values if value is not None)
    if x1 <= x0 or y1 <= y0:
        raise bad_record("BAD_BOX", f"Box {[x0, y0, x1, y1]} has no area.")
    if min(x0, y0) < -_SLACK_PX or x1 > image.width_px + _SLACK_PX or y1 > image.height_px + _SLACK_PX:
        frame = f"{image.width_px} x {image.height_px}"
        raise bad_record("BAD_BOX", f"Box {[x0, y0, x1, y1]} stands out of its image of {frame} pixels.")
    box = Box(x0, y0, x1, y1).clipped(image.width_px, image.height_px)
    rounded = [_rounded(edge) for edge in box.xyxy] if box else [0.0] * 4
    if rounded[2] <= rounded[0] or rounded[3] <= rounded[1]:
        raise bad_record("BAD_BOX", f"Box {[x0, y0, x1, y1]} has no area inside its image.")
    return Box(*rounded)


@lru_cache(1 << 16)
def _rounded(edge: float) -> float:
    """Round an edge; equal ones are one object, since a million boxes have four million edges of 24 bytes each."""
    return round(edge, _DECIMALS)


def finite(value: Any) -> float | None:
    """Take a finite number; None for everything else, also for true and false."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def class_name(value: Any) -> str | None:
    """Take the name of a class without blanks around it; None for what is none, or what no table or file can hold."""
    name = value.strip() if isinstance(value, str) else ""
    return name if 0 < len(name) <= _LONGEST_NAME and names.is_writable(name) else None


def known_class(name: str, classes: Sequence[str]) -> None:
    """Refuse a class that labels may not have.

    Raises:
        AnnotationError: It is none of them; code UNKNOWN_LABEL.
    """
    if name not in classes:
        raise bad_record("UNKNOWN_LABEL", f"Label {name!r:.80}, expected one of {', '.join(classes) or 'none'}.")


def number_of(text: str | None) -> float | str | None:
    """Read a number out of a text file; what is none stays as it is, for the check that refuses it to show."""
    try:
        # Python also takes 1_0 and the digits of other scripts, which no other reader does
        return float(text) if text is not None and text.isascii() and "_" not in text else text
    except ValueError:
        return text


def checked_size(declared: tuple[Any, Any], image: KnownImage) -> None:
    """Refuse annotations made for another frame than the upright image, since their boxes would be shifted.

    A size that is absent or zero (some tools write none) is no evidence and passes.

    Raises:
        AnnotationError: The declared size is another; code SIZE_MISMATCH.
    """
    width, height = (finite(value) for value in declared)
    if width and height and (width, height) != (image.width_px, image.height_px):
        raise bad_record(
            "SIZE_MISMATCH",
            f"Declared size {width:g} x {height:g} is not that of the upright image, "
            f"{image.width_px} x {image.height_px}.",
        )


def with_ids(image_id: str, labels: Sequence[AcceptedLabel]) -> tuple[AcceptedLabel, ...]:
    """Give labels, of which no two are equal, ids by their content."""
    return tuple(
        # the number counted equal ones once: without it labels that have landed would have other ids
        replace(label, label_id=ids.row_id("l", image_id, label.label, label.box and label.box.xyxy, label.mask_rle, 0))
        for label in labels
    )


def split_name(text: Any) -> str | None:
    """Read `train` or `val` in the spellings in use; None for anything else, a test part among them."""
    return _SPLITS.get(text.strip().lower()) if isinstance(text, str) else None
