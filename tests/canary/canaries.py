"""Pictures that carry canaries: texts and patterns that are nowhere else, so that finding one proves a leak.

A picture holds one pattern in its pixels, spread over the whole frame so that it survives scaling and JPEG, another one
in its thumbnail, and texts in its notes, its name, its folder and its labels.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

CELLS = 16
"""Cells of a pattern along each side: coarse enough to survive a model's input frame."""
STRENGTH = 26.0
"""How far a pattern moves a pixel, grey levels."""

TEXTS = ("gps", "artist", "comment", "xmp", "file", "folder", "label")
"""Where a picture carries texts."""


@dataclass(frozen=True)
class Tagged:
    """One picture with its canaries."""

    name: str
    pixels: NDArray[np.uint8]
    encoded: bytes
    texts: dict[str, str]
    """Text by where it is."""
    patterns: tuple[str, str]
    """Seeds of the pattern of its pixels and of its thumbnail."""

    @property
    def path(self) -> str:
        """Place below the source's root."""
        return f"images/{self.texts['folder']}/{self.texts['file']}.jpg"


def pattern(seed: str, cells: int = CELLS) -> NDArray[np.float64]:
    """Draw a pattern of plus and minus one, as many of each; the same for the same seed."""
    signs = np.repeat([1.0, -1.0], cells * cells // 2)
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    np.random.default_rng(number).shuffle(signs)
    return signs.reshape(cells, cells)


def drawn(seed: str, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Draw a picture with shapes and noise, and a pattern over it."""
    number = int.from_bytes(hashlib.sha256(f"scene {seed}".encode()).digest()[:8], "big")
    rng = np.random.default_rng(number)
    scene = np.asarray(
        Image.fromarray(rng.integers(60, 200, (5, 6, 3), dtype=np.uint8)).resize((width_px, height_px)), dtype=float
    )
    signs = Image.fromarray(pattern(seed)).resize((width_px, height_px), Image.Resampling.NEAREST)
    noise = rng.normal(0, 6, scene.shape)
    return np.clip(scene + STRENGTH * np.asarray(signs)[..., None] + noise, 0, 255).astype(np.uint8)


Paint = Callable[[NDArray[np.uint8], str], None]
"""Draws a text into pixels."""


def tagged(
    name: str, *, width_px: int = 96, height_px: int = 72, with_gps: bool = True, paint: Paint | None = None
) -> Tagged:
    """Make one picture; a public one goes without a position, which would restrict it.

    Args:
        name: Its name, from which all canaries follow.
        width_px: Width.
        height_px: Height.
        with_gps: Whether its notes have a position.
        paint: Draws one more text, `code`, into the picture; None for no such text.
    """
    texts = {where: _text(name, where) for where in TEXTS}
    if not with_gps:
        del texts["gps"]
    seeds = (f"{name} pixels", f"{name} thumbnail")
    pixels = drawn(seeds[0], width_px, height_px)
    if paint is not None:
        texts["code"] = _text(name, "code")
        paint(pixels, texts["code"])
    notes = Image.Exif()
    notes[0x013B] = texts["artist"]
    if with_gps:
        whole = TiffImagePlugin.IFDRational(52, 1)
        notes.get_ifd(0x8825).update({1: "N", 2: (whole, whole, whole), 27: b"ASCII\0\0\0" + texts["gps"].encode()})
    out = io.BytesIO()
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><owner>{texts["xmp"]}</owner></x:xmpmeta>'.encode()
    Image.fromarray(pixels).save(
        out, "JPEG", quality=95, exif=_with_thumbnail(notes, seeds[1]), comment=texts["comment"], xmp=xmp
    )
    return Tagged(name, pixels, out.getvalue(), texts, seeds)


def _text(name: str, where: str) -> str:
    return f"cnry{hashlib.sha256(f'{name} {where}'.encode()).hexdigest()[:20]}"


def _with_thumbnail(notes: Image.Exif, seed: str) -> bytes:
    """Append a second directory with a thumbnail, which Pillow does not write by itself."""
    small = io.BytesIO()
    Image.fromarray(drawn(seed, 64, 48)).save(small, "JPEG", quality=90)
    base = notes.tobytes()[6:]
    order: Any = "little" if base[:2] == b"II" else "big"
    first = int.from_bytes(base[4:8], order)
    end = first + 2 + 12 * int.from_bytes(base[first : first + 2], order)
    place = len(base)
    entries = [(0x0103, 3, 6), (0x0201, 4, place + 2 + 36 + 4), (0x0202, 4, len(small.getvalue()))]
    directory = len(entries).to_bytes(2, order)
    for tag, kind, value in entries:
        size = 2 if kind == 3 else 4
        directory += tag.to_bytes(2, order) + kind.to_bytes(2, order) + (1).to_bytes(4, order)
        directory += value.to_bytes(size, order).ljust(4, b"\0")
    linked = base[:end] + place.to_bytes(4, order) + base[end + 4 :]
    return b"Exif\0\0" + linked + directory + bytes(4) + small.getvalue()


@dataclass(frozen=True)
class Source:
    """A folder of pictures as an owner hands it over."""

    root: Path
    pictures: tuple[Tagged, ...]
    labels: list[str] = field(default_factory=list)


def write_source(root: Path, pictures: list[Tagged], categories: tuple[str, ...]) -> Source:
    """Write pictures with a COCO file whose labels carry canaries beside one category that models know."""
    labels = [one.texts["label"] for one in pictures]
    names = [*categories, *labels]
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    for number, one in enumerate(pictures, start=1):
        file = root / one.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(one.encoded)
        height, width = one.pixels.shape[:2]
        truth["images"].append({"id": number, "file_name": one.path, "width": width, "height": height})
        for category in (1, len(categories) + number):
            key = len(truth["annotations"]) + 1
            box = {"bbox": [4, 4, 20, 16], "area": 320, "iscrowd": 0}
            truth["annotations"].append({"id": key, "image_id": number, "category_id": category, **box})
    (root / "annotations.json").write_text(json.dumps(truth))
    return Source(root, tuple(pictures), labels)
