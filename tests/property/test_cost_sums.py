"""Laws of the invoice: slices add up to the last decimal, runs too, a price moves its own lines, order is nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from labelop.cost.prices import PriceBook
from tests.property.cost_worlds import Rows, books, session_of, worlds

_MILLIONTH = Decimal("0.000001")
_SUMS = (
    "SELECT arm, purpose, run_id, category, item, sum(amount) FROM v_cost_line GROUP BY ALL ORDER BY ALL",
    "SELECT arm, purpose, run_id, category, item, sum(amount) FROM v_cost_batch GROUP BY ALL ORDER BY ALL",
    "SELECT arm, purpose, run_id, category, item, sum(amount) FROM v_cost_image GROUP BY ALL ORDER BY ALL",
)
_WHOLE = (
    "SELECT sum(amount), min(amount) >= 0 FROM v_cost_line",
    "SELECT sum(amount), min(amount) >= 0 FROM v_cost_batch",
    "SELECT sum(amount), min(amount) >= 0 FROM v_cost_image",
)
_OF_UNIT = {
    "onprem.electricity": "energy", "cloud.gpu": "gpu", "cloud.api": "api", "cloud.storage": "storage",
    "cloud.put": "requests", "cloud.get": "requests", "cloud.egress": "egress",
}  # fmt: skip


def lines(book: PriceBook, world: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[tuple[Any, ...], Decimal]:
    """Give the invoice's amounts by line."""
    found = session_of(book, world).sql(
        "SELECT arm, purpose, run_id, category, item, price_item, amount FROM v_cost_line ORDER BY ALL"
    )
    return {tuple(row[:-1]): row[-1] for row in found.fetchall()}


@settings(max_examples=6, deadline=None)
@given(book=books(), world=worlds())
def test_every_slice_adds_up_to_the_invoice(book: PriceBook, world: Rows) -> None:
    """Lines, batches and images give the same sums by arm, run and item, and as a whole, to the last decimal."""
    session = session_of(book, world)
    of_category = [session.sql(sql).fetchall() for sql in _SUMS]
    whole = [session.sql(sql).fetchall() for sql in _WHOLE]
    assert of_category[0] == of_category[1] == of_category[2]
    assert whole[0] == whole[1] == whole[2]
    of_arms = session.sql("SELECT sum(total_cost) FROM v_tco_arm").fetchall()
    assert of_arms == session.sql("SELECT sum(amount) FROM v_cost_line WHERE purpose = 'work'").fetchall()


@settings(max_examples=6, deadline=None)
@given(book=books(), world=worlds())
def test_every_attempt_is_paid_for(book: PriceBook, world: Rows) -> None:
    """Failed, cancelled and repeated attempts and evaluations are on the invoice; what reached no server is not."""
    paid = [row for row in world["usage"] if row["placement"] == "onprem" or row["sent_bytes"]]
    hours = sum(
        round((row["wall_seconds"] + (row["placement"] == "onprem") * (row["cold_start_seconds"] or 0)) * 1e6)
        for row in paid
    )
    [[booked]] = (
        session_of(book, world)
        .sql("SELECT sum(quantity) FROM v_cost_line WHERE item IN ('workstation', 'working seconds')")
        .fetchall()
    )
    assert abs((booked or 0) - Decimal(hours) / Decimal(3_600_000_000)) <= Decimal("4e-9")


@settings(max_examples=6, deadline=None)
@given(book=books(), world=worlds())
def test_runs_add_up(book: PriceBook, world: Rows) -> None:
    """A run's lines are the same with and without other runs, but for what a dataset version pays once."""
    once = {"setup and upkeep", "approval and contracts", "work blocked"}
    together = {key: amount for key, amount in lines(book, world).items() if key[4] not in once}
    apart: dict[tuple[Any, ...], Decimal] = {}
    for run in ("r1", "r2"):
        usage = [row for row in world["usage"] if row["run_id"] == run]
        apart |= lines(book, {**world, "usage": usage, "reviews": []})
    for run in ("i1", "i2"):
        apart |= lines(book, {**world, "usage": [], "reviews": [r for r in world["reviews"] if r["run_id"] == run]})
    assert together == {key: amount for key, amount in apart.items() if key[4] not in once}


@settings(max_examples=6, deadline=None)
@given(book=books(), world=worlds(), item=st.sampled_from(sorted(_OF_UNIT)))
def test_a_doubled_price_doubles_its_lines_only(book: PriceBook, world: Rows, item: str) -> None:
    """Lines of the price double to the last rounding; every other line is the same to the last decimal."""
    placement, _, name = item.partition(".")
    key = (placement, name)
    dearer = replace(book, prices={**book.prices, key: replace(book.prices[key], amount=2 * book.prices[key].amount)})
    before, after = lines(book, world), lines(dearer, world)
    assert before.keys() == after.keys()
    for line, amount in before.items():
        if line[5] == item:
            assert line[3] == _OF_UNIT[item]
            assert abs(after[line] - 2 * amount) <= _MILLIONTH
        else:
            assert after[line] == amount


@settings(max_examples=6, deadline=None)
@given(book=books(), world=worlds(), seed=st.integers(0, 99))
def test_order_never_matters(book: PriceBook, world: Rows, seed: int) -> None:
    """Rows and images in any order give the same shares, image by image."""
    chance = Random(seed)
    mixed = {name: chance.sample(rows, len(rows)) for name, rows in world.items()}
    mixed["batches"] = [
        {**row, "image_ids": chance.sample(row["image_ids"], len(row["image_ids"]))} for row in mixed["batches"]
    ]
    sql = "SELECT * EXCLUDE (price_version) FROM v_cost_image ORDER BY ALL"
    assert session_of(book, world).sql(sql).fetchall() == session_of(book, mixed).sql(sql).fetchall()
