"""The level that counts for an image: the strictest of all owners of the very same bytes.

One owner's word must not open what another keeps shut, so levels are joined over the current versions of all datasets
each time they are used. Knows no placement.
"""

from __future__ import annotations

import pyarrow.compute as pc

from labelop.landing.store import Store
from labelop.queries import run_query
from labelop.sensitivity.levels import Level


def effective_levels(store: Store, dataset: str, dataset_version: str, policy_digest: str) -> dict[str, Level]:
    """Read the level of every classified image of a dataset version.

    Args:
        store: Where the tables are.
        dataset: Dataset name.
        dataset_version: Dataset version.
        policy_digest: Policy the dataset must have been classified under.

    Returns:
        Level by image id; an image that this policy has not classified is missing, and counts as restricted.
    """
    found = run_query(store, "effective_levels", {"dataset": dataset, "dataset_version": dataset_version})
    found = found.filter(pc.field("policy_digest") == policy_digest)
    named = {text: Level.from_text(text) for text in found["level"].unique().to_pylist()}
    columns = (found[name].to_pylist() for name in ("image_id", "level"))
    return {image_id: named[level] for image_id, level in zip(*columns, strict=True)}
