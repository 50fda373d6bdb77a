"""The parts beside the model: decoding, against what else one would write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.engines import CORES, cycle, fast_decode, pillow_decode
from bench.measure import Work, measure
from bench.photos import photos
from bench.ratios import Table
from labelop.ingest.decode import decode

_TARGET_PX = (224, 224)


def decode_table(size: str, folder: Path, rounds: int, seconds: float) -> Table:
    """Measure decoding JPEGs of one size to a 224 px input."""
    paths = photos(size, folder)

    def simplejpeg_full(path: Path) -> Any:
        import simplejpeg  # noqa: PLC0415 - an extra of its own

        return simplejpeg.decode_jpeg(path.read_bytes())

    def pillow(path: Path) -> Any:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    def pillow_stretched(path: Path) -> Any:
        with Image.open(path) as image:
            return np.asarray(image.resize(_TARGET_PX, Image.Resampling.BILINEAR))

    def ours(path: Path) -> Any:
        return decode(path.read_bytes())

    single = {
        "Pillow, all pixels": pillow,
        "simplejpeg, all pixels": simplejpeg_full,
        "ours, all pixels (checked, turned upright)": ours,
        "Pillow + stretch": pillow_stretched,
        "Pillow scaled + stretch": lambda path: pillow_decode(path, _TARGET_PX),
        "simplejpeg scaled + stretch": lambda path: fast_decode(path, _TARGET_PX),
    }
    cases = {f"{name}, 1 thread": _one_by_one(step, paths) for name, step in single.items()}
    reference = "Pillow, all pixels, 1 thread"
    for name in ("ours, all pixels (checked, turned upright)", "simplejpeg scaled + stretch"):
        cases[f"{name}, {CORES} threads"] = _pooled(single[name], paths)
    title = f"Decoding JPEG, {size}"
    return Table(f"decode-{size}", title, "images/s", reference, measure(cases, rounds, seconds, 8))


def _one_by_one(step: Any, paths: list[Path]) -> Work:
    def work(count: int) -> None:
        for path in cycle(paths, count):
            step(path)

    return work


def _pooled(step: Any, paths: list[Path]) -> Work:
    def work(count: int) -> None:
        with ThreadPoolExecutor(CORES) as pool:
            for _ in pool.map(step, cycle(paths, count)):
                pass

    return work
