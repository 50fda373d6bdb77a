"""The files of finished labels at a path, given to the readers of ingest under the names that these look for.

Takes the file a tool wrote, or the folder that our own export wrote. Knows names of files and nothing inside of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labelop.errors import ReviewFormatError, UnreadableImageError
from labelop.ingest import names
from labelop.ingest.places import Entry
from labelop.review.intake import encoded_name

AcceptedFormat = Literal["coco", "voc", "cvat", "yolo"]
"""Formats of finished labels."""

_ONE_FILE = {"coco": "annotations.json", "cvat": "annotations.xml"}


@dataclass(frozen=True, slots=True)
class LabelFiles:
    """The label files, under the paths where the readers look for them; holds no image."""

    root_uri: str
    """Name of what was given."""
    files: dict[str, Path]
    """Where each lies, by its path for the readers."""

    def walk(self) -> Iterator[Entry]:
        """Give every file; see `labelop.ingest.places.Place`."""
        for path in self.files:
            yield Entry(path, 0, regular=True)

    def read(self, path: str, max_bytes: int) -> bytes:
        """Read one file.

        Raises:
            UnreadableImageError: It is too large or cannot be read.
        """
        file = self.files[path]
        try:
            if file.stat().st_size > max_bytes:
                raise UnreadableImageError(f"The file has more than {max_bytes} bytes.", code="TOO_LARGE")
            return file.read_bytes()
        except OSError as error:
            raise UnreadableImageError(f"The file cannot be read: {error.strerror}.", code="UNREADABLE") from error

    def head(self, path: str, count: int) -> bytes:
        """Give nothing: label files are no images."""
        del path, count
        return b""


def label_files(path: Path, source_format: AcceptedFormat) -> LabelFiles:
    """Find the label files at a path; links below it are left out, since they may lead anywhere.

    Args:
        path: A COCO JSON file; a CVAT XML file; a VOC XML file or a folder of them; a folder with the `labels/` and
            `data.yaml` of YOLO; of each format the folder that `labelop review export` wrote.
        source_format: What to look for.

    Raises:
        ReviewFormatError: There is no such file.
    """
    files = {
        name: file
        for name, file in sorted(_named(path, source_format).items())
        if file.is_file() and (file == path or not file.is_symlink())
    }
    if not files:
        raise ReviewFormatError(
            f"There are no {source_format} labels at {path.name!r}.",
            hint="Give a COCO JSON file, a CVAT XML file, a file or folder of VOC XML, a folder of YOLO labels, or the "
            "folder that `labelop review export` wrote.",
        )
    return LabelFiles(path.name, files)


def _named(path: Path, source_format: AcceptedFormat) -> dict[str, Path]:
    if source_format == "yolo":
        inside = [file for file in path.rglob("*") if file.suffix.lower() in (".yaml", ".txt")]
        return {names.encode(os.fsencode(file.relative_to(path).as_posix())): file for file in inside}
    if source_format == "voc":
        inner = path / "annotations"
        files = _xml_files(path) or ([] if inner.is_symlink() else _xml_files(inner))
        return {f"annotations/{encoded_name(file)}": file for file in files}
    name = _ONE_FILE[source_format]
    return {name: path / name if path.is_dir() else path}


def _xml_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [file for file in path.iterdir() if file.suffix.lower() == ".xml"]
