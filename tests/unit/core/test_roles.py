"""Who may do what, and what a faulty roles.yaml says."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.errors import PolicyError, RoleError
from labelop.roles import NO_FILE, load_roles
from labelop.settings import load_settings

TEXT = """
schema: 1
people: {lena: [lead], rob: [reviewer, operator]}
others: [analyst]
approval: [{dataset: "clinic-*", role: lead}]
"""


def test_roles_decide_who_may(tmp_path: Path) -> None:
    """A reviewer approves where that is enough, a lead everywhere; others and operators approve nothing."""
    (tmp_path / "roles.yaml").write_text(TEXT)
    roles = load_roles(tmp_path / "roles.yaml")
    assert roles.acting("rob", "approve", "smears") == "reviewer"
    assert roles.acting("rob", "approve", "clinic-3") is None
    assert roles.acting("lena", "approve", "clinic-3") == "lead"
    for action in ("withdraw", "override", "release"):
        assert (roles.acting("lena", action), roles.acting("rob", action)) == ("lead", None)
    with pytest.raises(RoleError, match="'max' may not override: roles analyst, expected lead") as caught:
        roles.require("max", "override")
    assert [roles.acting(name, "import") for name in ("max", "rob", "lena")] == [None, "reviewer", "lead"]
    assert "LABELOP_USER" in caught.value.hint


def test_without_a_file_nobody_is_a_lead(tmp_path: Path) -> None:
    """Everybody may review, and nobody answers for labels by accident."""
    roles = load_roles(tmp_path / "roles.yaml")
    assert roles is NO_FILE
    assert roles.acting("anybody", "approve", "d") == "reviewer"
    assert roles.acting("anybody", "release") is None


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[lead]", "[boss]", "key people.lena.0 has the value 'boss'; allowed are 'operator', 'reviewer', 'lead'"),
        ("others:", "other:", "key other"),
        ("role: lead", "role: analyst", "allowed are 'reviewer' or 'lead'"),
        ("[lead]", "[]", "key people.lena"),
    ],
)
def test_a_fault_names_key_and_value(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """One clear error for each fault of the file."""
    (tmp_path / "roles.yaml").write_text(TEXT.replace(old, new))
    with pytest.raises(PolicyError) as caught:
        load_roles(tmp_path / "roles.yaml")
    assert problem in caught.value.message


def test_a_person_is_who_the_setting_says() -> None:
    """LABELOP_USER goes before the user of the system, who always has a name."""
    assert load_settings(user="lena").acting_user == "lena"
    assert load_settings().acting_user


def test_an_override_needs_a_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is no lead can neither override the level of an image nor take an override back."""
    (tmp_path / "roles.yaml").write_text(TEXT)
    for name, value in {"CONFIG": tmp_path, "STORE": tmp_path / "store", "USER": "rob"}.items():
        monkeypatch.setenv(f"LABELOP_{name}", str(value))
    word = ["--by", "Rob", "--reason", "r"]
    for more in (["override", "abcd", "--level", "public", "--until", "2999-01-01"], ["withdraw", "abcd"]):
        done = CliRunner().invoke(app, ["classify", *more, *word])
        assert done.exit_code == 1
        assert "'rob' may not override" in done.output
