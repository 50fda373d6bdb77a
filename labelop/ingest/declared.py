"""Levels that the owner declares: one for the dataset and, in levels.csv files, one per file.

Fails closed: a level that is not known, and every file under a levels.csv that cannot be read, counts as restricted.
Knows no policy.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from labelop.errors import UnreadableImageError
from labelop.ingest.sources import Resolver, Source
from labelop.ingest.truth import Fault, FaultList
from labelop.sensitivity.levels import LEVEL_TEXTS, Level

_MOST_BYTES = 64 * 1024 * 1024
_COLUMNS = ("file_name", "level")


def declared_levels(
    source: Source, paths: Iterable[str], dataset_level: str | None
) -> tuple[dict[str, str], list[Fault]]:
    """Join what was declared for each file.

    Args:
        source: May hold `levels.csv` at its root or beside images; names in it are seen from its own folder.
        paths: Encoded paths of all found files.
        dataset_level: Level declared for the whole dataset, or None.

    Returns:
        Level text by path, the highest of all that was declared, without paths nobody declared; and the faults.
    """
    known = list(paths)
    levels: dict[str, Level] = {}
    if dataset_level is not None:
        levels = dict.fromkeys(known, Level.from_text(dataset_level))
    faults: list[Fault] = []
    resolver = source.resolver()
    for file in source.levels_files():
        notes = FaultList(file)
        base = file.rpartition("/")[0] + "/" if "/" in file else ""
        try:
            data = source.read(file, _MOST_BYTES)
            for _ in _rows(data):
                pass  # a file that breaks off declares nothing
        except (ValueError, csv.Error, UnreadableImageError) as error:
            notes.add("#", "BAD_LEVELS", f"Everything below this folder counts as restricted: {error}.")
            levels.update(dict.fromkeys((path for path in known if path.startswith(base)), Level.RESTRICTED))
        else:
            for row in _rows(data):
                _declare(levels, resolver, base, row, notes)
        faults += notes.told()
    return {path: level.text for path, level in levels.items()}, faults


def _declare(
    levels: dict[str, Level], resolver: Resolver, base: str, row: tuple[int, str, str], faults: FaultList
) -> None:
    number, name, text = row
    path = resolver.find(name, base)
    if path is None:
        faults.add(f"line {number}", "MISSING_IMAGE", f"No file of the source is called {name!r:.200}.")
        return
    if text.strip().lower() not in LEVEL_TEXTS:
        faults.add(f"line {number}", "BAD_LEVEL", f"Level {text!r:.40} is not one of {', '.join(LEVEL_TEXTS)}.")
    levels[path] = max(levels.get(path, Level.PUBLIC), Level.from_text(text))


def _rows(data: bytes) -> Iterator[tuple[int, str, str]]:
    """Read line number, file name and level of each row; csv quoting allows every name."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "surrogateescape", newline="")
    reader = csv.DictReader(text, strict=True)
    if reader.fieldnames is None or not set(_COLUMNS) <= set(reader.fieldnames):
        raise ValueError(f"expected the columns {', '.join(_COLUMNS)}, got {reader.fieldnames}")
    # a short row leaves its level out, which is read as unknown and therefore restricted
    yield from ((reader.line_num, row["file_name"] or "", row["level"] or "") for row in reader)
