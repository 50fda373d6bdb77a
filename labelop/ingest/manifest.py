"""Account for every file of a source: one row per file found, a reason for each that is not used.

discovered = landed + quarantined holds by construction: each found file makes exactly one `images` row. Quarantine
lands first and `images` last, so that a manifest that can be read is complete. Knows no policy and no model.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from labelop import ids
from labelop.errors import ManifestError, UnreadableImageError
from labelop.ingest.coco import read_coco
from labelop.ingest.cvat import read_cvat
from labelop.ingest.declared import declared_levels
from labelop.ingest.decode import DEFAULT_LIMITS, ImageFacts, Limits
from labelop.ingest.decoders import decoders
from labelop.ingest.sources import FoundFile, Source, open_source
from labelop.ingest.truth import BAD_FILE, NO_ANNOTATIONS, Annotations, Fault, ImageTruth, KnownImage
from labelop.ingest.voc import read_voc
from labelop.ingest.yolo import read_yolo
from labelop.landing.store import Store, land
from labelop.schemas import utc_now
from labelop.settings import Settings

__all__ = ["ImageTruth", "Manifest", "build_manifest", "land_manifest"]

_READERS: dict[str, Callable[[Source, Mapping[str, KnownImage]], Annotations]] = {
    "coco": read_coco,
    "voc": read_voc,
    "yolo": read_yolo,
    "cvat": read_cvat,
}
_MOST_THREADS = 8
_LARGE_BYTES = 32 << 20
"""A file above it goes alone: as many of the largest allowed size as there are threads would take gigabytes."""
_large_goes_alone = threading.Lock()


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything known of one dataset version before anything is decided about it."""

    dataset: str
    """Name of the dataset."""
    dataset_version: str
    """Content-derived; equal content gives an equal version."""
    images: tuple[dict[str, Any], ...]
    """`images` rows, one per file found, in order of path; `run_id` and `landed_at` are None until it lands."""
    quarantine: tuple[dict[str, Any], ...]
    """`quarantine` rows in the same manner: files (pointer empty) and records of annotation files."""
    truths: tuple[ImageTruth, ...]
    """Labels that came with the source, one per image, in order of image id."""
    categories: tuple[str, ...]
    """Class names of the source."""

    def refused(self) -> list[str]:
        """Name the annotation files that were refused as a whole, each with its reason."""
        return [f"{row['path']}: {row['detail']}" for row in self.quarantine if row["reason"] == BAD_FILE]


@dataclass(frozen=True, slots=True)
class _Read:
    """What reading one found file gave."""

    file: FoundFile
    image_id: str | None
    size_bytes: int
    facts: ImageFacts | None
    reason: str | None
    detail: str


def build_manifest(
    uri: str,
    dataset: str,
    source_format: str,
    *,
    declared_level: str | None = None,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Manifest:
    """Read, hash and decode every file of a source and read its labels.

    Args:
        uri: Folder or fsspec address.
        dataset: Name to file it under.
        source_format: `folder`, `coco`, `voc`, `yolo` or `cvat`.
        declared_level: Level the owner declares for all of it; unknown text counts as restricted.
        settings: How to reach an object store.
        progress: Told files done and files in all.
        limits: What one file may cost.

    Raises:
        ManifestError: There is nothing at the address, or no file of the dataset, or the layout is unknown.
        AnnotationError: The layout's annotation files are missing.
    """
    source = open_source(uri, source_format, settings)
    files = list(source.found())
    if not files:
        raise ManifestError(
            f"Source {uri!r} has no file that could be an image.", hint="Check the address and --source-format."
        )
    reads = _read_all(source, files, limits, progress)
    known = {
        read.file.path: KnownImage(read.image_id, read.facts.width_px, read.facts.height_px)
        for read in reads
        if read.facts is not None and read.image_id is not None
    }
    reader = _READERS.get(source_format)
    annotations = reader(source, known) if reader else NO_ANNOTATIONS
    levels, level_faults = declared_levels(source, (read.file.path for read in reads), declared_level)
    truths, conflicts = _one_per_image(annotations.truths)
    faults = [*annotations.faults, *level_faults, *conflicts]
    version = _version(reads, annotations, levels, truths, faults)
    key = {"dataset": dataset, "dataset_version": version, "run_id": None, "landed_at": None}
    images = [
        {**key, **_image_row(read, source.root_uri, annotations.splits, levels)}
        for read in sorted(reads, key=lambda read: read.file.path)
    ]
    refused = [Fault(r.file.path, "", r.reason, r.detail, r.image_id) for r in reads if r.reason is not None]
    quarantine = [
        {**key, "path": f.path, "pointer": f.pointer, "image_id": f.image_id, "reason": f.reason, "detail": f.detail}
        for f in sorted([*refused, *faults], key=lambda f: (f.path, f.pointer, f.reason))
    ]
    return Manifest(dataset, version, tuple(images), tuple(quarantine), truths, annotations.categories)


def land_manifest(store: Store, manifest: Manifest, run_id: str) -> bool:
    """Land a manifest once, the quarantine first.

    Returns:
        True when this call landed it, False when this version was landed before.

    Raises:
        LandingError: The store did not take the rows.
    """
    key = f"{manifest.dataset}:{manifest.dataset_version}"
    provenance = {"run_id": run_id, "landed_at": utc_now()}
    land(store, "quarantine", [{**row, **provenance} for row in manifest.quarantine], key)
    return land(store, "images", [{**row, **provenance} for row in manifest.images], key)


def _read_all(
    source: Source, files: list[FoundFile], limits: Limits, progress: Callable[[int, int], None] | None
) -> list[_Read]:
    reads = []
    decoders().start()
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), thread_name_prefix="ingest") as pool:
        for read in pool.map(lambda file: _read_one(source, file, limits), files):
            reads.append(read)
            if progress is not None:
                progress(len(reads), len(files))
    return reads


