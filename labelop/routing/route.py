"""Decide for every group of images of a version which arm prelabels it, once, and land each option with its reason.

Decisions are landed per dataset version and never made twice for the same inputs: a repeated run must not change its
mind half way. Knows no engine and no orchestrator.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from labelop.catalog.cards import ModelCard
from labelop.cost.prices import PriceBook
from labelop.egress.denials import Denial, note_denials
from labelop.errors import ManifestError
from labelop.ids import digest_of, row_id
from labelop.ingest.register import ontology_of
from labelop.landing.filters import equal
from labelop.landing.store import Store, is_landed, land, read_rows
from labelop.queries import open_session, run_query, sql_root
from labelop.routing.decide import Decision, decide, explain
from labelop.routing.expect import Evidence, Workload
from labelop.routing.policy import RoutingPolicy
from labelop.routing.rules import LEVEL_NOT_ALLOWED, LevelPolicy
from labelop.routing.strata import strata_of
from labelop.routing.verdicts import verdicts_about
from labelop.schemas import utc_now
from labelop.sensitivity.clearance import CLOUD, cloud_rule, group_of, standings
from labelop.sensitivity.levels import Level
from labelop.settings import Settings

__all__ = ["Decision", "explain", "route_dataset"]

_REASONS = 5
"""Most kinds of evidence that the reason of a refusal names."""
_NOT_OWN = "said by another dataset that holds the same image, or by a named person"


def route_dataset(
    store: Store,
    dataset: str,
    dataset_version: str,
    *,
    routing: RoutingPolicy,
    policy: LevelPolicy,
    catalog: Mapping[str, ModelCard],
    prices: PriceBook,
    settings: Settings,
    run_id: str,
) -> list[Decision]:
    """Decide where each group of images of a dataset version is prelabelled, and land the decisions.

    A group are the images of one level and release rule, and of one stratum where strata have verdicts of their own.

    Args:
        store: Where the tables are; `datasets`, `images` and `levels` of this version are read.
        dataset: Dataset name.
        dataset_version: Dataset version.
        routing: Placements, arms and refusals.
        policy: What each level allows.
        catalog: Model cards by id.
        prices: Prices.
        settings: Where the SQL files and the egress log are.
        run_id: Run that decides, for provenance only.

    Returns:
        One decision per group and arm. Where they have landed for these inputs they are read, not made again.

    Raises:
        ManifestError: The dataset version is not registered, or no image of it has a level under this policy.
        OSError: The egress log does not take which images stay; nothing is decided.
    """
    where = {"dataset": dataset, "dataset_version": dataset_version}
    cards = {name: catalog[name].digest for arm in routing.arms for name in arm.cards if name in catalog}
    ontology = ontology_of(store, dataset, dataset_version)
    pilots = verdicts_about(store, dataset, ontology, routing, catalog)
    strata = strata_of(store, dataset, dataset_version, pilots.by_stratum)
    groups, size_bytes = _images(store, dataset, dataset_version, policy, strata)
    counts = {group: len(image_ids) for group, image_ids in sorted(groups.items())}
    by_group = {group_of(level.text, rule, stratum): count for (level, rule, stratum), count in counts.items()}
    inputs = digest_of([policy.digest, routing.digest, prices.digest, cards, ontology, by_group])
    if pilots.contrast_ids:
        inputs = digest_of([inputs, *pilots.contrast_ids])
    key = f"decisions:{dataset}:{dataset_version}:{inputs}"
    if not is_landed(store, "decisions", key):
        work = Workload(dataset, sum(counts.values()), size_bytes, routing.labels_per_image.get(ontology, 1.0))
        evidence = _evidence(store, settings, dataset, dataset_version)
        found = _found(store, where, policy)
        held = _held_because(found)
        rows: list[dict[str, Any]] = []
        denials: list[Denial] = []
        for (level, rule, stratum), images_count in counts.items():
            made = decide(
                level,
                work,
                ontology,
                routing=routing,
                policy=policy,
                catalog=catalog,
                evidence=evidence,
                prices=prices,
                released=frozenset({CLOUD} if rule else ()),
                pilot=pilots.about(stratum),
            )
            rows += [
                {
                    **_told(option, rule, policy, held.get(level, "")),
                    "decision_id": row_id("d", key, group_of(level.text, rule, stratum), option["arm"]),
                    "decision_set": row_id("ds", key),
                    "dataset": dataset,
                    "dataset_version": dataset_version,
                    "level": level.text,
                    "release_rule": rule or None,
                    "stratum": stratum or None,
                    "images_count": images_count,
                    "currency": prices.currency,
                    "policy_digest": policy.digest,
                    "run_id": run_id,
                    "landed_at": utc_now(),
                }
                for option in made
            ]
            shut = {option["placement"] for option in made if option["rule_id"] == LEVEL_NOT_ALLOWED}
            denials += [
                one for place in sorted(shut) for one in _denials(place, level, groups[level, rule, stratum], found)
            ]
        # first, as before a release: a crash in between leaves the lines twice, never a decision without them
        about = {"decision_set": row_id("ds", key)}
        note_denials(settings, "kept_by_routing", denials, about=about, policy_digest=policy.digest, run_id=run_id)
        land(store, "decisions", rows, key)
    # another run may have landed them first: what is in the table is what was decided
    names = {field.name for field in fields(Decision)}
    landed = read_rows(store, "decisions", filters=equal(**where, decision_set=row_id("ds", key)))
    landed.sort(
        key=lambda row: (Level.from_text(row["level"]), row["release_rule"] or "", row["stratum"] or "", row["arm"])
    )
    return [Decision(**{name: row[name] for name in names}) for row in landed]


def _images(
    store: Store, dataset: str, dataset_version: str, policy: LevelPolicy, strata: Mapping[str, str]
) -> tuple[dict[tuple[Level, str, str], list[str]], int]:
    """List distinct images by the level that counts, the rule that releases them and their stratum; and their bytes."""
    where = equal(dataset=dataset, dataset_version=dataset_version, outcome="ok")
    found = read_rows(store, "images", columns=["image_id", "size_bytes"], filters=where)
    size_of = {row["image_id"]: row["size_bytes"] or 0 for row in found}
    standing = standings(store, dataset, dataset_version, policy)
    groups: dict[tuple[Level, str, str], list[str]] = defaultdict(list)
    for image_id in sorted(size_of.keys() & standing.keys()):
        rule = cloud_rule(policy, standing[image_id]) or ""
        groups[standing[image_id].level, rule, strata.get(image_id, "")].append(image_id)
    if size_of and not groups:
        raise ManifestError(
            f"No image of {dataset} {dataset_version} has a level under policy {policy.digest[:12]}.",
            hint=f"Run `labelop classify --dataset {dataset}` first.",
        )
    return groups, sum(size_of.values())


def _found(store: Store, where: Mapping[str, str], policy: LevelPolicy) -> dict[str, tuple[Level, str]]:
    """Read what this dataset itself says of each image: its level, and the evidence that stands for it."""
    wanted = equal(**where, policy_digest=policy.digest)
    rows = read_rows(store, "levels", columns=["image_id", "level", "reason", "landed_at"], filters=wanted)
    newest = sorted(rows, key=lambda row: row["landed_at"])
    return {row["image_id"]: (Level.from_text(row["level"]), row["reason"] or "unknown") for row in newest}


def _held_because(found: Mapping[str, tuple[Level, str]]) -> dict[Level, str]:
    """Say for each level what this dataset's images have it for, the most frequent first."""
    counts: dict[Level, Counter[str]] = defaultdict(Counter)
    for level, why in found.values():
        counts[level][why] += 1
    order = {
        level: sorted(said.items(), key=lambda one: (-one[1], one[0]))[:_REASONS] for level, said in counts.items()
    }
    return {level: ", ".join(f"{why} ({count})" for why, count in said) for level, said in order.items()}


