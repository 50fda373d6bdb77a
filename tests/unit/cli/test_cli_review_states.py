"""`labelop review state` shows where reviews stand, and its siblings move them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from labelop.cli import app
from labelop.landing.store import read_rows
from tests.unit.review.test_transitions import STRICT, submitted

ROLES = """
schema: 1
people: {lena: [lead]}
others: [reviewer]
approval: [{dataset: cells, role: lead}]
"""


def call(folder: Path, *words: str, user: str = "lena") -> Result:
    """Run a command of `labelop review`."""
    (folder / "roles.yaml").write_text(ROLES)
    names = {"LABELOP_CONFIG": str(folder), "LABELOP_USER": user, "LABELOP_STORE": str(folder / "store")}
    return CliRunner().invoke(app, ["review", *words], env=names)


def states(folder: Path, *words: str) -> dict[str, str]:
    """Show the states."""
    done = call(folder, "state", "--format", "json", *words)
    assert done.exit_code == 0, done.output
    return {row["review_id"]: row["state"] for row in json.loads(done.stdout)}


def test_reviews_are_moved_one_by_one_and_by_query(tmp_path: Path) -> None:
    """Ids move what they name; filters say how many fit, and move them with --yes only."""
    store = submitted(tmp_path, STRICT)
    assert states(tmp_path) == {"r-0": "pending", "r-1": "pending", "r-2": "pending"}
    assert call(tmp_path, "begin", "r-0", user="rob").exit_code == 0
    assert "3 reviews fit" in call(tmp_path, "approve", "--dataset", "cells").output
    assert len(read_rows(store, "review_states")) == 1
    done = call(tmp_path, "approve", "--dataset", "cells", "--state", "pending", "--yes", "--note", "all seen")
    assert "2 reviews are approved now, 0 were before" in done.output
    call(tmp_path, "reject", "r-0", "--reason", "wrong-image")
    call(tmp_path, "request-revision", "r-1", "--reason", "missed-object")
    assert states(tmp_path) == {"r-0": "rejected", "r-1": "revision_requested", "r-2": "approved"}
    assert states(tmp_path, "--state", "approved") == {"r-2": "approved"}


@pytest.mark.parametrize(
    ("words", "user", "code", "problem"),
    [
        (["approve", "r-0"], "rob", 1, "'rob' may not approve labels of cells: roles reviewer, expected lead"),
        (["approve"], "lena", 2, "give either review ids"),
        (["approve", "r-0", "--dataset", "cells"], "lena", 2, "give either review ids"),
        (["approve", "--arm", "local"], "lena", 2, "give --dataset"),
        (["state", "--state", "done"], "lena", 2, "expected one of pending"),
        (["reject", "r-0", "--reason", "No!"], "lena", 1, "no short code"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_moves(
    tmp_path: Path, words: list[str], user: str, code: int, problem: str
) -> None:
    """Roles, unclear questions and misspelt states end in one line."""
    store = submitted(tmp_path, STRICT)
    done = call(tmp_path, *words, user=user)
    assert (done.exit_code, problem in " ".join(done.output.replace("│", " ").split())) == (code, True), done.output
    assert read_rows(store, "review_states") == []
