"""What belongs to a dataset: which of the files below a root are its images.

Layouts: `folder` (everything below the root), `coco`, `voc`, `yolo` and `cvat` (everything below `images/`, for VOC
also `JPEGImages/`; below the root where there is no such folder).

The rule: every entry is found, except *side files*: names that start with a dot, that end in .csv .json .xml .txt
.yaml .yml .md, or whose stem is README, LICENSE, LICENCE or NOTICE. A side file whose first bytes are those of an
image is found all the same, so no image is ever dropped because of its name. Links, pipes and devices are found and
carry the problem NOT_REGULAR. Knows no pixels and no labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from labelop.errors import ManifestError
from labelop.ingest import names
from labelop.ingest.decode import DEFAULT_LIMITS
from labelop.ingest.places import Entry, Place, open_place
from labelop.ingest.signatures import MAX_HEAD_BYTES, looks_like_image
from labelop.settings import Settings

SourceFormat = Literal["folder", "coco", "voc", "yolo", "cvat"]
"""Layouts of a source."""

SOURCE_FORMATS: tuple[SourceFormat, ...] = ("folder", "coco", "voc", "yolo", "cvat")
"""All layouts, for messages and the command line."""

LEVELS_FILE = "levels.csv"
"""Side file that declares levels for single files (`file_name,level`)."""

_IMAGE_FOLDERS: dict[str, tuple[str, ...]] = {
    "folder": (),
    "coco": ("images/",),
    "voc": ("images/", "JPEGImages/"),
    "yolo": ("images/",),
    "cvat": ("images/",),
}
_SIDE_SUFFIXES = frozenset({".csv", ".json", ".xml", ".txt", ".yaml", ".yml", ".md"})
_SIDE_STEMS = frozenset({"README", "LICENSE", "LICENCE", "NOTICE"})


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file that belongs to the dataset, usable or not."""

    path: str
    """Percent-encoded, relative to the source root."""
    size_bytes: int
    """Size as listed."""
    problem: str | None = None
    """Reason code known before reading, for example NOT_REGULAR."""


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset as its owner handed it over; opened, not yet read."""

    place: Place
    """Where it lies."""
    source_format: SourceFormat
    """Its layout."""
    entries: tuple[Entry, ...]
    """Everything below the root, in the order of raw paths."""
    files: tuple[FoundFile, ...]
    """Those of them that belong to the dataset, usable or not; see the rule in the module."""
    given: str | None = None
    """Encoded path of an annotation file that was named instead of its folder."""

    @property
    def root_uri(self) -> str:
        """Address that paths are relative to."""
        return self.place.root_uri

    def found(self) -> Iterator[FoundFile]:
        """Give every file that belongs to the dataset."""
        return iter(self.files)

    def read(self, path: str, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
        """Read one file below the root, of so many bytes at most.

        Raises:
            UnreadableImageError: It is gone, not regular, too large or keeps changing.
            ManifestError: The path leaves the root.
        """
        return self.place.read(path, max_bytes)

    def side_files(self, pattern: str) -> list[str]:
        """Give encoded paths of regular files that match a glob anchored at the root, in capitals or not."""
        want = len(PurePosixPath(pattern).parts)
        paths = [entry.path for entry in self.entries if entry.regular and entry.path.count("/") == want - 1]
        return [path for path in paths if PurePosixPath(path.lower()).match(pattern.lower())]

    def below(self, folder: str, suffix: str) -> list[str]:
        """Give paths of regular files below `folder` (ends in a slash) that end in `suffix`, in capitals or not."""
        inside = (entry.path for entry in self.entries if entry.regular and entry.path.startswith(folder))
        return [path for path in inside if path.lower().endswith(suffix)]

    def levels_files(self) -> list[str]:
        """Give every levels.csv of the source, also one that is a link and cannot be read."""
        return [e.path for e in self.entries if PurePosixPath(e.path).name == LEVELS_FILE]

    def resolver(self) -> Resolver:
        """Give the way from names inside annotation files to found files."""
        return Resolver(frozenset(file.path for file in self.files), _IMAGE_FOLDERS[self.source_format])


@dataclass(frozen=True, slots=True)
class Resolver:
    """Finds the file a name means among found files only: a name is never joined into a path that is opened."""

    paths: frozenset[str]
    """Encoded paths of all found files."""
    folders: tuple[str, ...]
    """Image folders to look in, each with a slash at the end."""

    def find(self, name: str, base: str = "") -> str | None:
        """Find the file that `name` means, seen from the folder `base`; raw and percent-encoded names both count."""
        raw = names.encode(name.encode("utf-8", "surrogateescape")) if _is_text(name) else name
        for folder in (base, *(base + folder for folder in self.folders), "", *self.folders):
            for candidate in (folder + raw, folder + name):
                if candidate in self.paths:
                    return candidate
        return None


def open_source(uri: str, source_format: str, settings: Settings) -> Source:
    """Open a source and list what lies below its root.

    Args:
        uri: Folder or any fsspec address; for `coco` also the address of its annotation file.
        source_format: One of `SOURCE_FORMATS`.
        settings: How to reach an object store.

    Raises:
        ManifestError: There is nothing at this address, or the layout is unknown.
    """
    if source_format not in SOURCE_FORMATS:
        raise ManifestError(
            f"Source format {source_format!r} is unknown; expected one of {', '.join(SOURCE_FORMATS)}.",
            hint="Pass --source-format.",
        )
    given = None
    if source_format == "coco" and uri.endswith(".json"):
        uri, _, name = uri.rpartition("/")
        folder = uri.rpartition("/")[2]
        given = names.encode(name.encode("utf-8", "surrogateescape"))
        if folder == "annotations":
            # the public layout keeps images beside the folder of annotations
            uri, given = uri.rpartition("/")[0], f"annotations/{given}"
    place = open_place(uri or ".", settings)
    entries = tuple(place.walk())
    return Source(place, source_format, entries, tuple(_found(place, entries, source_format)), given)


def read_original(source_uri: str, path: str, settings: Settings) -> bytes:
    """Read the original bytes of one image of the manifest.

    Args:
        source_uri: Column `source_uri` of `images`.
        path: Column `path` of `images`, percent-encoded.
        settings: How to reach an object store.

    Raises:
        UnreadableImageError: It is gone, not regular, too large or keeps changing.
        ManifestError: The path leaves the root, or the root is gone.
    """
    return open_place(source_uri, settings, probe=False).read(path, DEFAULT_LIMITS.max_bytes)


def _found(place: Place, entries: tuple[Entry, ...], source_format: SourceFormat) -> Iterator[FoundFile]:
    folders = [f for f in _IMAGE_FOLDERS[source_format] if any(entry.path.startswith(f) for entry in entries)]
    for entry in entries:
        if folders and not entry.path.startswith(folders[0]):
            continue
        if not entry.regular:
            yield FoundFile(entry.path, entry.size_bytes, "NOT_REGULAR")
        elif not _is_side_file(entry.path) or looks_like_image(place.head(entry.path, MAX_HEAD_BYTES)):
            yield FoundFile(entry.path, entry.size_bytes)


def _is_side_file(path: str) -> bool:
    name = PurePosixPath(path)
    return name.name.startswith(".") or name.suffix.lower() in _SIDE_SUFFIXES or name.stem.upper() in _SIDE_STEMS


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
