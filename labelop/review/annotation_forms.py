"""Foreign JSON of a review tool becomes typed records here, or a reason; nothing else reads a review file.

Knows the JSON export of Label Studio 1.x. A file that is no JSON is refused whole; a record that breaks its form is
refused alone, with a pointer to the place.
"""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from labelop.errors import ReviewFormatError, ReviewRecordError
from labelop.review.brush import MAX_BYTES
from labelop.streamed_text import MAX_FILE_BYTES, Unreadable, json_list

MAX_RECORD_BYTES = 24 * 1024 * 1024
"""Largest task with its annotations; the largest mask takes 20 MB as text."""
MAX_RECORD_DEPTH = 24
"""Deepest nesting inside one record; a real one has 7 levels."""
MAX_REGIONS = 10_000
"""Most regions of one annotation."""

MAX_EDGE_PX = 1_000_000
"""Longest edge an image may be said to have, pixels."""

MADE_BY_HAND = "manual"
"""What the editor says of a region that no draft was behind."""

CLICK_CONTROL, PROMPT_CONTROL = "click", "prompt"
"""Controls whose regions ask for a mask; one that is left because its mask was not taken labels nothing."""

_SMART = re.compile(r"m([1-9][0-9]{0,2})-[0-9a-f]{9}")
_SHOWN_CHARACTERS = 160
_HINT = "Export the project as JSON (not JSON-MIN) and try again."

Percent: TypeAlias = float
"""0..100 of the image's edge; the tool may overshoot by rounding."""


class _Form(BaseModel):
    # strict: a tool that writes "12" for 12 or 1 for true is not the tool we know
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


_FormT = TypeVar("_FormT", bound=_Form)


class TaskData(_Form):
    """The part of a task that our export wrote."""

    task_uid: str
    image_id: str | None = None
    dataset: str | None = None
    dataset_version: str | None = None


class TaskRecord(_Form):
    """One task of an export; annotations are read one by one so that a bad one costs itself only."""

    data: TaskData
    annotations: list[Any]


class BoxValue(_Form):
    """A rectangle in percent of the upright image."""

    x: Percent
    y: Percent
    width: Percent = Field(gt=0)
    height: Percent = Field(gt=0)
    rotation: float = 0
    rectanglelabels: list[str] = Field(min_length=1, max_length=1)


class ChoiceValue(_Form):
    """Labels chosen for the whole image."""

    choices: list[str] = Field(min_length=1, max_length=100)


class BrushValue(_Form):
    """A mask in the brush's own run lengths, see `brush`."""

    format: Literal["rle"]
    rle: list[int] = Field(min_length=1, max_length=MAX_BYTES)
    brushlabels: list[str] = Field(min_length=1, max_length=1)


def smart_id(clicks_count: int, digest: str) -> str:
    """Name the region of a mask that clicks or boxes asked for; `BrushRegion.clicks_count` reads it again."""
    return f"m{clicks_count}-{digest[:9]}"


class _RegionForm(_Form):
    id: str = ""
    origin: Literal["manual", "prediction", "prediction-changed"] | None = None

    @property
    def draft_id(self) -> str | None:
        """Name the draft it came from, as far as it says; None for what a person made."""
        # the editor may append "#" and its own number to an id
        return None if self.origin == MADE_BY_HAND else self.id.split("#", 1)[0]


class _DrawnForm(_RegionForm):
    original_width: int | None = Field(default=None, gt=0, le=MAX_EDGE_PX)
    original_height: int | None = Field(default=None, gt=0, le=MAX_EDGE_PX)
    image_rotation: float = 0


class BoxRegion(_DrawnForm):
    """One rectangle."""

    type: Literal["rectanglelabels"]
    value: BoxValue


class BrushRegion(_DrawnForm):
    """One mask."""

    type: Literal["brushlabels"]
    value: BrushValue

    @property
    def clicks_count(self) -> int | None:
        """Clicks and boxes that it took the editor to get it from the backend; None where nobody counted."""
        found = _SMART.fullmatch(self.id.split("#", 1)[0])
        return int(found[1]) if found else None


class ChoiceRegion(_RegionForm):
    """One set of choices."""

    type: Literal["choices"]
    value: ChoiceValue


class Person(_Form):
    """Who completed an annotation, where the tool says more than a number."""

    id: int | str | None = None
    email: str | None = None