def _denials(
    placement: str, level: Level, image_ids: Sequence[str], found: Mapping[str, tuple[Level, str]]
) -> list[Denial]:
    """Split the images of a level by what they have it for, so that the log says it of every one."""
    groups: dict[str, list[str]] = defaultdict(list)
    for image_id in image_ids:
        own, why = found[image_id]
        groups[why if own is level else _NOT_OWN].append(image_id)
    return [Denial(placement, level.text, LEVEL_NOT_ALLOWED, why, held) for why, held in sorted(groups.items())]


def _told(option: Mapping[str, Any], rule: str, policy: LevelPolicy, held: str) -> dict[str, Any]:
    """Say in the reason why images that stay have their level, and how others go to the cloud by a release rule."""
    if held and option["rule_id"] == LEVEL_NOT_ALLOWED:
        return {**option, "reason": f"{option['reason']} Found: {held}."}
    if not (rule and option["allowed"] and option["placement"] == CLOUD):
        return dict(option)
    found = next(one for one in policy.release_rules if one.rule_id == rule)
    form = [f"redacted: {', '.join(sorted(found.redact))}"] if found.redact else []
    form += [f"at most {found.downscale_px} px"] if found.downscale_px else []
    said = "; ".join(form) or "without notes"
    return {**option, "reason": f"Released {said} (rule {rule}). {option['reason']}"}


def _evidence(store: Store, settings: Settings, dataset: str, dataset_version: str) -> dict[tuple[str, str], Evidence]:
    session = open_session(store, root=sql_root(settings))
    params = {"dataset": dataset, "dataset_version": dataset_version}
    rows = run_query(session, "routing_evidence", params).to_pylist()
    return {(row["arm"], row["model_id"]): Evidence(row["machine_seconds"], row["review_seconds"]) for row in rows}
