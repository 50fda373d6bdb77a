"""Why an image has its level: evidence, rule, placements and what could leave after a change. Never the text read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labelop.errors import ManifestError
from labelop.explain import find_image
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
from labelop.settings import Settings

Sections = dict[str, list[dict[str, Any]]]
"""Rows by heading."""


def explain_file(path: Path, policy: SensitivityPolicy, settings: Settings, declared: str | None) -> Sections:
    """Classify one file as if it were a dataset of its own; nothing lands.

    Args:
        path: Any file, also one that is no image to take in, such as DICOM.
        policy: The rules.
        settings: Where models and keys are.
        declared: Level to take as declared, or None.
    """
    with open_looker(policy, settings, 1) as looker:
        findings, level, reason = classify_image(
            declared=[declared],
            paths=[path.name],
            read=path.read_bytes,
            policy=policy,
            source=str(path.parent),
            look=looker.look,
        )
    return _sections(findings, level, reason, policy, Standing(level, tuple(findings)))


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
