"""Laws of cost: the SQL books what the formulas say, and costs of disjoint runs add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelop import schemas
from labelop.cost.formulas import cloud_parts, local_parts, review_part, total
from labelop.cost.prices import PriceBook
from labelop.queries import open_tables
from tests.property.cost_worlds import SECONDS, books, price_rows, rows_of

ATTEMPT = st.tuples(st.sampled_from(["r1", "r2"]), SECONDS, st.integers(1, 300), st.integers(0, 10**10))


def usage_rows(attempts: Sequence[tuple[str, float, int, int]], arm: str, placement: str) -> list[dict[str, Any]]:
    """Write attempts of one arm as rows of `usage`."""
    return [
        {
            "attempt_id": f"{arm}{number}",
            "dataset": "d",
            "dataset_version": "v",
            "arm": arm,
            "role": "chosen" if number % 2 else "compare",
            "placement": placement,
            "images_count": images,
            "wall_seconds": seconds,
            "sent_bytes": size,
            "received_bytes": size // 7,
            "outcome": "failed" if number % 3 == 0 else "landed",
            "simulated": placement == "cloud",
            "run_id": run,
            "started_at": schemas.utc_now(),
        }
        for number, (run, seconds, images, size) in enumerate(attempts)
    ]


@settings(max_examples=15, deadline=None)
@given(book=books(), local=st.lists(ATTEMPT, min_size=1, max_size=5), cloud=st.lists(ATTEMPT, min_size=1, max_size=5))
def test_sql_books_what_the_formulas_say(
    book: PriceBook, local: list[tuple[str, float, int, int]], cloud: list[tuple[str, float, int, int]]
) -> None:
    """Cost lines of any usage equal C_loc, C_cld and C_rev computed in Python, line by line.

    What reached no server is in the usage and on no bill.
    """
    reviews = rows_of(
        "reviews",
        [
            {
                "review_id": f"r{number}",
                "dataset": "d",
                "dataset_version": "v",
                "image_id": str(number),
                "arm": "local",
                "decision": "approved",
                "active_seconds": seconds,
                "effort_source": "measured",
                "labels": [],
                "simulated": False,
            }
            for number, (_, seconds, _, _) in enumerate(local)
        ],
    )
    tables = {name: table.schema.empty_table() for name, table in schemas.TABLES.items()}
    usage = rows_of("usage", [*usage_rows(local, "local", "onprem"), *usage_rows(cloud, "cloud", "cloud")])
    session = open_tables({**tables, "usage": usage, "prices": price_rows(book), "reviews": reviews})
    lines = session.sql(
        "SELECT arm, category, item, sum(quantity)::DOUBLE AS quantity, sum(amount) AS amount "
        "FROM v_cost_line GROUP BY ALL"
    )
    billed = [one for one in cloud if one[3] > 0]
    sessions = {run: sum(s for other, s, _, _ in billed if other == run) for run, *_ in billed}
    on_the_bill = cloud_parts(
        book,
        list(sessions.values()),
        images_count=sum(n for _, _, n, _ in billed),
        sent_bytes=sum(size for *_, size in billed),
        received_bytes=sum(size // 7 for *_, size in billed),
    )
    expected = {
        **{("local", p.category, p.item): p for p in local_parts(book, sum(s for _, s, _, _ in local))},
        **{("cloud", p.category, p.item): p for p in on_the_bill if billed},
        ("local", "review", "measured seconds"): review_part(book, sum(s for _, s, _, _ in local)),
    }
    found = {(line["arm"], line["category"], line["item"]): line for line in lines.to_arrow_table().to_pylist()}
    # a line of nothing is not booked, and a quantity has nine decimals
    assert found.keys() <= {key for key, part in expected.items() if part.quantity > 0}
    assert found.keys() >= {key for key, part in expected.items() if part.quantity >= 1e-9}
    for key, line in found.items():
        assert line["quantity"] == pytest.approx(expected[key].quantity, rel=1e-9, abs=4e-9)
        # amounts and unit prices have six decimals, and what a quantity lost by rounding is lost at its price
        rounded = 4e-6 + 1e-6 * float(line["quantity"]) + 4e-9 * expected[key].unit_price
        assert float(line["amount"]) == pytest.approx(expected[key].amount, rel=1e-9, abs=rounded)


@settings(max_examples=50, deadline=None)
@given(book=books(), one=SECONDS, other=SECONDS, images=st.integers(1, 1000))
def test_cost_is_additive_over_disjoint_runs(book: PriceBook, one: float, other: float, images: int) -> None:
    """Two runs cost together what they cost apart, but for what is paid once per dataset version."""

    def running(parts: Sequence[Any]) -> float:
        return total(part for part in parts if part.category not in {"setup", "blocked"})

    apart = running(local_parts(book, one)) + running(local_parts(book, other))
    assert running(local_parts(book, one + other)) == pytest.approx(apart)
    first, second = cloud_parts(book, [one], images_count=images), cloud_parts(book, [other], images_count=images)
    both = cloud_parts(book, [one, other], images_count=2 * images)
    assert running(both) == pytest.approx(running(first) + running(second))
