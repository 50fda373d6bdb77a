"""Strata that a pilot's verdict may be about: where an image comes from, or how large it is.

Both are known of every image before anything is drafted, so images of later versions have them too. A stratum is a text
that says all of itself: whoever reads it in a table can tell which images it means. Knows no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from labelop.landing.store import Store
from labelop.queries import run_query

ALL_STRATA = "all"
"""Stratum of a verdict about all images, each stratum with its weight."""

SOURCE, SIZE = "source", "size"
"""What images may be told apart by."""


@dataclass(frozen=True, slots=True)
class Split:
    """One way to tell images apart."""

    by: str
    """source: the first folder of its path | size: its pixels."""
    limit_px: int = 0
    """Width times height of the largest small image; 0 by source."""

    def stratum_of(self, source: str, area_px: int) -> str:
        """Name the stratum of an image."""
        if self.by == SOURCE:
            return f"{SOURCE} {source}"
        return f"{SIZE} {'above' if area_px > self.limit_px else 'up to'} {self.limit_px} px"


def split_of(stratum: str) -> Split | None:
    """Tell which split made a stratum; None for all images together."""
    if stratum.startswith(f"{SOURCE} "):
        return Split(SOURCE)
    sized = re.fullmatch(rf"{SIZE} (?:above|up to) (\d+) px", stratum)
    return Split(SIZE, int(sized[1])) if sized else None


def strata_of(store: Store, dataset: str, dataset_version: str, wanted: Collection[str]) -> dict[str, str]:
    """Find the images of some strata of one split.

    Args:
        store: Where the tables are.
        dataset: Dataset name.
        dataset_version: Dataset version.
        wanted: Strata.

    Returns:
        Stratum by image id; an image of another stratum is in none of them, never in a neighbour's.
    """
    split = next((found for found in map(split_of, sorted(wanted)) if found is not None), None)
    if split is None:
        return {}
    params = {"dataset": dataset, "dataset_version": dataset_version}
    rows = run_query(store, "image_origins", params).to_pylist()
    found = {row["image_id"]: split.stratum_of(row["source"], row["area_px"]) for row in rows}
    return {image_id: stratum for image_id, stratum in found.items() if stratum in wanted}
