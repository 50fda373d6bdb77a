"""Reviews move from state to state as people say, once, and only as far as their roles go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labelop.errors import ReviewError, RoleError, SettingsError
from labelop.landing.store import Store, land, read_rows
from labelop.queries import open_session, run_query
from labelop.review.approvals import trust_of
from labelop.review.rows import review_row
from labelop.review.states import State
from labelop.review.transitions import move, submit
from labelop.roles import Roles
from tests.unit.review_rows import NOW, VERSION, filled_store, image_id

ROLES = Roles({"lena": frozenset({"lead"}), "rob": frozenset({"reviewer"})}, frozenset({"analyst"}))
STRICT = Roles(ROLES.people, ROLES.others, (("cell*", "lead"),))


def review(n: int, **changes: Any) -> dict[str, Any]:
    """Write one submitted review of the n-th image."""
    said: dict[str, Any] = {
        "review_id": f"r-{n}", "dataset": "cells", "dataset_version": VERSION, "image_id": image_id(n), "arm": "local",
        "batch_id": "b-local", "model_id": "m-local", "reviewer": "p-1", "labels": [], "tool": "t", "run_id": "run",
        "source_digest": "d", "submitted_at": NOW,
    }  # fmt: skip
    return review_row(**said | changes)


def submitted(root: Path, roles: Roles = ROLES, **changes: Any) -> Store:
    """Make a store with three submitted reviews."""
    store = filled_store(root / "store")
    rows = [review(n, **changes) for n in range(3)]
    land(store, "reviews", rows, key="reviews")
    submit(store, rows, roles, "run")
    return store


def go(store: Store, state: State, by: str = "lena", reviews: tuple[str, ...] = ("r-0",), roles: Roles = ROLES) -> int:
    """Move reviews."""
    return move(store, reviews, state, by=by, roles=roles, reason="checked", run_id="run")


def accepted(store: Store) -> set[str]:
    """Ask the door."""
    rows = run_query(store, "accepted_reviews", {"dataset": "cells"}).to_pylist()
    return {row["review_id"] for row in rows}


def test_what_is_submitted_is_approved_once(tmp_path: Path) -> None:
    """Submitting counts as the reviewer's approval; doing it again adds no step, and a skipped one has no labels."""
    store = submitted(tmp_path)
    assert submit(store, read_rows(store, "reviews"), ROLES, "again") == 0
    assert accepted(store) == {"r-0", "r-1", "r-2"}
    steps = read_rows(store, "review_states")
    assert {(step["by"], step["role"], step["reason"], step["position"]) for step in steps} == {
        ("p-1", "reviewer", "submitted", 0)
    }
    skipped = [review(7, decision="rejected")]
    land(store, "reviews", skipped, key="more")
    submit(store, skipped, ROLES, "run")
    assert accepted(store) == {"r-0", "r-1", "r-2"}


def test_a_review_of_nobody_is_pending_until_somebody_approves_it(tmp_path: Path) -> None:
    """A review without a reviewer was approved as of "unknown": it waits for a person's word."""
    store = submitted(tmp_path, reviewer=None)
    assert accepted(store) == set()
    go(store, "approved", by="rob")
    assert accepted(store) == {"r-0"}


def test_a_dataset_that_needs_a_lead_waits_for_one(tmp_path: Path) -> None:
    """Where roles.yaml asks for a lead, submitted reviews are pending, a reviewer cannot approve them, a lead can."""
    store = submitted(tmp_path, STRICT)
    assert accepted(store) == set()
    with pytest.raises(RoleError, match="'rob' may not approve labels of cells: roles reviewer, expected lead"):
        go(store, "approved", "rob", roles=STRICT)
    assert go(store, "approved", "lena", ("r-0", "r-1"), STRICT) == 2
    assert go(store, "approved", "lena", ("r-0",), STRICT) == 0
    assert accepted(store) == {"r-0", "r-1"}


