"""Photo-like JPEGs of a wanted size, made from real microscope photographs, or from the sample where they are away."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPHS = ROOT.parent / "shared/data/bccd/images"
SAMPLE = ROOT / "data/sample/smears/images"
SIZES = {"640x480": (640, 480), "1920x1080": (1920, 1080)}
"""Sizes measured."""

_QUALITY = 90
_TURNS = (None, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180)


def photos(size: str, folder: Path, count: int = 64) -> list[Path]:
    """Make `count` distinct JPEGs of a size, once.

    Larger ones are tiles of four photographs, each enlarged, so that detail and noise stay those of a photograph. When
    all photographs are used up, they come again turned upside down, then mirrored, then both.
    """
    target = folder / f"photos-{size}"
    wanted = [target / f"{number:03}.jpg" for number in range(count)]
    if all(path.exists() for path in wanted):
        return wanted
    target.mkdir(parents=True, exist_ok=True)
    sources = sorted((PHOTOGRAPHS if PHOTOGRAPHS.is_dir() else SAMPLE).glob("*.jpg"))
    width, height = SIZES[size]
    columns = 1 if width <= 640 else 2
    cell = (-(-width // columns), -(-height // columns))
    for number, path in enumerate(wanted):
        sheet = Image.new("RGB", (width, height))
        for part in range(columns * columns):
            again, source = divmod(number * columns * columns + part, len(sources))
            with Image.open(sources[source]) as opened:
                piece = opened.convert("RGB").resize(cell, Image.Resampling.BICUBIC)
            if turn := _TURNS[again % len(_TURNS)]:
                piece = piece.transpose(turn)
            sheet.paste(piece, (part % columns * cell[0], part // columns * cell[1]))
        sheet.save(path, quality=_QUALITY)
    return wanted
