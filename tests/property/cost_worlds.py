"""Draws what the laws of cost are tried on: price books, attempts in runs and batches, reviews."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from labelop import schemas
from labelop.cost.items import ITEMS
from labelop.cost.prices import Price, PriceBook
from labelop.cost.prices import price_rows as rows_of_book
from labelop.landing.rows import rows_to_table
from labelop.queries import open_tables
from labelop.views import Session

SECONDS = st.floats(min_value=0.001, max_value=1e5)
_NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
_PLACES = {"local": "onprem", "cloud": "cloud"}

Rows = dict[str, list[dict[str, Any]]]


@st.composite
def books(draw: st.DrawFn) -> PriceBook:
    """Draw any price book that a file may hold."""
    prices = {}
    for key, kind in ITEMS.items():
        least, most = Decimal(str(kind.least)), Decimal(str(min(kind.most, 5000.0)))
        amount = draw(st.decimals(min_value=max(least, Decimal("0.001")), max_value=most, places=3))
        prices[key] = Price(amount, kind.unit, "2026-11", "drawn")
    worth = prices["onprem", "machine_price"].amount
    prices["onprem", "machine_salvage"] = Price(worth / 4, "money", "2026-11", "drawn")
    return PriceBook("drawn", "USD", "b" * 64, prices)


@st.composite
def worlds(draw: st.DrawFn) -> Rows:
    """Draw attempts of two arms over two runs, some failed, repeated or evaluating, and reviews in two sessions."""
    rows: Rows = {"batches": [], "usage": [], "reviews": []}
    for arm, placement in _PLACES.items():
        for number in range(draw(st.integers(1, 3))):
            role = draw(st.sampled_from(["chosen", "compare", "pilot", "evaluate", "parity"]))
            images = [f"{arm}-{number}-{place}" for place in range(draw(st.integers(1, 7)))]
            batch = {
                "batch_id": f"b-{arm}-{number}",
                "dataset": "d",
                "dataset_version": "v",
                "arm": arm,
                "role": role,
                "placement": "onprem" if role in {"evaluate", "parity"} else placement,
            }
            rows["batches"].append({**batch, "plan_id": "p", "image_ids": images})
            for attempt in range(draw(st.integers(1, 3))):
                size = draw(st.integers(0, 10**9))
                rows["usage"].append(
                    {
                        **batch,
                        "attempt_id": f"a-{arm}-{number}-{attempt}",
                        "images_count": len(images),
                        "wall_seconds": draw(SECONDS),
                        "cold_start_seconds": draw(st.none() | SECONDS),
                        "operator_waiting_seconds": draw(st.none() | SECONDS),
                        "energy_joules": draw(st.none() | SECONDS),
                        "requests_count": draw(st.none() | st.integers(0, 50)),
                        "sent_bytes": size,
                        "received_bytes": size // 7,
                        "outcome": draw(st.sampled_from(["finished", "failed", "cancelled"])),
                        "simulated": False,
                        "run_id": draw(st.sampled_from(["r1", "r2"])),
                        "started_at": _NOON + dt.timedelta(minutes=len(rows["usage"])),
                    }
                )
            for image in draw(st.lists(st.sampled_from(images), unique=True)):
                rows["reviews"].append(
                    {
                        "review_id": f"v-{image}",
                        "dataset": "d",
                        "dataset_version": "v",
                        "image_id": image,
                        "arm": arm,
                        "batch_id": draw(st.sampled_from([batch["batch_id"], None])),
                        "decision": draw(st.sampled_from(["approved", "rejected"])),
                        "active_seconds": draw(SECONDS),
                        "effort_source": draw(st.sampled_from(["measured", "literature"])),
                        "labels": [],
                        "simulated": False,
                        "run_id": draw(st.sampled_from(["i1", "i2"])),
                        "submitted_at": _NOON,
                    }
                )
    return rows


def rows_of(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Fill in the columns a law does not need."""
    return rows_to_table(name, [dict.fromkeys(schemas.table(name).schema.names) | dict(row) for row in rows])


def price_rows(book: PriceBook) -> pa.Table:
    """Write a book as its table."""
    return rows_of("prices", rows_of_book(book, "r"))


def session_of(book: PriceBook, world: Mapping[str, Sequence[Mapping[str, Any]]]) -> Session:
    """Open the views over a world."""
    tables = {name: table.schema.empty_table() for name, table in schemas.TABLES.items()}
    given = {name: rows_of(name, rows) for name, rows in world.items()}
    return open_tables({**tables, **given, "prices": price_rows(book)})
