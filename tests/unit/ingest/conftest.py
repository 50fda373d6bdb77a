"""Tiny pictures and annotation files for the tests of this folder."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelop.settings import Settings

Encoder = Callable[..., bytes]


def encoded(kind: str = "PNG", *, size: tuple[int, int] = (8, 6), seed: int = 0, **options: Any) -> bytes:
    """Draw noise of (width, height) pixels and encode it."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def picture() -> Encoder:
    """Give the factory of encoded pictures."""
    return encoded


@pytest.fixture
def settings() -> Settings:
    """Give default settings."""
    return Settings()


@pytest.fixture
def coco_source(tmp_path: Path) -> Callable[..., str]:
    """Give a factory that writes a COCO source of one 8 x 6 image `images/a.png` and returns its address."""

    def write(**changes: Any) -> str:
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images/a.png").write_bytes(encoded())
        document: dict[str, Any] = {
            "images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 6}],
            "categories": [{"id": 7, "name": "cell"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 3, 2]}],
        }
        (tmp_path / "annotations.json").write_text(json.dumps(document | changes))
        return str(tmp_path)

    return write