def test_a_store_without_its_key_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Approvals that cannot be checked counted as none without a word; a store that has none says nothing."""
    filled_store(tmp_path / "new")
    assert accepted(Store(str(tmp_path / "new"))) == set()
    store = submitted(tmp_path)
    assert len(accepted(store)) == 3
    assert not caplog.messages
    (tmp_path / "store-keys").rename(tmp_path / "elsewhere")
    for _ in range(2):
        assert accepted(store) == set()
    [said] = caplog.messages
    assert f"no label counts as accepted: {tmp_path}/store-keys/approvals/approvals.key is missing" in said
    assert "LABELOP_APPROVALS" in said


def test_a_withdrawn_approval_stays_withdrawn(tmp_path: Path) -> None:
    """Only a lead takes approvals back, and deleting the rows that say so brings no label back."""
    store = submitted(tmp_path)
    before = read_rows(store, "review_states")
    with pytest.raises(RoleError, match="may not withdraw"):
        go(store, "rejected", "rob")
    go(store, "revision_requested")
    assert accepted(store) == {"r-1", "r-2"}
    # the tables as they were before, as somebody would have them who deletes the newest file
    cut = Store(str(tmp_path / "cut"))
    for name in ("images", "prelabels", "reviews"):
        land(cut, name, read_rows(store, name), key=name)
    land(cut, "review_states", before, key="states")
    (tmp_path / "store-keys").rename(tmp_path / "cut-keys")
    assert trust_of(cut).withdrawn == {"r-0": 0}
    assert accepted(cut) == {"r-1", "r-2"}
    (tmp_path / "cut-keys").rename(tmp_path / "store-keys")
    with pytest.raises(
        ReviewError, match="is revision_requested and cannot become approved; expected one of in_review"
    ):
        go(store, "approved")
    go(store, "in_review")
    go(store, "approved", "rob")
    assert accepted(store) == {"r-0", "r-1", "r-2"}


def test_the_second_of_two_people_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two who move one review at once cannot both be right: the place in the chain is taken once."""
    store = submitted(tmp_path, STRICT)
    stale = [row for row in read_rows(store, "review_states") if row["review_id"] == "r-0"]
    assert stale == []
    monkeypatch.setattr("labelop.review.transitions.state_chains", lambda _: {})
    go(store, "approved", roles=STRICT)
    with pytest.raises(ReviewError, match="1 of 1 reviews were moved by somebody else meanwhile, r-0 among them"):
        go(store, "rejected")
    monkeypatch.undo()
    assert accepted(store) == {"r-0"}


def test_a_seeded_review_is_never_approved(tmp_path: Path) -> None:
    """A review of a task that was made wrong on purpose is approved by nobody, so nothing is lost with the seed."""
    store = filled_store(tmp_path / "store")
    seed = {
        "seed_id": "s", "task_uid": "t", "dataset": "cells", "dataset_version": VERSION, "image_id": image_id(0),
        "batch_id": "b-local", "kind": "wrong_class", "prediction_id": "p", "run_id": "run", "landed_at": NOW,
    }  # fmt: skip
    land(store, "bias_seeds", [seed], key="seed")
    rows = [review(n) for n in range(2)]
    land(store, "reviews", rows, key="reviews")
    submit(store, rows, ROLES, "run")
    assert accepted(store) == {"r-1"}
    with pytest.raises(ReviewError, match="seeded task"):
        go(store, "approved")
    assert [row["review_id"] for row in read_rows(store, "review_states")] == ["r-1"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"reviews": ("r-9",)}, "'r-9' is unknown"),
        ({"reason": "Not A Code"}, "no short code"),
        ({"note": "x" * 2001}, "at most 2000"),
        ({"note": "\x1b[31m"}, "printable"),
        ({"state": "approved", "decision": "rejected"}, "was skipped"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    """Unknown reviews, other words than a code, and approving what has no labels end before anything lands."""
    decision = changes.pop("decision", "approved")
    store = submitted(tmp_path, STRICT if decision == "approved" else ROLES, decision=decision)
    if decision == "rejected":
        go(store, "in_review", "rob")
    asked: dict[str, Any] = {"reviews": ("r-0",), "state": "in_review", "reason": "checked", "note": ""} | changes
    count = len(read_rows(store, "review_states"))
    with pytest.raises(ReviewError, match=problem):
        move(
            store, asked["reviews"], asked["state"], by="lena", roles=ROLES, reason=asked["reason"], note=asked["note"],
            run_id="run",
        )  # fmt: skip
    assert len(read_rows(store, "review_states")) == count


def test_without_the_key_nothing_is_accepted(tmp_path: Path) -> None:
    """Who has only the tables can neither make labels accepted nor count any; a key that others read is refused."""
    store = submitted(tmp_path)
    key = tmp_path / "store-keys/approvals/approvals.key"
    key.chmod(0o644)
    with pytest.raises(SettingsError, match="make labels accepted"):
        accepted(store)
    key.unlink()
    assert accepted(store) == set()
    refusals = {row["refusal"] for row in run_query(store, "review_states").to_pylist()}
    assert refusals == {"NO_KEY"}


def test_a_damaged_list_of_withdrawals_is_told(tmp_path: Path) -> None:
    """A list that cannot be read is no empty list."""
    store = submitted(tmp_path)
    go(store, "rejected")
    (tmp_path / "store-keys/approvals/withdrawn.txt").write_text("r-0\n")
    with pytest.raises(SettingsError, match="line 1"):
        accepted(store)


def test_seals_are_checked_once_and_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session checks approvals at the first query that reads them, and no second time."""
    store, calls = submitted(tmp_path), list[int]()
    from labelop.review import gate  # noqa: PLC0415

    real = gate.approvals

    def counted(*given: Any) -> Any:
        calls.append(1)
        return real(*given)

    monkeypatch.setattr(gate, "approvals", counted)
    session = open_session(store)
    run_query(session, "quarantine_list", {"dataset": "cells"})
    assert calls == []
    for _ in range(2):
        run_query(session, "accepted_reviews", {"dataset": "cells"})
    assert calls == [1]
