"""Laws: more evidence never opens an image, by level, by override or by a changed form."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from labelop.sensitivity.cascade import digest_of_findings
from labelop.sensitivity.clearance import Standing, clear
from labelop.sensitivity.levels import Level, join
from labelop.sensitivity.overrides import Override, level_in_force
from labelop.sensitivity.policy import load_policy
from labelop.sensitivity.release import ReleaseRule, release_forms
from labelop.sensitivity.signals.base import Finding

POLICY = load_policy(Path("data/sample/config/policy.yaml"), today=date(2026, 11, 20))
TODAY = date(2026, 11, 20)
CATEGORIES = ("declared_level", "face", "gps", "patient_id")

LEVELS = st.sampled_from(Level)
FINDINGS = st.builds(
    Finding,
    signal=st.just("text"),
    signal_version=st.just("1"),
    category=st.sampled_from(CATEGORIES),
    level=LEVELS,
    evidence=st.just("of a test"),
    region=st.one_of(st.none(), st.just((0.0, 0.0, 4.0, 4.0))),
)
RULES = st.builds(
    ReleaseRule,
    rule_id=st.just("r"),
    up_to=st.sampled_from([Level.PUBLIC, Level.INTERNAL, Level.CONFIDENTIAL]),
    placements=st.just(frozenset({"cloud"})),
    redact=st.frozensets(st.sampled_from(CATEGORIES)),
    strip=st.frozensets(st.sampled_from(CATEGORIES[1:])),
    downscale_px=st.none(),
)
DAYS = st.dates(date(2026, 1, 1), date(2027, 12, 31))


def raised(findings: list[Finding], data: st.DataObject) -> list[Finding]:
    """Raise the level of one finding by at least one step, where it is not the highest already."""
    at = data.draw(st.integers(0, len(findings) - 1))
    higher = [level for level in Level if level > findings[at].level]
    level = data.draw(st.sampled_from(higher)) if higher else findings[at].level
    return [*findings[:at], replace(findings[at], level=level), *findings[at + 1 :]]


@given(st.lists(FINDINGS, min_size=1, max_size=5), LEVELS, DAYS, st.booleans(), st.data())
def test_raising_a_finding_never_lowers_under_any_override(
    findings: list[Finding], level: Level, until: date, seen: bool, data: st.DataObject
) -> None:
    """Whatever a person declared, and whenever it ends, a higher finding never gives a lower level."""
    digests = [digest_of_findings("d", findings)] if seen else ["of something else"]
    override = Override(level, until, digests)
    after = raised(findings, data)

    def in_force(these: list[Finding]) -> Level:
        return level_in_force(join(f.level for f in these), digest_of_findings("d", these), override, TODAY)

    assert in_force(after) >= in_force(findings)
    assert POLICY.allowed_placements(in_force(after)) <= POLICY.allowed_placements(in_force(findings))


@given(st.lists(FINDINGS, min_size=1, max_size=5), st.lists(RULES, max_size=3), st.data())
def test_raising_a_finding_never_adds_a_release(
    findings: list[Finding], rules: list[ReleaseRule], data: st.DataObject
) -> None:
    """A higher finding never opens a form in which the image may leave, and what opens is never restricted."""
    policy = replace(POLICY, release_rules=tuple(rules))

    def places(these: list[Finding]) -> frozenset[str]:
        forms = release_forms(policy, join(f.level for f in these), these)
        return frozenset().union(*(form.placements for form in forms))

    def everywhere(these: list[Finding]) -> set[str]:
        standing = Standing(join(f.level for f in these), tuple(these))
        return {place for place in ("onprem", "cloud", "moon") if clear(policy, standing, place) is not None}

    after = raised(findings, data)
    assert places(after) <= places(findings)
    assert everywhere(after) <= everywhere(findings)
    if join(f.level for f in findings) is Level.RESTRICTED:
        assert not places(findings)
        assert everywhere(findings) == {"onprem"}


@given(LEVELS, LEVELS, DAYS)
def test_an_override_ends(found: Level, declared: Level, until: date) -> None:
    """The day after its last the findings alone count."""
    override = Override(declared, until, ["f"])
    counts = level_in_force(found, "f", override, TODAY)
    assert counts is (declared if until >= TODAY else found)
