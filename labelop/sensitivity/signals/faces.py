"""Faces: OpenCV's bundled cascades on a thumbnail, or a detector from the catalog with a class `face`.

Cascades are old and miss what is turned, small or covered; a detector by model card is the better choice where there
is one. Knows no policy and no table.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from labelop.ingest.decode import ImageArray
from labelop.sensitivity.signals.base import Observation, Region

NAME = "faces"
VERSION = "2"
CATEGORIES = ("face",)
CLASS_NAME = "face"
"""Class a detector's card must have."""

_SIDE = 640  # a cascade takes 76-117 ms on this side and 433-505 on 1920x1080
_CASCADES = (("haarcascade_frontalface_default.xml", 5), ("haarcascade_frontalface_alt2.xml", 3))
"""File, and how many neighbouring hits a face takes; fewer let the first one see faces everywhere."""
_LEAST_SIDE = 24
_STEP = 1.1
_CONTRAST, _TILES = 2.0, (8, 8)
_OVERLAP = 0.3


def observe(pixels: ImageArray, key: str = "", *, card: str = "", threads: int = 1) -> list[Observation]:
    """Find faces; one observation each.

    Args:
        pixels: uint8 RGB, shape (height, width, 3), upright.
        key: Not used; a face has no token, since equal faces never give equal pixels.
        card: File of a detector's model card with a class `face`; the cascades when empty.
        threads: Threads of that detector.

    Raises:
        ImportError: OpenCV 4 is not installed.
        ModelInputError: The card is no detector of faces.
    """
    del key
    if card:
        return _detected(pixels, Path(card), threads)
    import numpy as np  # noqa: PLC0415 - as OpenCV, which finds the faces

    height, width = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    grey: Any = Image.fromarray(pixels).convert("L")
    if scale < 1:
        grey = grey.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR)
    small = _evened(np.asarray(grey))
    boxes: list[Region] = []
    for cascade, neighbours in _cascades():
        for x, y, w, h in cascade.detectMultiScale(small, _STEP, neighbours, minSize=(_LEAST_SIDE, _LEAST_SIDE)):
            box = (float(x / scale), float(y / scale), float((x + w) / scale), float((y + h) / scale))
            if not any(_overlap(box, other) > _OVERLAP for other in boxes):
                boxes.append(box)
    return [Observation(CATEGORIES[0], "a face", box) for box in boxes]


def _detected(pixels: ImageArray, path: Path, threads: int) -> list[Observation]:
    from labelop.catalog.cards import load_card  # noqa: PLC0415 - opens engines
    from labelop.catalog.choice import EngineChoice  # noqa: PLC0415
    from labelop.engines.base import ModelInputs, open_engine  # noqa: PLC0415
    from labelop.errors import ModelInputError  # noqa: PLC0415
    from labelop.settings import Settings  # noqa: PLC0415

    card = load_card(path)
    if card.task != "detection" or CLASS_NAME not in card.classes:
        raise ModelInputError(f"Model {card.id} is no detector with a class `{CLASS_NAME}`.")
    # what was chosen or measured for the models of a night says nothing about this one
    engine = open_engine(card, Settings(engine_threads=threads), EngineChoice("onnxruntime"))
    height, width = pixels.shape[:2]
    raw = engine.forward(ModelInputs(engine.preprocess(pixels)[None]))
    found = engine.postprocess(raw, 0, width, height)
    wanted = card.classes.index(CLASS_NAME)
    return [
        Observation(CATEGORIES[0], "a face", (float(b[0]), float(b[1]), float(b[2]), float(b[3])), float(score))
        for b, score, index in zip(found.boxes, found.scores, found.class_index, strict=True)
        if index == wanted
    ]


def _evened(grey: Any) -> Any:
    """Even out the contrast: without it cascades miss dark faces and faces in bad light."""
    import cv2  # noqa: PLC0415

    return cv2.createCLAHE(_CONTRAST, _TILES).apply(grey)


@lru_cache(maxsize=1)
def _cascades() -> tuple[tuple[Any, int], ...]:
    import cv2  # noqa: PLC0415

    cv2.setNumThreads(1)  # as many pictures at once as there are cores
    folder = Path(cv2.__file__).parent / "data"
    return tuple((cv2.CascadeClassifier(str(folder / name)), neighbours) for name, neighbours in _CASCADES)


def _overlap(a: Region, b: Region) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))
