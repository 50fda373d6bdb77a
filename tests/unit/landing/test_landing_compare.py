from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

from labelop import schemas
from labelop.landing.compare import content_digest, differences
from labelop.landing.store import Store, land

NOON = dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC)


def usage(attempt: str, **given: Any) -> dict[str, Any]:
    """Make one attempt."""
    row: dict[str, Any] = dict.fromkeys(schemas.table("usage").schema.names)
    return row | {"attempt_id": attempt, "batch_id": "b", "sent_bytes": 1, "started_at": NOON} | given


def price(item: str, amount: str) -> dict[str, Any]:
    """Make one price."""
    row: dict[str, Any] = dict.fromkeys(schemas.table("prices").schema.names)
    return row | {"price_book": "p", "placement": "cloud", "item": item, "amount": Decimal(amount)}


def test_order_layout_and_volatile_columns_do_not_count(tmp_path: Path) -> None:
    """Two stores with the same rows in other files, order, runs and times are equal."""
    one, two = Store(str(tmp_path / "1")), Store(str(tmp_path / "2"))
    land(one, "usage", [usage("x", sent_bytes=1), usage("y", sent_bytes=2)], "k")
    land(two, "usage", [usage("p", sent_bytes=2, run_id="r", wall_seconds=3.0)], "k1")
    land(two, "usage", [usage("q", sent_bytes=1, started_at=NOON + dt.timedelta(days=1), worker="w")], "k2")
    assert content_digest(one, "usage") == content_digest(two, "usage")
    assert differences(one, two, ["usage", "images"]) == []


def test_repeated_rows_count(tmp_path: Path) -> None:
    """A row landed twice differs from the row landed once."""
    one, two = Store(str(tmp_path / "1")), Store(str(tmp_path / "2"))
    land(one, "usage", [usage("x")], "k")
    land(two, "usage", [usage("x"), usage("x")], "k")
    assert content_digest(one, "usage") != content_digest(two, "usage")
    assert "0 rows only in" in differences(one, two, ["usage"])[0]


def test_a_difference_names_its_rows(tmp_path: Path) -> None:
    """A difference in one cent is found and named by table and grain."""
    one, two = Store(str(tmp_path / "1")), Store(str(tmp_path / "2"))
    land(one, "prices", [price("gpu", "1.00"), price("disk", "2")], "k")
    land(two, "prices", [price("gpu", "1.01"), price("disk", "2")], "k")
    (found,) = differences(one, two, ["prices", "images"])
    assert found.startswith("prices: 1 rows only in")
    assert "['p', 'cloud', 'gpu']" in found
    assert "disk" not in found


def test_nothing_and_never_written_are_equal(tmp_path: Path) -> None:
    """A table with a recorded key and no rows has the content of a table that does not exist."""
    one, two = Store(str(tmp_path / "1")), Store(str(tmp_path / "2"))
    land(one, "images", [], "k")
    assert content_digest(one, "images") == content_digest(two, "images")


def test_odd_numbers_have_a_digest(tmp_path: Path) -> None:
    """NaN and infinity can be compared, and differ from each other and from nothing."""
    stores = [Store(str(tmp_path / str(n))) for n in range(3)]
    for store, value in zip(stores, (float("nan"), float("inf"), None), strict=True):
        land(store, "edits", [dict.fromkeys(schemas.table("edits").schema.names) | {"iou": value}], "k")
    assert len({content_digest(store, "edits") for store in stores}) == 3
