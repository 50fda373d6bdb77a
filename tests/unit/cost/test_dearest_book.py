"""A book within its bounds is one whose amounts the tables hold."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from labelop.cost.items import ITEMS
from labelop.cost.prices import load_prices
from labelop.errors import PolicyError
from tests.property.cost_worlds import session_of
from tests.unit.cost.test_cost import written


def test_a_machine_that_is_hardly_used_has_an_hourly_price_that_tables_hold(tmp_path: Path) -> None:
    """A price, a life and busy hours within their bounds may still make an hour cost more than an amount may be."""

    def change(content: dict[str, Any]) -> None:
        for item, amount in (("machine_price", 1e9), ("machine_life", 0.1), ("machine_busy", 1)):
            content["items"]["onprem"][item].update(amount=amount, low=None, high=None)

    with pytest.raises(PolicyError, match=r"machine_price makes a busy hour cost 1e\+10"):
        load_prices(written(tmp_path, change))


def test_the_dearest_book_overflows_no_view(tmp_path: Path) -> None:
    """With every price as high as a book may have it, a thousand hours of each arm and of people still add up."""

    def change(content: dict[str, Any]) -> None:
        dearest = {key: kind.most for key, kind in ITEMS.items()} | {
            ("onprem", "machine_salvage"): 0,
            ("onprem", "machine_life"): 1,
            ("onprem", "machine_busy"): 100,
            ("review", "productive_fraction"): "0.05",
        }
        for (placement, item), amount in dearest.items():
            entry = {"unit": ITEMS[placement, item].unit, "source": "t"}
            content["items"][placement][item] = {**entry, "amount": amount}

    rows: dict[str, list[dict[str, Any]]] = {"batches": [], "usage": [], "reviews": []}
    for arm, placement in (("local", "onprem"), ("cloud", "cloud")):
        batch = {
            "batch_id": arm,
            "dataset": "d",
            "dataset_version": "v",
            "arm": arm,
            "role": "chosen",
            "placement": placement,
        }
        rows["batches"].append({**batch, "image_ids": ["i"]})
        used = {"images_count": 1000, "wall_seconds": 3.6e6, "sent_bytes": 10**9, "received_bytes": 10**9}
        rows["usage"].append({**batch, **used, "attempt_id": arm, "run_id": "r", "simulated": False})
        review = {name: batch[name] for name in ("batch_id", "dataset", "dataset_version", "arm")}
        review |= {"review_id": arm, "image_id": "i", "decision": "approved", "effort_source": "measured"}
        took = {"active_seconds": 3.6e6, "labels": [], "simulated": False, "run_id": "r"}
        rows["reviews"].append(review | took)
    session = session_of(load_prices(written(tmp_path, change)), rows)
    [[total_cost]] = session.sql("SELECT sum(total_cost) FROM v_tco_arm").fetchall()
    assert Decimal(4 * 10**11) < total_cost < Decimal(10**12)
    for view in ("v_cost_image", "v_break_even", "v_arm_slice", "v_sensitivity", "v_odds"):
        session.view(view).fetchall()