class Annotation(_Form):
    """One submitted or skipped annotation."""

    id: int | str | None = None
    unique_id: str | None = None
    completed_by: int | str | Person | None = None
    result: list[Any] = Field(max_length=MAX_REGIONS)
    was_cancelled: bool = False
    lead_time: float | None = Field(default=None, ge=0)
    created_at: str | None = None
    updated_at: str | None = None

    @field_validator("created_at", "updated_at")
    @classmethod
    def _is_time(cls, value: str | None) -> str | None:
        if value is not None:
            parse_time(value)
        return value

    @property
    def submitted_at(self) -> dt.datetime | None:
        """When it was submitted last, UTC: of two states of one annotation the later counts."""
        times = [parse_time(text) for text in (self.created_at, self.updated_at) if text is not None]
        return max(times, default=None)


Region: TypeAlias = BoxRegion | BrushRegion | ChoiceRegion

_FORMS: dict[str, type[BoxRegion | BrushRegion | ChoiceRegion]] = {
    "rectanglelabels": BoxRegion,
    "brushlabels": BrushRegion,
    "choices": ChoiceRegion,
}


def parse_time(text: str) -> dt.datetime:
    """Read an ISO 8601 time; without a zone it is taken as UTC.

    Raises:
        ValueError: It is no time, or one that UTC cannot hold.
    """
    time = dt.datetime.fromisoformat(text)
    try:
        return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(f"time {text!r} is out of range") from error


def shown(text: str) -> str:
    """Cut text and make it printable ASCII, so that a hostile string cannot break a table or a terminal."""
    plain = ascii(text)[1:-1]
    return plain if len(plain) <= _SHOWN_CHARACTERS else plain[: _SHOWN_CHARACTERS - 3] + "..."


def read_records(path: Path) -> tuple[Iterator[Any], bytes]:
    """Read a review file as a JSON list.

    Returns:
        Its records, unchecked, read as they are asked for, `Unreadable` for one that cannot be, and the bytes they come
        from.

    Raises:
        ReviewFormatError: The file is missing or too large; while records are asked for, also: a record is too large,
            or the file is no UTF-8 JSON or no list.
    """
    try:
        if not path.is_file():  # a pipe would be waited for without end
            raise ReviewFormatError(f"There is no review file at {path.name!r}.", hint=_HINT)
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ReviewFormatError(
                f"Review file {path.name!r} has {path.stat().st_size} bytes, at most {MAX_FILE_BYTES} are read.",
                hint="Export it in parts.",
            )
        data = path.read_bytes()
    except OSError as error:
        raise ReviewFormatError(f"Review file {path.name!r} cannot be read: {error.strerror}.", hint=_HINT) from error
    return _records_of(path, data), data


def _records_of(path: Path, data: bytes) -> Iterator[Any]:
    try:
        yield from json_list(io.BytesIO(data), MAX_RECORD_BYTES)
    except ValueError as error:
        raise ReviewFormatError(f"Review file {path.name!r} {shown(str(error))}.", hint=_HINT) from error


def task_record(value: Any) -> TaskRecord:
    """Check one record.

    Raises:
        ReviewRecordError: It cannot be read, is too deep or breaks its form.
    """
    if isinstance(value, Unreadable):
        raise ReviewRecordError(f"the record {value.why}", code="BAD_RECORD")
    if not is_shallow(value):
        raise ReviewRecordError(f"nested deeper than {MAX_RECORD_DEPTH} levels", code="TOO_DEEP")
    return _validated(TaskRecord, value)


def annotation(value: Any) -> Annotation:
    """Check one annotation of a record.

    Raises:
        ReviewRecordError: It breaks its form.
    """
    return _validated(Annotation, value)


def region(value: Any) -> Region | None:
    """Check one region of an annotation; None for a relation and for a prompt, which label nothing.

    Raises:
        ReviewRecordError: It breaks its form, or is of a kind that cannot be taken in.
    """
    kind, control = (value.get("type"), value.get("from_name")) if isinstance(value, dict) else (None, None)
    if kind == "relation" or control in (CLICK_CONTROL, PROMPT_CONTROL):
        return None
    form = _FORMS.get(kind) if isinstance(kind, str) else None
    if form is None:
        raise ReviewRecordError(
            f"type is {kind!r}, expected one of {', '.join(_FORMS)}", code="UNSUPPORTED_REGION", pointer="/type"
        )
    return _validated(form, value)


def _validated(form: type[_FormT], value: Any) -> _FormT:
    try:
        return form.model_validate(value)
    except ValidationError as error:
        # the tool's own value stays out of the message: it may be large, or hold a name
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "".join(f"/{part}" for part in first["loc"])
        raise ReviewRecordError(first["msg"], code="BAD_RECORD", pointer=shown(place)) from error


def is_shallow(value: Any) -> bool:
    """Say whether a value is nested no deeper than a record may be; needs no recursion itself."""
    level = [value]
    for _ in range(MAX_RECORD_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False