def _read_one(source: Source, file: FoundFile, limits: Limits) -> _Read:
    if file.problem is not None:
        return _Read(file, None, file.size_bytes, None, file.problem, "not a regular file")
    with _large_goes_alone if file.size_bytes > _LARGE_BYTES else contextlib.nullcontext():
        return _read_regular(source, file, limits)


def _read_regular(source: Source, file: FoundFile, limits: Limits) -> _Read:
    try:
        data = source.place.read(file.path, limits.max_bytes)
    except UnreadableImageError as error:
        return _Read(file, None, file.size_bytes, None, error.code, str(error.context["detail"]))
    except OSError as error:
        # a file that cannot be read costs one row; it must never end the run
        return _Read(file, None, file.size_bytes, None, "UNREADABLE", type(error).__name__)
    image_id = ids.sha256_hex(data)
    try:
        return _Read(file, image_id, len(data), decoders().inspect(data, limits), None, "")
    except UnreadableImageError as error:
        return _Read(file, image_id, len(data), None, error.code, str(error.context["detail"]))


def _image_row(read: _Read, root_uri: str, splits: Mapping[str, str], levels: Mapping[str, str]) -> dict[str, Any]:
    path, facts = read.file.path, read.facts
    return {
        "path": path,
        "image_id": read.image_id,
        "source_uri": root_uri,
        "size_bytes": read.size_bytes,
        "format": facts.format if facts else None,
        "mode": facts.mode if facts else None,
        "width_px": facts.width_px if facts else None,
        "height_px": facts.height_px if facts else None,
        "orientation": facts.orientation if facts else None,
        "frame_count": facts.frame_count if facts else None,
        "split": splits.get(path),
        "declared_level": levels.get(path),
        "outcome": "ok" if facts else "quarantined",
    }


def _one_per_image(by_path: Mapping[str, ImageTruth]) -> tuple[tuple[ImageTruth, ...], list[Fault]]:
    """Keep one truth per image; copies that say the same are one, a copy that says otherwise is a fault."""
    truths: dict[str, ImageTruth] = {}
    faults = []
    for path, truth in sorted(by_path.items()):
        first = truths.setdefault(truth.image_id, truth)
        if (first.image_label, set(first.labels)) != (truth.image_label, set(truth.labels)):
            detail = "A copy of this image carries other labels; those of the first path are used."
            faults.append(Fault(path, "labels", "CONFLICTING_TRUTH", detail, truth.image_id))
    return tuple(truths[image_id] for image_id in sorted(truths)), faults


def _version(
    reads: Iterable[_Read],
    annotations: Annotations,
    levels: Mapping[str, str],
    truths: Iterable[ImageTruth],
    faults: Iterable[Fault],
) -> str:
    """Name the version by all that was found: files, levels, splits, labels and refused records."""
    files = [
        ["file", r.file.path, r.image_id, r.reason, levels.get(r.file.path), annotations.splits.get(r.file.path)]
        for r in reads
    ]
    labels = [["truth", t.image_id, t.image_label, sorted(label.label_id for label in t.labels)] for t in truths]
    refused = [["fault", f.path, f.pointer, f.reason] for f in faults]
    return ids.dataset_version([*files, *labels, *refused, ["categories", *annotations.categories]])
