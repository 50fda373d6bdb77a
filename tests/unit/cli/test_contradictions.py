"""Options that contradict themselves or each other are wrong usage."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelop.cli import app


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pilot", "plan", "--dataset", "d", "--name", "p", "--reviewer", " "], "is blank"),
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
    """Blanks were a reviewer, reviewers beside simulated ones went unheard, and of two weights the last counted."""
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, [*words, "--store", str(tmp_path)])
    assert result.exit_code == 2
    assert said in result.stderr
