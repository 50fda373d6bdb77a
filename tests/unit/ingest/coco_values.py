"""What tests of COCO files build and ask."""

from __future__ import annotations

from typing import Any

from labelop.ingest.manifest import Manifest, build_manifest
from labelop.settings import Settings


def build(uri: str) -> Manifest:
    """Read a COCO source."""
    return build_manifest(uri, "set", "coco", settings=Settings())


def refusals(manifest: Manifest) -> list[tuple[str, str, str]]:
    """Give file, pointer and reason of every fault."""
    return [(row["path"], row["pointer"], row["reason"]) for row in manifest.quarantine]


def annotation(**changes: Any) -> dict[str, Any]:
    """Make a good annotation record with some keys changed."""
    return {"id": 2, "image_id": 1, "category_id": 7, "bbox": [1, 1, 3, 2]} | changes
