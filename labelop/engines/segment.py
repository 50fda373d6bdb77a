"""Masks for the draft boxes of several images: one encoder pass for all, one decoder call per image.

An image's failure is its own and never its pass's. Knows no detector and no table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labelop.catalog.cards import ModelCard
from labelop.engines.lanes import Lane, Ready
from labelop.engines.masks import read_masks, to_model_frame
from labelop.engines.spent import Spent
from labelop.errors import EngineError
from labelop.geometry import BoxArray


@dataclass(frozen=True, slots=True)
class Prompted:
    """One image with the boxes whose masks are wanted."""

    index: int
    """Which image of the pass it is."""
    ready: Ready
    """The image in its lane's form."""
    boxes: BoxArray
    """Shape (b, 4), at least one, xyxy pixels of the image."""


def segment(
    lane: Lane, card: ModelCard, prompted: Sequence[Prompted], spent: Spent, most: int
) -> dict[int, list[str | None] | EngineError]:
    """Find the masks of boxes.

    Args:
        lane: How the images reach the segmenter.
        card: The segmenter.
        prompted: Images with their boxes.
        spent: Where time and bytes are booked.
        most: Most images that are encoded at once; the features of no more are held.

    Returns:
        By index one COCO compressed run length per box (None where nothing is inside), or why there is none.

    Raises:
        EngineUnavailableError: The server did not answer.
        EngineTimeoutError: The same, by time.
    """
    found: dict[int, list[str | None] | EngineError] = {}
    for start in range(0, len(prompted), most):
        part = prompted[start : start + most]
        for one, encoded in zip(part, _encoded(lane, card, part, spent), strict=True):
            try:
                found[one.index] = (
                    encoded if isinstance(encoded, EngineError) else _masks(lane, card, one, encoded, spent)
                )
            except EngineError as error:
                if error.retryable:
                    raise
                found[one.index] = error
    return found


def _encoded(lane: Lane, card: ModelCard, part: Sequence[Prompted], spent: Spent) -> list[Ready | EngineError]:
    try:
        with spent.booked([one.index for one in part]):
            return [*lane.encode(card, [one.ready for one in part])]
    except EngineError as error:
        if error.retryable:
            raise
        if len(part) == 1:
            return [error]
    # one image may have spoiled the pass for all: each gets its own
    return [encoded for one in part for encoded in _encoded(lane, card, [one], spent)]


def _masks(lane: Lane, card: ModelCard, one: Prompted, encoded: Ready, spent: Spent) -> list[str | None]:
    width, height = encoded.item.width_px, encoded.item.height_px
    prompts = to_model_frame(one.boxes, (width, height), (card.width_px, card.height_px))
    with spent.booked([one.index]) as travelled:
        raw = lane.prompt(card, encoded, prompts, travelled)
    return read_masks(raw, len(prompts), width, height)
