"""The Monte Carlo of costs: its draws have the range of the price book, and are the same every time."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pytest

from labelop.cost.items import ITEMS
from labelop.queries import open_tables, run_query
from labelop.schemas import TABLES, table
from tests.approved import TRUST, approved
from tests.sql.case_folders import SQL, cases, table_of

Row = dict[str, Any]


def asked(
    ranges: dict[str, tuple[str, str]], *, amounts: Mapping[str, str] = MappingProxyType({}), order: int = 1
) -> tuple[Row, dict[str, Row]]:
    """Ask odds and tornado of a case where only these prices, and the review seconds, are uncertain."""
    [case] = [one for one in cases() if one.query == "sensitivity" and one.folder.name == "widest_first"]
    tables = {name: table_of(case.folder, name) for name in TABLES}
    prices = tables["prices"].to_pylist()
    for row in prices:
        name = f"{row['placement']}.{row['item']}"
        row["amount"] = Decimal(amounts.get(name, row["amount"]))
        ends = ranges.get(name, (None, None))
        row.update(zip(("low", "high"), (None if end is None else Decimal(end) for end in ends), strict=True))
    tables["prices"] = pa.Table.from_pylist(prices, schema=table("prices").schema)
    tables = {
        name: pa.Table.from_pylist(found.to_pylist()[::order], schema=found.schema) for name, found in tables.items()
    }
    tables["review_states"] = approved(tables["reviews"])
    session = open_tables(tables, TRUST, root=SQL)
    [odds] = run_query(session, "odds").to_pylist()
    return odds, {row["parameter"]: row for row in run_query(session, "sensitivity").to_pylist()}


@pytest.mark.parametrize(
    ("parameter", "low", "high"),
    [
        ("onprem.machine_busy", "200", "2000"),
        ("onprem.machine_price", "1500", "16000"),
        ("onprem.machine_life", "1", "9"),
    ],
)
def test_a_price_that_decides_gives_its_range_to_the_difference(parameter: str, low: str, high: str) -> None:
    """P10, median and P90 of the draws are the tornado's ends and middle, also of what a cost is divided by.

    Busy hours were drawn below 0 and as 1e-9 then, and lopsided ranges had other P10 and P90 than the book.
    """
    odds, tornado = asked({parameter: (low, high)})
    told = tornado[parameter]
    ends = sorted((told["low_difference"], told["high_difference"]))
    room = 0.12 * (ends[1] - ends[0])  # the seconds of review are drawn as well
    assert odds["difference_p10"] == pytest.approx(ends[0], abs=room)
    assert odds["difference_p50"] == pytest.approx(told["difference"], abs=room)
    assert odds["difference_p90"] == pytest.approx(ends[1], abs=room)
    assert odds["draws_count"] == 10_000


def test_every_range_that_a_book_may_give_is_used() -> None:
    """Each item that may have a range is a row of the tornado that moves the difference; those of 0 had none."""
    items = {f"{placement}.{item}" for (placement, item), kind in ITEMS.items() if not kind.certain}
    ranges = dict.fromkeys(items, ("0.5", "2")) | {"onprem.machine_price": ("3000", "4000")}
    amounts = dict.fromkeys(items, "1") | {"onprem.machine_price": "3500", "onprem.machine_salvage": "0.6"}
    tornado = asked(ranges, amounts=amounts)[1]
    moved = {name for name, row in tornado.items() if row["low_difference"] != row["high_difference"]}
    assert items <= moved


def test_what_costs_next_to_nothing_may_cost_a_lot() -> None:
    """A price whose line is rounded to nothing moves the draws up to its P90; its range was passed by."""
    name = "cloud.api"
    certain = asked({})[0]
    odds = asked({name: ("0", "2000")}, amounts={name: "0.000001"})[0]
    assert certain["cloud_cheaper_probability"] > 0.5
    assert odds["cloud_cheaper_probability"] < 0.5
    assert odds["difference_p90"] == pytest.approx(8.81, rel=0.1)


def test_the_same_tables_give_the_same_draws() -> None:
    """Neither another time nor another order of rows changes a digit that is shown."""
    ranges = {"cloud.gpu": ("2.4", "6"), "onprem.machine_busy": ("200", "2000")}
    first, again = asked(ranges)[0], asked(ranges, order=-1)[0]
    figures = ("cloud_cheaper_probability", "difference_p10", "difference_p50", "difference_p90")
    assert [again[name] for name in figures] == pytest.approx([first[name] for name in figures], rel=1e-9)
