"""Laws of the door to accepted labels: whatever is done to the tables, nothing comes out that nobody approved."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from labelop.geometry import Box
from labelop.labels import AcceptedLabel
from labelop.review.approvals import NO_TRUST, Trust
from labelop.review.content import COLUMNS, content_digests
from labelop.review.gate import approvals
from labelop.review.rows import review_row
from labelop.review.states import STATES, TRANSITIONS, State, refusal_of
from labelop.schemas import table
from tests.approved import AT, KEY, sealed, state_row

Rows = dict[str, list[dict[str, Any]]]


@st.composite
def chains(draw: st.DrawFn) -> tuple[State, ...]:
    """Draw steps that are allowed."""
    found: list[State] = []
    for _ in range(draw(st.integers(0, 5))):
        found.append(draw(st.sampled_from(sorted(TRANSITIONS[found[-1] if found else "pending"]))))
    return tuple(found)


def world(histories: list[tuple[State, ...]], seeded: list[int]) -> Rows:
    """Write the tables of honest people; a seeded review is never approved."""
    reviews = [
        review_row(
            review_id=f"r-{n}", dataset="d", dataset_version="v-1", image_id=f"i-{n}", arm=("local", "blind")[n % 2],
            labels=[AcceptedLabel(f"l-{n}", "RBC", Box(n, 0, n + 9, 9))], tool="t", source_digest="s", run_id="run",
            batch_id="b-1", reviewer="anna", submitted_at=AT,
        )
        for n in range(len(histories))
    ]  # fmt: skip
    states = []
    for row, history in zip(reviews, histories, strict=True):
        states += [state_row(step) for step in sealed(row["review_id"], digest_of_row(row), history)]
    seeds = [
        {"seed_id": f"s-{n}", "task_uid": f"t-{n}", "dataset": "d", "dataset_version": "v-1", "image_id": f"i-{n}",
         "batch_id": "b-1", "kind": "wrong_class", "prediction_id": "p", "run_id": "run", "landed_at": AT}
        for n in seeded
    ]  # fmt: skip
    return {"reviews": reviews, "review_states": states, "bias_seeds": seeds}


def digest_of_row(row: dict[str, Any]) -> str:
    """Hash what one review says."""
    return content_digests(tables_of({"reviews": [row]})["reviews"].select([*COLUMNS]))[0]


def tables_of(rows: Rows) -> dict[str, pa.Table]:
    """Turn rows into tables."""
    return {name: pa.Table.from_pylist(listed, schema=table(name).schema) for name, listed in rows.items()}


def accepted(rows: Rows, trust: Trust) -> set[tuple[str, str]]:
    """Ask the door: review id and everything each accepted review says."""
    found = approvals(tables_of(rows), trust).to_pylist()
    through = {row["review_id"] for row in found if row["refusal"] is None}
    return {(row["review_id"], digest_of_row(row)) for row in rows["reviews"] if row["review_id"] in through}


def attack(draw: st.DrawFn, rows: Rows) -> None:
    """Do one thing to the tables that somebody without the key can do."""
    name = draw(st.sampled_from(["reviews", "review_states", "review_states", "bias_seeds"]))
    listed = rows[name]
    if not listed:
        return
    victim = draw(st.integers(0, len(listed) - 1))
    other = dict(listed[draw(st.integers(0, len(listed) - 1))])
    ways = ["delete", "delete", "delete", "double", "alter"] + ["alter", "forge"] * (name == "review_states")
    way = draw(st.sampled_from(ways))
    if way == "delete":
        del listed[victim]
    elif way == "double":
        listed.append(other)
    elif way == "alter":
        columns = {
            "reviews": ["review_id", "image_id", "labels", "decision", "dataset_version", "batch_id", "arm"],
            "review_states": ["review_id", "position", "state", "role", "content_digest", "previous", "seal", "by"],
            "bias_seeds": ["image_id", "batch_id"],
        }[name]
        column = draw(st.sampled_from(columns))
        value = draw(st.sampled_from([other[column], None if column == "seal" else other[column]]))
        values = {"state": "approved", "decision": "approved", "position": draw(st.integers(-1, 3))}
        listed[victim] = listed[victim] | {column: values.get(column, value)}
    else:
        digest = digest_of_row(draw(st.sampled_from(rows["reviews"]))) if rows["reviews"] else ""
        forged = sealed(listed[victim]["review_id"], digest, ("approved",))[0]
        made_up = state_row(forged) | {
            "position": draw(st.integers(0, 3)),
            "seal": draw(st.sampled_from(["", "0" * 64])),
        }
        listed.append(made_up)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), histories=st.lists(chains(), min_size=1, max_size=5), blows=st.integers(0, 6))
def test_no_attack_on_the_tables_lets_a_label_out(
    data: st.DataObject, histories: list[tuple[State, ...]], blows: int
) -> None:
    """After any deletion, doubling, change or forgery of reviews, states and seeds only what was approved is out."""
    seeded = [n for n, history in enumerate(histories) if "approved" not in history and n % 2]
    rows = world(histories, seeded)
    trust = Trust(
        KEY,
        {
            f"r-{n}": max(p for p, (state, after) in enumerate(itertools.pairwise(h)) if state == "approved")
            for n, h in enumerate(histories)
            if any(state == "approved" for state in h[:-1])
        },
    )
    honest = accepted(rows, trust)
    assert {name for name, _ in honest} == {f"r-{n}" for n, h in enumerate(histories) if h[-1:] == ("approved",)}

    @st.composite
    def all_blows(draw: st.DrawFn) -> None:
        for _ in range(blows):
            attack(draw, rows)

    data.draw(all_blows())
    assert accepted(rows, trust) <= honest
    assert accepted(rows, NO_TRUST) == set()


@given(history=chains(), cut=st.integers(0, 5))
def test_a_chain_that_was_cut_is_not_approved_again(history: tuple[State, ...], cut: int) -> None:
    """An approval that was withdrawn stays out when the rows behind it are deleted, since the list tells of it."""
    withdrawn = max((p for p, state in enumerate(history[:-1]) if state == "approved"), default=-1)
    chain = sealed("r-1", "c" * 64, history)[: max(0, len(history) - cut)]
    is_accepted = refusal_of(KEY, "c" * 64, chain, withdrawn) == ""
    assert is_accepted <= (history[len(chain) - 1 : len(chain)] == ("approved",) and len(chain) - 1 > withdrawn)
    assert is_accepted == (bool(chain) and chain[-1].state == "approved" and chain[-1].position > withdrawn)


@given(before=st.sampled_from(STATES), after=st.sampled_from(STATES))
def test_only_allowed_steps_count(before: State, after: State) -> None:
    """A chain with a step that the states do not allow is refused, though each of its seals fits."""
    way: dict[State, tuple[State, ...]] = {
        "pending": ("in_review", "pending"), "in_review": ("in_review",), "approved": ("approved",),
        "revision_requested": ("revision_requested",), "rejected": ("rejected",),
    }  # fmt: skip
    back: tuple[State, ...] = () if after == "approved" else ("approved",)
    chain = sealed("r-1", "c" * 64, (*way[before], after, *back))
    steps = [step.state for step in chain]
    allowed = all(b in TRANSITIONS[a] for a, b in itertools.pairwise(["pending", *steps]))
    assert (refusal_of(KEY, "c" * 64, chain) == "") == allowed


def test_a_seal_covers_every_word() -> None:
    """Changing any field of an approval, the time and the note included, voids it."""
    [step] = sealed("r-1", "c" * 64)
    for name in step.__dataclass_fields__:
        value = getattr(step, name)
        other = value + 1 if name == "position" else value.replace(year=2027) if name == "at" else f"{value}x"
        changed = type(step)(**{field: getattr(step, field) for field in step.__dataclass_fields__} | {name: other})
        assert refusal_of(KEY, changed.content_digest, [changed]), name
    assert refusal_of(KEY, "c" * 64, [step]) == ""
    assert refusal_of(b"other" * 7, "c" * 64, [step]) == "FORGED"
