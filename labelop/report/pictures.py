"""Choose a few reviewed images and prepare them with their corrections drawn on top.

Pixels of a restricted image never enter the page unless the caller says so, and an image without a known level counts
as restricted. Knows no HTML: a picture is a JPEG data URI and boxes in pixels; the template draws them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.errors import LabelopError
from labelop.report.results import Row
from labelop.report.styles import BY_OP, Style
from labelop.report.values import plain, shown

LIMIT = 8
"""Pictures on the page at most."""

WIDEST_PX = 720
"""Longer edge of an embedded picture; boxes stay in pixels of the original."""

_QUALITY = 82
_LEVELS = ("public", "internal", "confidential", "restricted")

Read = Callable[[Row], NDArray[np.uint8]]
"""Gives the upright pixels, uint8 RGB of shape (height, width, 3), of a row of `picture_list`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One box of a picture."""

    style: Style
    """Colour and line of its operation."""
    x_px: float
    """Left edge, pixels of the original."""
    y_px: float
    """Top edge, pixels of the original."""
    width_px: float
    """Width, pixels of the original."""
    height_px: float
    """Height, pixels of the original."""
    is_draft: bool
    """Whether it is the draft of a box that was adjusted; drawn thin."""
    words: str
    """What a pointer over the box shows."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One reviewed image under one arm."""

    caption: str
    """Dataset, file and arm."""
    detail: str
    """Model, level, the count of each operation and whether the reviewer was simulated."""
    width_px: int
    """Width of the original, pixels, upright."""
    height_px: int
    """Height of the original, pixels, upright."""
    source: str | None
    """JPEG data URI; None when the original could not be read again."""
    marks: tuple[Mark, ...]
    """Boxes in drawing order."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """The pictures of the page and what is not among them."""

    pictures: tuple[Picture, ...]
    """At most `LIMIT`, chosen to show many kinds of corrections."""
    reviewed_count: int
    """Reviewed images there are."""
    withheld_count: int
    """Images kept out because they are restricted or their level is unknown."""


def choose(rows: Sequence[Row], *, limit: int = LIMIT, include_restricted: bool = False) -> tuple[list[Row], int]:
    """Choose reviews to show: least sensitive first, then images seen under both arms, then many kinds of corrections.

    Args:
        rows: Rows of the query `picture_list`, one per review.
        limit: Most pictures.
        include_restricted: Whether restricted images may be shown.

    Returns:
        Chosen rows, and how many distinct images were kept out for their level.
    """
    open_rows = [row for row in rows if include_restricted or _rank(row) < len(_LEVELS) - 1]
    shut = {row["image_id"] for row in rows} - {row["image_id"] for row in open_rows}
    images: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(open_rows, key=lambda row: (row["arm"] != "local", str(row["review_id"]))):
        images.setdefault((str(row["dataset"]), str(row["image_id"])), []).append(row)
    queues: dict[str, list[list[Row]]] = {}
    for (dataset, _), reviews in sorted(images.items(), key=lambda item: (*_worth(item[1]), item[0])):
        queues.setdefault(dataset, []).append(reviews)
    # one image from each dataset in turn, so that every dataset is seen
    taken: list[Row] = []
    while len(taken) < limit and any(queues.values()):
        for queue in queues.values():
            taken += queue.pop(0) if queue else []
    chosen = sorted(taken[:limit], key=lambda row: (str(row["dataset"]), str(row["path"]), row["arm"] != "local"))
    return chosen, len(shut)


def _worth(reviews: Sequence[Row]) -> tuple[int, int, float]:
    """Sort key of one image: least sensitive, then seen under both arms, then many kinds of corrections."""
    return (
        _rank(reviews[0]),
        -len({row["arm"] for row in reviews}),
        -sum(_number(row, "kinds_count") for row in reviews),
    )


def picture(row: Row, edits: Sequence[Row], read: Read) -> Picture:
    """Prepare one picture.

    Args:
        row: Row of `picture_list`.
        edits: Rows of `picture_marks` of the same review.
        read: Gives the pixels.
    """
    counts = {style.name: sum(edit["op"] == style.op for edit in edits) for style in BY_OP.values()}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no labels"
    by = " Simulated reviewer." if row["simulated"] else ""
    try:
        source = encode(read(row))
        lost = ""
    except (LabelopError, OSError) as error:
        # the page shows the boxes all the same and says why there is no picture
        source, lost = None, f" Picture not available: {plain(str(error))}"
    return Picture(
        caption=f"{shown(row['dataset'])}: {shown(row['path'])}",
        detail=f"{shown(row['arm'])} arm, {shown(row['model_id'])}, level {shown(row['level'])}: {told}.{by}{lost}",
        width_px=int(_number(row, "width_px")),
        height_px=int(_number(row, "height_px")),
        source=source,
        marks=tuple(mark for edit in edits for mark in _marks(edit)),
    )


def encode(pixels: NDArray[np.uint8]) -> str:
    """Shrink and encode pixels as a JPEG data URI.

    Made from pixels alone, so neither EXIF nor anything else of the original file comes along.

    Args:
        pixels: uint8 RGB, shape (height, width, 3), upright.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((WIDEST_PX, WIDEST_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _marks(edit: Row) -> list[Mark]:
    style = BY_OP[str(edit["op"])]
    before, after = shown(edit["predicted_label"]), shown(edit["accepted_label"])
    score = "" if edit["score"] is None else f", score {shown(edit['score'], 'number', 2)}"
    words = {
        "accept": f"{after}{score}",
        "adjust": f"{after}, box adjusted{score}",
        "relabel": f"{before} changed to {after}{score}",
        "adjust_relabel": f"{before} changed to {after}, box adjusted{score}",
        "delete": f"{before} deleted{score}",
        "add": f"{after} added",
    }[style.op]
    marks = []
    if style.op in ("adjust", "adjust_relabel", "delete"):
        marks.append(_mark(edit, "predicted", style, words, is_draft=style.op != "delete"))
    if style.op != "delete":
        marks.append(_mark(edit, "accepted", style, words, is_draft=False))
    return [mark for mark in marks if mark is not None]


def _mark(edit: Row, side: str, style: Style, words: str, *, is_draft: bool) -> Mark | None:
    names = [f"{side}_{edge}_px" for edge in ("x0", "y0", "x1", "y1")]
    if any(edit[name] is None for name in names):
        return None  # a label of the whole image has no box
    x0, y0, x1, y1 = (_number(edit, name) for name in names)
    return Mark(style, x0, y0, x1 - x0, y1 - y0, is_draft, words)


def _rank(row: Row) -> int:
    level = row["level"]
    return _LEVELS.index(level) if isinstance(level, str) and level in _LEVELS else len(_LEVELS) - 1


def _number(row: Row, name: str) -> float:
    value = row[name]
    if not isinstance(value, int | float):
        raise TypeError(f"column {name} holds {value!r}, expected a number")
    return float(value)
