"""Why an image has its level: evidence, rule, placements and what could leave after a change. Never the text read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from labelop.errors import ManifestError
from labelop.explain import find_image
from labelop.ingest.names import encode, readable
from labelop.landing.store import Store
from labelop.queries import run_query
from labelop.sensitivity.cascade import classify_image
from labelop.sensitivity.classify import open_looker
from labelop.sensitivity.clearance import Standing, standings
from labelop.sensitivity.levels import Level
from labelop.sensitivity.policy import SensitivityPolicy
from labelop.sensitivity.release import release_forms
from labelop.sensitivity.results import finding_rows, region_of
from labelop.sensitivity.signals.base import Finding
from labelop.sensitivity.signals.paths import path_findings
from labelop.settings import Settings

Sections = dict[str, list[dict[str, Any]]]
"""Rows by heading."""


def explain_file(
    path: Path,
    policy: SensitivityPolicy,
    settings: Settings,
    declared: str | None,
    *,
    dataset: str | None = None,
    source: Path | None = None,
) -> Sections:
    """Classify one file as an ingest would; nothing lands.

    Rules of paths and owners depend on where a dataset begins and whose it is. What is not said is taken to be what
    these rules are strictest about, so no ingest of the file where it lies gives it a higher level.

    Args:
        path: Any file, also one that is no image to take in, such as DICOM.
        policy: The rules.
        settings: Where models and keys are.
        declared: Level to take as declared, or None.
        dataset: Dataset it would be of; None for any.
        source: Folder that would be ingested; None for any above the file.

    Raises:
        ManifestError: The file does not lie below that folder.
    """
    file = path.parent.resolve() / path.name
    roots = list(file.parents) if source is None else [source.resolve()]
    if not set(roots) <= set(file.parents):
        raise ManifestError(f"{path} does not lie below {source}.", hint="`--source` names the folder to be ingested.")
    names = ["", *policy.owners] if dataset is None else [dataset]
    asked = [(name, *_below(root, file)) for name in names for root in roots]
    name, root_uri, below = max(asked, key=lambda one: _level_of_place(policy, declared, *one))
    with open_looker(policy, settings, 1) as looker:
        findings, level, reason = classify_image(
            declared=[declared],
            paths=[below],
            read=path.read_bytes,
            policy=policy,
            dataset=name,
            source=root_uri,
            look=looker.look,
        )
    taken = {"path": readable(below), "below": readable(root_uri), "dataset": name or "any without an owner's rule"}
    assumed = [what for what, said in (("source", source), ("dataset", dataset)) if said is None]
    taken["not said, the strictest taken"] = ", ".join(assumed)
    return {"taken for": [taken], **_sections(findings, level, reason, policy, Standing(level, tuple(findings)))}


def _below(root: Path, file: Path) -> tuple[str, str]:
    """Give the address of a root and the path below it, as a manifest names them."""
    return "file://" + encode(os.fsencode(root)), encode(os.fsencode(file.relative_to(root)))


def _level_of_place(policy: SensitivityPolicy, declared: str | None, dataset: str, root_uri: str, below: str) -> Level:
    """Give the level that owner and place alone come to; restricted where nobody says anything."""
    findings = path_findings([below], root_uri, policy.path_rules)
    owner = policy.owners.get(dataset)
    levels = [found.level for found in findings] + ([owner.level] if owner else [])
    is_spoken = bool(levels) or (declared is not None and policy.declared != "ignore")
    return max(levels, default=Level.PUBLIC) if is_spoken else Level.RESTRICTED


def explain_known(store: Store, image_id: str, policy: SensitivityPolicy) -> Sections:
    """Collect what is held against an image of the tables.

    Raises:
        ManifestError: It is no file, no image of this id is known, or it has not been classified.
    """
    whole, _ = find_image(store, image_id)
    rows = run_query(store, "image_findings", {"image_id": whole}).to_pylist()
    if not rows:
        raise ManifestError(f"Image {whole[:12]} has not been classified.", hint="Run `labelop classify` first.")
    findings = [
        Finding(
            row["signal"], row["signal_version"], row["category"], Level.from_text(row["level"]), row["evidence"],
            region_of(row), row["score"], row["token"],
        )
        for row in rows
        if row["signal"] is not None
    ]  # fmt: skip
    level = max(Level.from_text(row["level_in_force"]) for row in rows)
    reason = ", ".join(sorted({f"{f.signal}:{f.category}" for f in findings if f.level == level}))
    # the forms that count: with every owner and override heard, as the gate hears them
    owners = {(row["dataset"], row["dataset_version"]) for row in rows}
    known = [standings(store, *owner, policy).get(whole, Standing(Level.RESTRICTED)) for owner in sorted(owners)]
    standing = max(known, key=lambda one: (one.level, not one.findings))
    return _sections(findings, level, reason or "an override or another owner", policy, standing)


def _sections(
    findings: list[Finding], level: Level, reason: str, policy: SensitivityPolicy, standing: Standing
) -> Sections:
    forms = [
        {
            "rule": form.rule_id,
            "placements": ", ".join(sorted(form.placements)),
            "redacted_count": len(form.redact),
            "downscale_px": form.downscale_px,
        }
        for form in release_forms(policy, standing.level, standing.findings)
    ]
    placements = ", ".join(sorted(policy.allowed_placements(level)))
    found = {
        "findings": list(finding_rows(findings)),
        "level": [{"level": level.text, "because of": reason, "placements": placements, "policy": policy.version}],
        "release forms": forms,
    }
    return {name: rows for name, rows in found.items() if rows}
