"""Decide the level of one image: cheap signals first, pixels only where the level is open, and the maximum counts.

Every fault of a signal is a finding, and that finding is restricted. Knows the policy; must not know tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from labelop.errors import LabelopError, SourceUnavailableError
from labelop.ids import digest_of
from labelop.sensitivity.levels import Level, join
from labelop.sensitivity.policy import SensitivityPolicy
from labelop.sensitivity.signals import declared as owner_said
from labelop.sensitivity.signals import dicom, metadata, paths
from labelop.sensitivity.signals.base import (
    SIGNAL_ERROR,
    SIGNAL_MISSING,
    SIGNAL_TIMEOUT,
    Finding,
    Observation,
    SignalResult,
)
from labelop.sensitivity.signals.looking import HINT, NOTE_SIGNALS, PIXEL_SIGNALS, Look

_FAULT_OF = {"error": SIGNAL_ERROR, "timeout": SIGNAL_TIMEOUT, "missing": SIGNAL_MISSING}


def classify_image(
    *,
    declared: Sequence[str | None],
    paths: Sequence[str],
    read: Callable[[], bytes],
    policy: SensitivityPolicy,
    dataset: str = "",
    source: str = "",
    look: Look | None = None,
) -> tuple[list[Finding], Level, str]:
    """Decide the level of one image.

    Args:
        declared: Level declared for each copy of the image, None where nobody declared one.
        paths: Percent-encoded path of each copy, in the same order.
        read: Gives the original bytes; a fault of the file counts as restricted.
        policy: The rules.
        dataset: Name of the dataset, for its owner's rule.
        source: Root of the source, for rules about buckets.
        look: Runs a signal that opens the file; without it such a signal counts as missing.

    Returns:
        The findings, the highest of their levels, and which findings stand for it.

    Raises:
        SourceUnavailableError: The source is away just now, which says nothing about the image.
    """
    findings, settled = _without_bytes(declared, paths, policy, dataset, source)
    try:
        data = read()
    except SourceUnavailableError:
        raise  # levels are final for their policy: a moment's trouble may not restrict an image for good
    except (LabelopError, OSError) as error:
        findings.append(_fault(metadata.NAME, metadata.VERSION, "error", type(error).__name__))
    else:
        findings += _from_notes(data, policy, look)
        findings += _from_pixels(data, policy, look, findings, settled=settled)
    level = join(found.level for found in findings)
    reason = ", ".join(sorted({f"{f.signal}:{f.category}" for f in findings if f.level == level}))
    return findings, level, reason


def digest_of_findings(dataset: str, findings: Iterable[Finding]) -> str:
    """Name what was found of an image in a dataset, in any order; 64 hex digits.

    The dataset is in it: what one owner's findings were overridden to says nothing about another owner's equal ones.
    """
    rows = [
        [f.signal, f.signal_version, f.category, f.level.text, f.evidence, list(f.region or ()), f.score, f.token]
        for f in findings
    ]
    return digest_of([dataset, sorted(rows, key=digest_of)])


def _without_bytes(
    declared: Sequence[str | None], where: Sequence[str], policy: SensitivityPolicy, dataset: str, source: str
) -> tuple[list[Finding], bool]:
    """Findings of owner and place, and whether the owner's word settles the level."""
    owner = policy.owners.get(dataset)
    owned = owner_said.owner_findings(None if owner is None else owner.level)
    heard = policy.declared != "ignore"
    findings = [*(owner_said.declared_findings(declared) if heard else []), *owned]
    findings += paths.path_findings(where, source, policy.path_rules)
    spoken = [
        bool(owned or (heard and level is not None) or paths.path_findings([path], source, policy.path_rules))
        for level, path in zip(declared, where, strict=True)
    ]
    unspoken = not spoken or not all(spoken)
    if unspoken:
        # one copy nobody spoke about is enough: another copy's word must not launder it
        evidence = f"{len(spoken) - sum(spoken)} of {len(spoken)} copies have no declared level and no path rule"
        findings.append(owner_said.spoken("unknown", Level.RESTRICTED, evidence))
    if policy.stale:
        evidence = f"policy was valid until {policy.valid_until.isoformat()}"
        findings.append(owner_said.spoken("stale_policy", Level.RESTRICTED, evidence))
    return findings, policy.declared == "trust" and not unspoken


def _from_notes(data: bytes, policy: SensitivityPolicy, look: Look | None) -> list[Finding]:
    name = dicom.NAME if dicom.is_dicom(data) else metadata.NAME
    return _looked(name, NOTE_SIGNALS[name].VERSION, data, policy, look)


def _from_pixels(
    data: bytes, policy: SensitivityPolicy, look: Look | None, so_far: Sequence[Finding], *, settled: bool
) -> list[Finding]:
    found: list[Finding] = []
    for name, module in PIXEL_SIGNALS.items():
        settled = settled or join(f.level for f in (*so_far, *found)) is Level.RESTRICTED
        if policy.signals[name] == "never" or (policy.signals[name] == "open" and settled):
            continue
        if dicom.is_dicom(data):
            found.append(_fault(name, module.VERSION, "error", "pixels of a DICOM file are not looked at"))
            continue
        found += _looked(name, module.VERSION, data, policy, look)
    return found


def _looked(name: str, version: str, data: bytes, policy: SensitivityPolicy, look: Look | None) -> list[Finding]:
    result = SignalResult(name, version, "missing", reason=HINT) if look is None else look(name, data)
    if result.outcome != "ok":
        return [_fault(name, result.signal_version, result.outcome, result.reason)]
    return [judged(one, name, result.signal_version, policy) for one in result.observations]


def judged(seen: Observation, signal: str, version: str, policy: SensitivityPolicy) -> Finding:
    """Give an observation the level that the policy has for its category."""
    level = policy.level_of(seen.category)
    return Finding(signal, version, seen.category, level, seen.evidence, seen.region, seen.score, seen.token)


def _fault(signal: str, version: str, outcome: str, reason: str) -> Finding:
    return Finding(signal, version, _FAULT_OF.get(outcome, SIGNAL_ERROR), Level.RESTRICTED, reason or outcome)
