"""Options that contradict themselves or each other are wrong usage."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelop.cli import app


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["pilot", "plan", "--dataset", "d", "--name", "p", "--reviewer", "7", "--simulate"],
            "reviewers are simulated",
        ),
        (["models", "thresholds", "--dataset", "d", "--risk", "WBC=3", "--risk", "WBC=5"], "'WBC' is given twice"),
    ],
)
def test_what_contradicts_itself_is_wrong_usage(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Reviewers beside simulated ones went unheard, and of two weights the last counted."""
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, [*words, "--store", str(tmp_path)])
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("user", ["", " ", " 1", "1\t", "\u200b1", "1\x1b[2J"])
@pytest.mark.parametrize(
    "words",
    [
        ["pilot", "plan", "--dataset", "d", "--name", "p", "--reviewer", "1"],
        ["review", "import", "done.json", "--dataset", "d", "--tool", "coco", "--arm", "local"],
    ],
    ids=["pilot plan", "review import"],
)
def test_a_user_id_is_what_a_tool_can_show(words: list[str], user: str, tmp_path: Path) -> None:
    """One person typed as `1` and ` 1` was two reviewers of a pilot, saw images twice and was no user of the tool."""
    result = CliRunner().invoke(app, [*words, "--reviewer", user, "--store", str(tmp_path)])
    assert result.exit_code == 1
    assert "expected a user id of printable characters" in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []
