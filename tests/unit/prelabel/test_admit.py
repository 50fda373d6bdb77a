"""A night admits what reviewers can absorb, in order, and says what it held back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labelop.landing.store import Store, land
from labelop.pilot.capacity import Team
from labelop.prelabel import admit as module
from labelop.prelabel.admit import admit
from labelop.prelabel.plan import PlannedBatch
from labelop.schemas import TABLES


def batch(number: int, role: str = "chosen") -> PlannedBatch:
    """Make a batch of ten images."""
    return PlannedBatch(f"b{number}", "local", role, "onprem", "small", number, tuple(f"i{n}" for n in range(10)))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Make a store whose decisions expect a minute per image, with half an hour of backlog."""
    made = Store(str(tmp_path))
    row: dict[str, Any] = dict.fromkeys(TABLES["decisions"].schema.names)
    row |= {"decision_id": "d", "decision_set": "s", "arm": "local", "images_count": 9, "expected_review_seconds": 60.0}
    land(made, "decisions", [row], key="k")

    class Backlog:
        def to_pylist(self) -> list[dict[str, float]]:
            return [{"backlog_seconds": 1000.0}, {"backlog_seconds": 800.0}]

    monkeypatch.setattr(module, "run_query", lambda *_: Backlog())
    return made


TEAM = Team(1, 1.0, utilisation=1.0, shrinkage=0.0)


def test_batches_are_taken_while_their_review_fits(store: Store) -> None:
    """An hour of capacity, half of it waiting: three batches of ten minutes fit, the others are held back and named."""
    todo, held, said = admit(store, TEAM, [batch(n) for n in range(5)], "s")
    assert [one.position for one in todo] == [0, 1, 2]
    assert [one.position for one in held] == [3, 4]
    assert said == ("Reviewers cover 1.0 h, 0.5 h wait: 0.5 h are admitted. 2 batches with 20 images are held back.")


def test_what_nobody_reviews_is_always_done(store: Store) -> None:
    """Evaluation costs no reviewer anything, not even with a capacity of zero."""
    todo, held, said = admit(store, Team(0, 8.0), [batch(0), batch(1, "evaluate")], "s")
    assert [one.role for one in todo] == ["evaluate"]
    assert [one.position for one in held] == [0]
    assert "no capacity" in said


def test_what_other_runs_have_just_admitted_is_not_admitted_again(store: Store) -> None:
    """Of three batches that fit beside the backlog the second belt has room for one; without it all three went."""
    asked: list[Sequence[float]] = []

    def reserve(_: Team, seconds: Sequence[float]) -> int:
        asked.append(seconds)
        return 1

    todo, held, said = admit(store, TEAM, [batch(n) for n in range(5)], "s", reserve)
    assert asked == [[600.0, 600.0, 600.0]]
    assert ([one.position for one in todo], [one.position for one in held]) == ([0], [1, 2, 3, 4])
    assert "2 of them would fit, but other runs have just admitted" in said


def test_what_nobody_expects_is_not_taken_for_nothing(store: Store) -> None:
    """An arm without expected seconds counts like the longest known one, and without any nothing is admitted.

    Both took no time at all before: every batch of them was admitted.
    """
    todo, held, _ = admit(store, TEAM, [replace(batch(n), arm="cloud") for n in range(5)], "s")
    assert (len(todo), len(held)) == (3, 2)
    todo, held, said = admit(store, TEAM, [batch(0)], None)
    assert (todo, len(held)) == ([], 1)
    assert said.endswith("nobody knows what fits.")


def test_without_a_team_nothing_is_held_back(store: Store) -> None:
    """No capacity.yaml means no limit."""
    assert admit(store, None, [batch(0)], "s") == ([batch(0)], [], "")
