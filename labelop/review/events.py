"""The user events of a tool whose label files tell no time: when a person did something on which image.

Knows one plain form of CSV; must not know a tool, nor which of the time counts.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from labelop.errors import ReviewFormatError, ReviewRecordError
from labelop.ingest.truth import FaultList, KnownImage
from labelop.review.annotation_forms import parse_time, shown
from labelop.review.annotation_review import CLOCK_AHEAD, EARLIEST, pseudonym_of
from labelop.review.intake import Reading, encoded_name
from labelop.review.worked import Gap, gaps_by_image
from labelop.schemas import utc_now
from labelop.streamed_text import MAX_RECORDS

COLUMNS = ("path", "reviewer", "at")
"""Of the CSV, in any order: path of the image, user id of the person, ISO 8601 time with its zone."""


def read_events(
    file: Path, reviewer: str, known: Mapping[str, KnownImage], find: Callable[[str], str | None], reading: Reading
) -> dict[str, list[Gap]]:
    """Read the active time of each image from a CSV of user events.

    Args:
        file: CSV in UTF-8 with a header of `COLUMNS`, one event a line, in any order.
        reviewer: Pseudonym of whose events count.
        known: Images by encoded path.
        find: Gives the encoded path that a name means; None where it means none.
        reading: Takes the lines that cannot be used, with their numbers.

    Returns:
        Gaps that count, by image id; an image without two events close enough to tell has none.

    Raises:
        ReviewFormatError: The file is no such CSV.
    """
    events, notes = [], FaultList(encoded_name(file))
    for line, row in _rows(file):
        try:
            events.append(_event(row, reviewer, known, find))
        except ReviewRecordError as error:
            notes.add(f"line {line}", error.code, error.message)
    for fault in notes.told():
        reading.refuse(ReviewRecordError(fault.detail, code=fault.reason, pointer=fault.pointer), path=fault.path)
    return gaps_by_image(events)


def _event(
    row: Mapping[str, str],
    reviewer: str,
    known: Mapping[str, KnownImage],
    find: Callable[[str], str | None],
) -> tuple[dt.datetime, str]:
    """Give time and image id of one event; raises ReviewRecordError where it cannot be used."""
    if None in row or None in row.values():
        raise ReviewRecordError(f"expected {len(COLUMNS)} fields: {', '.join(COLUMNS)}", code="BAD_RECORD")
    image = known.get(find(row["path"]) or "")
    if image is None:
        raise ReviewRecordError(f"{row['path']!r} is no image of the dataset", code="UNKNOWN_IMAGE")
    if pseudonym_of(row["reviewer"]) != reviewer:
        raise ReviewRecordError("it is an event of another reviewer", code="OTHER_REVIEWER")
    text = row["at"]
    try:
        at, has_zone = parse_time(text), dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        raise ReviewRecordError(f"{text!r} is no ISO 8601 time", code="BAD_TIME") from None
    if not has_zone:
        raise ReviewRecordError(f"time {text!r} has no zone, expected one such as Z or +01:00", code="NO_ZONE")
    if at > utc_now() + CLOCK_AHEAD:
        raise ReviewRecordError("it happened in the future", code="FUTURE_TIME")
    if at < EARLIEST:
        raise ReviewRecordError(f"it happened before {EARLIEST:%Y}", code="PAST_TIME")
    return at, image.image_id


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each row with the number of its line; a field too few is None, those too many are under None."""
    hint = f"Give a CSV in UTF-8 with the columns {', '.join(COLUMNS)}."
    try:
        if not file.is_file():  # a pipe would be waited for without end
            raise ReviewFormatError(f"{file.name!r} cannot be read: it is no file.", hint=hint)
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, strict=True)
            if sorted(reader.fieldnames or ()) != sorted(COLUMNS):
                got = shown(", ".join(reader.fieldnames or ())) or "none"
                raise ReviewFormatError(
                    f"{file.name!r} has the columns {got}, expected {', '.join(COLUMNS)}.", hint=hint
                )
            for number, row in enumerate(reader):
                if number == MAX_RECORDS:
                    raise ReviewFormatError(f"{file.name!r} has over {MAX_RECORDS} events.", hint="Split it.")
                yield reader.line_num, row
    except OSError as error:
        raise ReviewFormatError(f"{file.name!r} cannot be read: {error.strerror}.", hint=hint) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ReviewFormatError(f"{file.name!r} is no CSV in UTF-8: {error}.", hint=hint) from error
