"""A policy file is taken as a whole or refused with one clear error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from labelop.errors import PolicyError
from labelop.sensitivity.policy import Level, PathRule, SensitivityPolicy, load_policy

SAMPLE = Path("data/sample/config/policy.yaml")
TODAY = date(2026, 11, 20)


def content(**changes: Any) -> dict[str, Any]:
    """Give the sample policy's content with some keys changed; a key set to None is left out."""
    merged = yaml.safe_load(SAMPLE.read_text()) | changes
    return {key: value for key, value in merged.items() if value is not None}


def rule(**changes: Any) -> dict[str, Any]:
    """Give a release rule that opens something, with some keys changed."""
    return {"id": "out", "up_to": "confidential", "placements": ["cloud"], "redact": ["face"]} | changes


def load(tmp_path: Path, document: Mapping[str, Any] | str, today: date = TODAY) -> SensitivityPolicy:
    """Write a policy file and read it."""
    path = tmp_path / "policy.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(dict(document)))
    return load_policy(path, today=today)


def test_the_sample_policy_keeps_sensitive_levels_at_home() -> None:
    """Public and internal may go to the cloud; confidential and restricted may not."""
    policy = load_policy(SAMPLE, today=TODAY)

    assert {level: "cloud" in policy.allowed_placements(level) for level in Level} == {
        Level.PUBLIC: True,
        Level.INTERNAL: True,
        Level.CONFIDENTIAL: False,
        Level.RESTRICTED: False,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"categories": {"gps": "secret"}}, ["categories.gps", "'secret'", "'restricted'"]),
        ({"unknown": "public"}, ["unknown", "'public'", "'restricted'"]),
        ({"declared": None}, ["declared", "missing"]),
        ({"treshold": 3}, ["treshold", "unknown", "value 3", "allowed are schema, version, valid_until"]),
        ({"schema": 1}, ["schema", "1", "2"]),
        ({"valid_until": "soon"}, ["valid_until", "'soon'"]),
        ({"path_rules": [{"id": "x", "glob": "*", "level": "low"}]}, ["path_rules.0.level", "'low'", "'public'"]),
        (
            {"path_rules": [{"id": "x", "glob": "*", "level": "public", "levle": 1}]},
            ["path_rules.0.levle is unknown", "allowed are id, glob, source, level"],
        ),
        ({"placements": [1]}, ["placements", "[1]", "allowed are public, internal, confidential, restricted"]),
        ({"path_rules": [{"id": "x", "glob": glob, "level": "public"} for glob in "ab"]}, ["twice", "x"]),
        (
            {"placements": {"public": ["cloud"], "internal": [], "confidential": [], "restricted": ["cloud"]}},
            ["placements.restricted.0", "'cloud'", "'onprem'"],
        ),
        (
            {"placements": {"public": ["onprem"], "internal": ["cloud"], "confidential": [], "restricted": []}},
            ["placements", "internal may not allow more"],
        ),
        ({"release": [rule(strip=["face"])]}, ["release.0.strip.0", "'face'", "'gps'"]),
        ({"release": [rule(strip=["dicom_burned_in"])]}, ["release.0.strip.0", "'dicom_burned_in'"]),
        ({"release": [rule(redact=["gps"])]}, ["release.0.redact.0", "'gps'", "'face'"]),
        ({"release": [rule(redact=[], downscale_px=64)]}, ["release rules ['out']", "can never let anything out"]),
        ({"release": [rule(redact=["text"])]}, ["release rules ['out']", "as it is"]),
        ({"release": [rule(redact=["iban"])]}, ["release rules ['out']", "at most its up_to"]),
        ({"release": [rule(placements=["onprem"])]}, ["release rules ['out']"]),
        # several faults, each with its words: they were "(and 2 more)"
        ({"unknown": "public", "schema": 1, "treshold": 3}, ["'restricted'", "key schema has", "treshold is unknown"]),
        (
            {
                "release": [rule(placements=["onprem"]), rule(placements=["onprem"])],
                "retention_days": {"restricted": 2, "public": 1},
            },
            ["release rules ['out', 'out']", "ids that are used twice: ['out']", "retention_days may not keep"],
        ),
    ],
)
def test_a_fault_is_named(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    """The error names the file, the key, the value found and the values allowed, in one line."""
    with pytest.raises(PolicyError) as caught:
        load(tmp_path, content(**changes))

    for word in ["policy.yaml", *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "a: 1\na: 2\n", "{"])
def test_no_policy_is_an_error(tmp_path: Path, text: str) -> None:
    """An empty, doubled or broken document is refused; so is a missing file."""
    with pytest.raises(PolicyError, match=r"policy\.yaml"):
        load(tmp_path, text)
    with pytest.raises(PolicyError, match=r"No such file.*LABELOP_CONFIG"):
        load_policy(tmp_path / "none.yaml")


def test_a_stale_policy_allows_what_restricted_allows(tmp_path: Path) -> None:
    """From the day after its date a policy lets nothing leave, and has another digest."""
    last = load(tmp_path, content(valid_until=TODAY))
    after = load(tmp_path, content(valid_until=TODAY), today=date(2026, 11, 21))

    assert (last.stale, after.stale) == (False, True)
    assert last.digest != after.digest
    assert all(after.allowed_placements(level) == after.placements[Level.RESTRICTED] for level in Level)


def test_digest_follows_meaning(tmp_path: Path) -> None:
    """Comments and order do not change the digest, a value does."""
    text = yaml.safe_dump(content())

    assert load(tmp_path, "# note\n" + text).digest == load(tmp_path, text).digest
    assert load(tmp_path, content(categories={"gps": "confidential"}, release=[])).digest != load(tmp_path, text).digest


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("**/patient*/**", "ward/patient_7/a.jpg", True),
        ("**/patient*/**", "Patients/a.jpg", True),
        ("**/patient*/**", "patient.jpg", False),
        ("*.jpg", "in/a.jpg", False),
        ("in/?.jpg", "in/a.jpg", True),
        ("in/a.jpg", "in/a+jpg", False),
        ("**/*.jpg", "line\nbreak.jpg", True),
        ("ä*", "A\u0308rzte.jpg", True),
    ],
)
def test_globs(glob: str, path: str, expected: bool) -> None:
    """`**` crosses folders, `*` does not; capitals and composed letters make no difference."""
    assert PathRule("r", glob, Level.PUBLIC).matches(path) is expected


@pytest.mark.parametrize("glob", ["**/" * 30 + "x", "*a" * 30 + "b", "**a*" * 30 + "/b", "?*" * 60 + "b"])
def test_a_glob_of_many_wildcards_comes_to_an_end(glob: str) -> None:
    """It takes time that grows with the path; a regular expression tried every way to share it, for years."""
    path = "a/a" * 30
    assert not PathRule("r", glob, Level.PUBLIC).matches(path + "c")


@given(
    st.lists(st.sampled_from(["**/", "**", "*", "?", "a", "b", "/"]), max_size=6).map("".join),
    st.text("ab/", max_size=10),
)
def test_globs_mean_what_their_expression_means(glob: str, path: str) -> None:
    """Following all places at once says the same as the regular expression of the glob."""
    pieces = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = "".join(pieces.get(one, re.escape(one)) for one in re.split(r"(\*\*/|\*\*|\*|\?)", glob))
    assert PathRule("r", glob, Level.PUBLIC).matches(path) is bool(re.fullmatch(expression, path))
