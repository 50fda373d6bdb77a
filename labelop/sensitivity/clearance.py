"""Where one image may go and in which form: the one answer that routing, planning, batches and landing share.

The gate asks the same rules again for every image. Knows tables and rules; must not know pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from labelop.landing.store import Store
from labelop.queries import run_query
from labelop.sensitivity.effective import effective_levels
from labelop.sensitivity.levels import Level
from labelop.sensitivity.release import ReleaseForm, ReleasePolicy, release_form
from labelop.sensitivity.results import region_of
from labelop.sensitivity.signals.base import Finding

CLOUD = "cloud"
"""The placement that release rules are about."""


class NamedPolicy(ReleasePolicy, Protocol):
    """A policy that says which it is."""

    @property
    def digest(self) -> str:
        """SHA-256 of the policy."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts for one image now."""

    level: Level
    """The strictest of all owners of the very same bytes."""
    findings: tuple[Finding, ...] = ()
    """All evidence behind it; empty where no changed form could let it go further, or where evidence is lacking."""


@dataclass(frozen=True, slots=True)
class Clearance:
    """An image may be at a placement."""

    form: ReleaseForm | None = None
    """What has to be done to it before; None for nothing."""


def clear(policy: ReleasePolicy, standing: Standing, placement: str) -> Clearance | None:
    """Say whether and in which form an image may be at a placement; None when it may not."""
    if placement in policy.allowed_placements(standing.level):
        return Clearance()
    form = release_form(policy, standing.level, standing.findings, placement)
    return None if form is None else Clearance(form)


def group_of(level: str, rule_id: str | None, stratum: str | None = None) -> str:
    """Name the images of a level that leave by one rule, or without one; of these those of a stratum if given."""
    return f"{level}{f', released by {rule_id}' if rule_id else ''}{f', {stratum}' if stratum else ''}"


def cloud_rule(policy: ReleasePolicy, standing: Standing) -> str | None:
    """Name the rule by which an image may go to the cloud; None where it needs none, or may not go there at all."""
    cleared = clear(policy, standing, CLOUD)
    return None if cleared is None or cleared.form is None else cleared.form.rule_id


def cloud_group(policy: ReleasePolicy, standing: Standing, stratum: str | None = None) -> str:
    """Name the group that one image belongs to, see `group_of`."""
    return group_of(standing.level.text, cloud_rule(policy, standing), stratum)


def cloud_groups(policy: ReleasePolicy) -> frozenset[str]:
    """Name the groups whose images may be at the cloud."""
    as_they_are = {level.text for level in Level if CLOUD in policy.allowed_placements(level)}
    released = {group_of(level.text, rule.rule_id) for level in Level for rule in policy.release_rules}
    return frozenset(as_they_are | released)


def changes(
    policy: ReleasePolicy, standing: Mapping[str, Standing], image_ids: Iterable[str], placement: str
) -> list[list[Any]]:
    """List what has to be done to images before they go to a placement, as JSON values; empty where nothing has to."""
    found = []
    for image_id in image_ids:
        cleared = clear(policy, standing[image_id], placement)
        if cleared is not None and cleared.form is not None:
            found.append([image_id, [list(region) for region in cleared.form.redact], cleared.form.downscale_px])
    return found


def standings(store: Store, dataset: str, dataset_version: str, policy: NamedPolicy) -> dict[str, Standing]:
    """Read what counts for every classified image of a dataset version.

    Args:
        store: Where the tables are.
        dataset: Dataset name.
        dataset_version: Dataset version.
        policy: What the dataset must have been classified under. Evidence is read only for levels that could leave in
            a changed form.

    Returns:
        Standing by image id; an image that this policy has not classified is missing, and counts as restricted.
    """
    levels = effective_levels(store, dataset, dataset_version, policy.digest)
    may_change = {level for level in set(levels.values()) if _could_leave(policy, level)}
    if not may_change:
        return {image_id: Standing(level) for image_id, level in levels.items()}
    held = _evidence(store, dataset, dataset_version)
    return {
        image_id: Standing(level, held.get(image_id, ()) if level in may_change else ())
        for image_id, level in levels.items()
    }


def _could_leave(policy: ReleasePolicy, level: Level) -> bool:
    is_shut = level is not Level.RESTRICTED and CLOUD not in policy.allowed_placements(level)
    return is_shut and any(level <= rule.up_to for rule in policy.release_rules)


def _evidence(store: Store, dataset: str, dataset_version: str) -> dict[str, tuple[Finding, ...]]:
    """Collect what every owner holds against each image; nothing where one of them has a level without evidence."""
    rows = run_query(store, "release_evidence", {"dataset": dataset, "dataset_version": dataset_version}).to_pylist()
    by_image: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_image[str(row["image_id"])].append(row)
    return {key: tuple(map(_finding, held)) for key, held in by_image.items() if _explained(held)}


def _explained(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether the findings of each owner account for the level that this owner gives."""
    given: dict[tuple[str, str], Level] = {}
    shown: dict[tuple[str, str], Level] = defaultdict(lambda: Level.PUBLIC)
    for row in rows:
        owner = row["dataset"], row["dataset_version"]
        if row["signal"] is None:
            return False
        given[owner] = Level.from_text(row["own_level"])
        shown[owner] = max(shown[owner], Level.from_text(row["level"]))
    return all(level <= shown[owner] for owner, level in given.items())


def _finding(row: dict[str, Any]) -> Finding:
    return Finding(
        row["signal"], row["signal_version"], row["category"], Level.from_text(row["level"]), row["evidence"],
        region_of(row), row["score"], row["token"],
    )  # fmt: skip
