"""Decide the level of every image: the highest of all findings, and restricted where nobody said anything.

Runs on premises only: sending an image away to classify it would be the leak. Knows the tables it reads and lands,
no model and no placement.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from labelop.errors import LabelopError, ManifestError, SourceUnavailableError
from labelop.ingest.originals import read_bytes
from labelop.landing.filters import equal
from labelop.landing.store import Store, is_landed, land, read_rows
from labelop.runs import source_root
from labelop.schemas import utc_now
from labelop.sensitivity.policy import Level, SensitivityPolicy, join
from labelop.sensitivity.signals import Finding, declared_signal, exif_signal, finding, path_signal
from labelop.settings import Settings

__all__ = ["Finding", "classify_dataset", "classify_image"]

_MOST_THREADS = 8


def classify_image(
    *, declared: Sequence[str | None], paths: Sequence[str], read: Callable[[], bytes], policy: SensitivityPolicy
) -> tuple[list[Finding], Level, str]:
    """Decide the level of one image.

    Args:
        declared: Level declared for each copy of the image, None where nobody declared one.
        paths: Percent-encoded path of each copy, in the same order.
        read: Gives the original bytes; a fault of the file counts as restricted.
        policy: The rules.

    Returns:
        The findings, the highest of their levels, and which findings stand for it.

    Raises:
        SourceUnavailableError: The source is away just now, which says nothing about the image.
    """
    findings = [*declared_signal(declared, policy), *path_signal(paths, policy)]
    spoken = [
        bool(declared_signal([level], policy) or path_signal([path], policy))
        for level, path in zip(declared, paths, strict=True)
    ]
    if not spoken or not all(spoken):
        # one copy nobody spoke about is enough: another copy's word must not launder it
        evidence = f"{len(spoken) - sum(spoken)} of {len(spoken)} copies have no declared level and no path rule"
        findings.append(finding("declared", "unknown", Level.RESTRICTED, evidence))
    if policy.stale:
        evidence = f"policy was valid until {policy.valid_until.isoformat()}"
        findings.append(finding("declared", "stale_policy", Level.RESTRICTED, evidence))
    try:
        findings += exif_signal(read(), policy)
    except SourceUnavailableError:
        raise  # levels are final for their policy: a moment's trouble may not restrict an image for good
    except (LabelopError, OSError) as error:
        findings.append(finding("exif", "signal_error", Level.RESTRICTED, type(error).__name__))
    level = join(found.level for found in findings)
    reason = ", ".join(sorted(f"{f.signal}:{f.category}" for f in findings if f.level == level))
    return findings, level, reason


def classify_dataset(  # noqa: PLR0917 - the order every stage has: where, what, rules, provenance
    store: Store,
    dataset: str,
    dataset_version: str,
    policy: SensitivityPolicy,
    settings: Settings,
    run_id: str,
    *,
    source_uri: str | None = None,
) -> dict[str, int]:
    """Classify every usable image of a dataset version and land findings and levels, once per policy.

    Args:
        store: Where the images are and the levels go.
        dataset: Dataset name.
        dataset_version: Dataset version.
        policy: The rules.
        settings: How to reach the originals.
        run_id: Run that does the work, for provenance.
        source_uri: Root the files lie under now; where they lay at the last ingest when None.

    Returns:
        Number of images by level, all four levels in order.

    Raises:
        ManifestError: The dataset version has not landed.
        SourceUnavailableError: The originals cannot be read now; nothing landed.
        LandingError: The store did not take the rows.
    """
    key = f"{dataset}:{dataset_version}:{policy.digest}"
    if not is_landed(store, "levels", key):
        where = {"dataset": dataset, "dataset_version": dataset_version}
        copies = _copies(store, where)
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), thread_name_prefix="classify") as pool:
            # the same content may lie elsewhere by now; its rows still name the place of its first ingest
            root = source_uri or source_root(store, dataset, dataset_version)
            one = partial(_classify_copies, policy=policy, settings=settings, root=root)
            results = dict(zip(copies, pool.map(one, copies.values()), strict=True))
        provenance = {"policy_digest": policy.digest, "run_id": run_id, "landed_at": utc_now()}
        findings = [
            {**where, "image_id": image_id, **_finding_row(found), **provenance}
            for image_id, (found_list, _, _) in results.items()
            for found in found_list
        ]
        levels = [
            {**where, "image_id": image_id, "level": level.text, "reason": reason, **provenance}
            for image_id, (_, level, reason) in results.items()
        ]
        # levels last: where they can be read, their evidence can be read too
        land(store, "findings", findings, key)
        land(store, "levels", levels, key)
    rows = read_rows(
        store,
        "levels",
        columns=["level"],
        filters=equal(dataset=dataset, dataset_version=dataset_version, policy_digest=policy.digest),
    )
    counts = Counter(row["level"] for row in rows)
    return {level.text: counts[level.text] for level in Level}


def _copies(store: Store, where: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Group the usable files of a dataset version by image, both in canonical order."""
    rows = read_rows(store, "images", filters=equal(**where))
    if not rows:
        raise ManifestError(
            f"Dataset {where['dataset']} {where['dataset_version']} has not landed.", hint="Run `labelop ingest` first."
        )
    copies: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: str(row["path"])):
        if row["outcome"] == "ok":
            copies[row["image_id"]].append(row)
    return dict(sorted(copies.items()))


def _classify_copies(
    copies: Sequence[Mapping[str, Any]], *, policy: SensitivityPolicy, settings: Settings, root: str | None
) -> tuple[list[Finding], Level, str]:
    first = copies[0]
    place = root or str(first["source_uri"])
    return classify_image(
        declared=[copy["declared_level"] for copy in copies],
        paths=[copy["path"] for copy in copies],
        read=partial(read_bytes, first["image_id"], place, first["path"], settings),
        policy=policy,
    )


def _finding_row(found: Finding) -> dict[str, Any]:
    return {
        "signal": found.signal,
        "signal_version": found.signal_version,
        "category": found.category,
        "level": found.level.text,
        "evidence": found.evidence,
    }
