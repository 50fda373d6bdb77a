"""What the readers of all annotation formats do alike: no image gets labels twice, and none is empty by accident.

An image is reviewed and without an object only where its file says so: neither where it says nothing, nor where
what it says cannot be used, nor where a further record of it is there. Where labels are those of a review, an image is
taken whole or not at all: what was left out would count as taken away by the reviewer. Knows no format.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from labelop.errors import AnnotationError, UnreadableImageError
from labelop.ingest.sources import Source
from labelop.ingest.truth import (
    BAD_FILE,
    Annotations,
    Fault,
    FaultList,
    ImageTruth,
    KnownImage,
    checked_size,
    known_class,
    split_name,
    with_ids,
)
from labelop.labels import AcceptedLabel, Ontology


@dataclass(slots=True)
class Gathering:
    """Collects what the annotation files of one source say."""

    source: Source
    """Where they lie."""
    known: Mapping[str, KnownImage]
    """Usable images by encoded path."""
    ontology: Ontology | None = None
    """Classes that labels of a review may have; of truth, which may have any, None."""
    truths: dict[str, ImageTruth] = field(default_factory=dict)
    """Labels by encoded image path."""
    splits: dict[str, str] = field(default_factory=dict)
    """`train` or `val` by encoded image path."""
    faults: list[Fault] = field(default_factory=list)
    """Records that were not taken in."""
    taken: set[str] = field(default_factory=set)
    """Images that a record labels, whatever became of its labels."""
    doubled: set[str] = field(default_factory=set)
    """Those that a further record names, which may hold what the first lacks."""

    def read(self, path: str, max_bytes: int, understand: Callable[[bytes, FaultList], None]) -> None:
        """Read one file; one that breaks its form is a fault of its own.

        Args:
            path: Encoded path.
            max_bytes: Largest file that is read.
            understand: Takes its bytes; raises ValueError, before it has settled anything, for a file that is none.
        """
        self._read(path, lambda notes: understand(self.source.read(path, max_bytes), notes))

    def stream(self, path: str, max_bytes: int, understand: Callable[[BinaryIO, FaultList], None]) -> None:
        """Read one large file, which is on disk meanwhile and not in memory; as `read` otherwise.

        Args:
            path: Encoded path.
            max_bytes: Largest file that is read.
            understand: Takes a copy that nobody changes, as often as it likes; raises as that of `read` does.
        """
        # without a buffer: what is in one when the disk is full is tried again, and fails again, as the file is closed
        with tempfile.TemporaryFile(buffering=0) as copy:
            self._read(path, lambda notes: understand(self._copied(path, max_bytes, copy), notes))

    def _copied(self, path: str, max_bytes: int, copy: BinaryIO) -> BinaryIO:
        left = memoryview(self.source.read(path, max_bytes))
        try:
            while left:
                left = left[copy.write(left) :]
        except OSError as error:
            raise AnnotationError(
                f"File {path} cannot be copied to {tempfile.gettempdir()}: {error.strerror}.",
                hint="TMPDIR names a folder with more room.",
            ) from error
        return copy

    def _read(self, path: str, understand: Callable[[FaultList], None]) -> None:
        notes = FaultList(path, self.ontology.box_classes if self.ontology else None)
        try:
            understand(notes)
        except ValueError as error:
            notes.add("#", BAD_FILE, f"The file {error}.")
        except UnreadableImageError as error:
            notes.add("#", BAD_FILE, error.message)
        self.faults += notes.told()

    def claim(
        self, notes: FaultList, pointer: str, path: str, declared: tuple[Any, Any] = (None, None), size_at: str = ""
    ) -> KnownImage | None:
        """Find the usable image that a record labels; note why there is none.

        Args:
            notes: Faults of the record's file.
            pointer: Place of the record.
            path: Encoded path of the image.
            declared: Width and height that the record gives, see `checked_size`.
            size_at: Place of the size where it is another than the record's.
        """
        image = self.known.get(path)
        if image is None:
            notes.add(pointer, "IMAGE_QUARANTINED", f"Labels of {path} are not used since the image is not.")
            return None
        if path in self.taken:
            said = f"An earlier record of {path} counts; where that one is empty the image is not known to be."
            notes.add(pointer, "BAD_RECORD", said, image.image_id)
            self.doubled.add(path)
            return None
        try:
            checked_size(declared, image)
        except AnnotationError as error:
            notes.add(size_at or pointer, error.context["code"], error.message, image.image_id)
            return None
        self.taken.add(path)
        return image

    def settle(
        self,
        notes: FaultList,
        pointer: str,
        path: str,
        labels: Iterable[AcceptedLabel | None],
        digest: str,
        *,
        whole: Sequence[str] = (),
    ) -> None:
        """Take the labels of an image that was claimed.

        Args:
            notes: Faults of the record's file.
            pointer: Place of the record.
            path: Encoded path of the image.
            labels: Objects; None for each that was refused, or may have been.
            digest: SHA-256 of the file.
            whole: Classes of the whole image.
        """
        image_id = self.known[path].image_id
        told = self._once(notes, pointer, image_id, labels)
        kept = [label for label in told if label is not None]
        if self.ontology is not None:
            for name in whole:
                try:
                    known_class(name, self.ontology.image_classes)
                except AnnotationError as error:
                    notes.add(pointer, error.context["code"], error.message, image_id)
                    told.append(None)
        if len(kept) < len(told) and (self.ontology is not None or not kept):
            detail = "Labels of this image were refused, and it is not known to be without them."
            notes.add(pointer, "LABELS_LOST", detail, image_id)
            return
        if len(whole) > 1:
            kept += [AcceptedLabel("", name) for name in whole]
        self.truths[path] = ImageTruth(image_id, with_ids(image_id, kept), whole[0] if whole else None, digest)

    @staticmethod
    def _once(
        notes: FaultList, pointer: str, image_id: str, labels: Iterable[AcceptedLabel | None]
    ) -> list[AcceptedLabel | None]:
        """Refuse what equals another object of its image to the last digit: it is one object that stands twice."""
        told: dict[AcceptedLabel, None] = {}
        refused: list[None] = []
        for label in labels:
            if label is None:
                refused.append(None)
            elif label in told:
                place = list(label.box.xyxy) if label.box else "no place"
                notes.add(pointer, "DUPLICATE", f"{label.label!r:.80} at {place} stands twice.", image_id)
                refused.append(None)
            else:
                told[label] = None
        return [*told, *refused]

    def put_split(self, notes: FaultList, pointer: str, path: str, name: Any) -> None:
        """Put an image into a part; what is not `train` or `val` is no part."""
        split = split_name(name)
        if split is None:
            return
        if self.splits.get(path, split) != split:
            # held-out wins: training on it would make every measured quality a lie
            notes.add(pointer, "SPLIT_CONFLICT", f"{path} is in both parts; taken as val.")
            split = "val"
        self.splits[path] = split

    def annotations(self, categories: Iterable[str]) -> Annotations:
        """Give everything that was collected."""
        sure = {path: truth for path, truth in self.truths.items() if not self._may_hold_more(path, truth)}
        return Annotations(tuple(categories), dict(sorted(sure.items())), self.splits, tuple(self.faults))

    def _may_hold_more(self, path: str, truth: ImageTruth) -> bool:
        return path in self.doubled and not truth.labels and truth.image_label is None
