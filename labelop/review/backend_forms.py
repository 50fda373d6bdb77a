"""What a labelling editor sends for a prompt, checked, and what it gets back: Label Studio's ML backend protocol.

Knows the protocol and no model, table or address. Boxes and points come in percent of the upright image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labelop.engines.prompted import Clicks
from labelop.errors import ReviewRecordError
from labelop.geometry import Box, from_percent
from labelop.ids import digest_of
from labelop.review import brush
from labelop.review.annotation_forms import smart_id
from labelop.review.task_forms import IMAGE_OBJECT, MASK_CONTROL
from labelop.strict_text import read_json

MOST_BYTES = 32 << 20
"""Largest request: it brings all drafts and annotations of its task, masks among them."""
MOST_PROMPTS = 100
"""Most clicks of one mask."""

_Percent = Annotated[float, Field(ge=-1, le=101)]
_Edge = Annotated[float, Field(gt=0, le=101)]
_Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Data(_Form):
    task_uid: _Text
    image_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    dataset: _Text
    dataset_version: _Text


class _Task(_Form):
    data: _Data


class _BoxValue(_Form):
    x: _Percent
    y: _Percent
    width: _Edge
    height: _Edge
    rotation: Literal[0] = 0
    rectanglelabels: list[_Text] = Field(default_factory=list, max_length=1)


class _PointValue(_Form):
    x: _Percent
    y: _Percent
    keypointlabels: list[_Text] = Field(default_factory=list, max_length=1)


class _BoxRegion(_Form):
    type: Literal["rectanglelabels", "rectangle"]
    value: _BoxValue


class _PointRegion(_Form):
    type: Literal["keypointlabels", "keypoint"]
    value: _PointValue
    is_positive: bool = True


_Region: TypeAlias = Annotated[_BoxRegion | _PointRegion, Field(discriminator="type")]


class _Context(_Form):
    result: list[_Region] = Field(default_factory=list, max_length=MOST_PROMPTS)


class _Params(_Form):
    context: _Context | None = None


class _Request(_Form):
    tasks: list[_Task] = Field(min_length=1, max_length=100)
    params: _Params | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One image somebody looks at in the editor."""

    task_uid: str
    """Our name of the task."""
    image_id: str
    """SHA-256 of the original bytes; the only thing by which an image is found."""
    dataset: str
    """Dataset name."""
    dataset_version: str
    """Dataset version."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an editor asks."""

    tasks: tuple[Asked, ...]
    """Images; prompts belong to the first and only one."""
    regions: tuple[_BoxRegion | _PointRegion, ...]
    """Prompts of one mask in the order they were drawn; where there are none nothing is answered."""


def parse(data: bytes) -> Request:
    """Check a request.

    Raises:
        ReviewRecordError: It is too large, no strict JSON, or not of the form; its values are not in the message.
    """
    try:
        form = _Request.model_validate(read_json(data, MOST_BYTES))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "/".join(str(part) for part in first["loc"])[:100]
        raise ReviewRecordError(f"{place}: {first['msg']}"[:200], code="BAD_RECORD") from error
    except ValueError as error:
        raise ReviewRecordError(f"the request {error}"[:200], code="BAD_RECORD") from error
    drawn = form.params.context.result if form.params and form.params.context else []
    tasks = tuple(Asked(**one.data.model_dump()) for one in form.tasks)
    if drawn and len(tasks) != 1:
        raise ReviewRecordError(f"{len(tasks)} tasks with one prompt, expected one", code="BAD_RECORD")
    return Request(tasks, tuple(drawn))


def prompt_of(regions: Sequence[_BoxRegion | _PointRegion], width_px: int, height_px: int) -> Box | Clicks:
    """Bring what was drawn into pixels of the upright image: the box drawn last, or all clicks.

    Raises:
        ReviewRecordError: Nothing of it lies in the image.
    """
    last = regions[-1]
    if isinstance(last, _PointRegion):
        points = [one for one in regions if isinstance(one, _PointRegion)]
        on, off = (
            tuple(_pixels(one.value, width_px, height_px) for one in points if one.is_positive is wanted)
            for wanted in (True, False)
        )
        return Clicks(on, off)
    value = last.value
    box = from_percent(value.x, value.y, value.width, value.height, width_px, height_px).clipped(width_px, height_px)
    if box is None:
        raise ReviewRecordError("nothing of the box lies in the image", code="BAD_BOX")
    return box


def _pixels(click: _PointValue, width_px: int, height_px: int) -> tuple[float, float]:
    x, y = click.x * width_px / 100, click.y * height_px / 100
    if not (0 <= x <= width_px and 0 <= y <= height_px):
        raise ReviewRecordError("a click is outside the image", code="BAD_BOX")
    return x, y


def mask_region(  # noqa: PLR0917 - what a region is made of
    regions: Sequence[_BoxRegion | _PointRegion], asked: Asked, counts: str, score: float, width_px: int, height_px: int
) -> dict[str, Any]:
    """Write a mask as the brush region that the editor shows; its class is that of the last prompt.

    Its id is all that the editor keeps of how it was made, so it says how many prompts that took.
    """
    value = regions[-1].value
    labels = value.keypointlabels if isinstance(value, _PointValue) else value.rectanglelabels
    return {
        "id": smart_id(len(regions), digest_of([asked.task_uid, counts])),
        "type": "brushlabels",
        "from_name": MASK_CONTROL,
        "to_name": IMAGE_OBJECT,
        "original_width": width_px,
        "original_height": height_px,
        "image_rotation": 0,
        "score": score,
        "value": {
            "format": "rle",
            "rle": brush.encode(brush.from_counts(counts, width_px, height_px)),
            "brushlabels": list(labels),
        },
    }
