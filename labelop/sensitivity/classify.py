"""Classify a dataset: every usable image's findings and level land, once per policy and for good.

Runs on premises only: sending an image away to classify it would be the leak. What a signal saw is kept by image and
signal version, so that another policy looks at no pixel again. Knows the tables it reads and lands, no model and no
placement.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from labelop.catalog.cards import ModelCard, load_catalog
from labelop.errors import ManifestError
from labelop.ids import digest_of
from labelop.ingest.originals import read_bytes
from labelop.landing.filters import equal
from labelop.landing.store import Store, is_landed, land, read_rows, time_in
from labelop.runs import source_root
from labelop.sensitivity.cascade import classify_image, digest_of_findings
from labelop.sensitivity.keys import token_key
from labelop.sensitivity.policy import Level, SensitivityPolicy
from labelop.sensitivity.results import ResultCache, finding_rows
from labelop.sensitivity.signals import faces
from labelop.sensitivity.signals.base import SIGNAL_MISSING, SIGNAL_TIMEOUT, Finding
from labelop.sensitivity.signals.looking import PIXEL_SIGNALS, Looker
from labelop.settings import Settings

__all__ = ["Finding", "classify_dataset", "classify_image", "open_looker"]

_log = logging.getLogger(__name__)

_MOST_THREADS = 8
_PASSING = frozenset({SIGNAL_MISSING, SIGNAL_TIMEOUT})
"""Faults of this machine and this moment; a level that rests on one is restricted and is looked at again."""


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
        CatalogError: The policy names a detector of faces, and the catalog cannot be read.
        SourceUnavailableError: The originals cannot be read now; nothing landed.
        LandingError: The store did not take the rows.
    """
    detector = face_detector(policy, settings)
    # another model sees other faces: what the one before it let pass is looked at again
    key = ":".join([dataset, dataset_version, policy.digest, *([detector.digest] if detector else [])])
    if not is_landed(store, "levels", key):
        where = {"dataset": dataset, "dataset_version": dataset_version}
        copies = _copies(store, where)
        # the same content may lie elsewhere by now; its rows still name the place of its first ingest
        root = source_uri or source_root(store, dataset, dataset_version)
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        secret = token_key(settings)
        with (
            open_looker(policy, settings, threads, key=secret) as looker,
            ThreadPoolExecutor(threads, thread_name_prefix="classify") as pool,
        ):
            cache = ResultCache(store, looker, list(copies) if _asks_for_pixels(policy) else [])
            one = partial(_classify_copies, policy=policy, settings=settings, root=root, cache=cache)
            results = dict(zip(copies, pool.map(one, copies.values()), strict=True))
        cache.land_new(run_id)
        provenance = {"policy_digest": policy.digest, "run_id": run_id, "landed_at": time_in(store, "levels")}
        findings, levels = [], []
        for image_id, (found, level, reason) in results.items():
            digest = digest_of_findings(dataset, found)
            shared = {**where, "image_id": image_id, "findings_digest": digest, **provenance}
            findings += [{**shared, **row} for row in finding_rows(found)]
            levels.append({**shared, "level": level.text, "reason": reason})
        if any(found.category in _PASSING for found_list, _, _ in results.values() for found in found_list):
            # not under the key that means done: the next call tries again, and the newest rows count
            key += ":" + digest_of([[row["image_id"], row["findings_digest"]] for row in levels])[:16]
        # levels last: where they can be read, their evidence can be read too
        land(store, "findings", findings, key)
        land(store, "levels", levels, key)
    return _counts(store, dataset, dataset_version, policy.digest)


@contextmanager
def open_looker(policy: SensitivityPolicy, settings: Settings, children: int, *, key: str = "") -> Iterator[Looker]:
    """Give the way to look into files as a policy asks for; its processes start when they are needed.

    Args:
        policy: The rules.
        settings: Where the catalog is; nothing is written.
        children: Processes that look, at least 1.
        key: The store's key for tokens, hex; no tokens without one.

    Raises:
        CatalogError: The policy names a detector of faces, and the catalog cannot be read.
    """
    options, versions, absent = {}, {}, {}
    card = face_detector(policy, settings)
    if card is not None:
        options[faces.NAME] = {"card": str(card.path.resolve()), "threads": settings.engine_threads}
        versions[faces.NAME] = f"{faces.VERSION}+{card.digest[:12]}"
    elif policy.faces_model is not None:
        absent[faces.NAME] = f"no detector {policy.faces_model!r} with a class `{faces.CLASS_NAME}` in the catalog"
        _log.warning("%s: images that it would look at are restricted (signals.faces_model)", absent[faces.NAME])
    with Looker(children, key=key, options=options, versions=versions, absent=absent) as looker:
        yield looker


def _asks_for_pixels(policy: SensitivityPolicy) -> bool:
    return any(policy.signals[name] != "never" for name in PIXEL_SIGNALS)


def face_detector(policy: SensitivityPolicy, settings: Settings) -> ModelCard | None:
    """Find the detector of faces that a policy asks for; None where it names none, or none that is here.

    Raises:
        CatalogError: The policy names one, and the catalog cannot be read.
    """
    if policy.faces_model is None or policy.signals[faces.NAME] == "never":
        return None
    card = load_catalog(settings.catalog).get(policy.faces_model)
    return card if card is not None and card.task == "detection" and faces.CLASS_NAME in card.classes else None


def _counts(store: Store, dataset: str, dataset_version: str, policy_digest: str) -> dict[str, int]:
    wanted = equal(dataset=dataset, dataset_version=dataset_version, policy_digest=policy_digest)
    rows = read_rows(store, "levels", columns=["image_id", "level", "landed_at"], filters=wanted)
    newest = {row["image_id"]: row["level"] for row in sorted(rows, key=lambda row: row["landed_at"])}
    counts = Counter(newest.values())
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
    copies: Sequence[Mapping[str, Any]],
    *,
    policy: SensitivityPolicy,
    settings: Settings,
    root: str | None,
    cache: ResultCache,
) -> tuple[list[Finding], Level, str]:
    first = copies[0]
    place = root or str(first["source_uri"])
    return classify_image(
        declared=[copy["declared_level"] for copy in copies],
        paths=[copy["path"] for copy in copies],
        read=partial(read_bytes, first["image_id"], place, first["path"], settings),
        policy=policy,
        dataset=str(first["dataset"]),
        source=place,
        look=cache.look_at(str(first["image_id"])),
    )
