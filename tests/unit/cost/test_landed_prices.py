"""Price books in a store: each once, and one version for one set of amounts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from labelop.cost.prices import land_prices, load_prices
from labelop.errors import PolicyError
from labelop.landing.store import Store, read_rows

SAMPLE = Path(__file__).resolve().parents[3] / "data/sample/config/prices.yaml"


def test_a_book_lands_once(tmp_path: Path) -> None:
    """Landing the same book again changes nothing; only money has a currency."""
    store, sample = Store(str(tmp_path)), load_prices(SAMPLE)
    assert land_prices(store, sample, "r1")
    assert not land_prices(store, sample, "r2")
    rows = read_rows(store, "prices")
    assert len(rows) == len(sample.prices)
    assert {row["price_version"] for row in rows} == {sample.version}
    assert {row["item"]: row["currency"] for row in rows}["gpu"] == "USD"
    assert {row["item"]: row["currency"] for row in rows}["machine_life"] is None
    assert {(row["placement"], row["item"]): row["amount"] for row in rows}["cloud", "put"] == Decimal("0.005000")


def test_other_amounts_need_another_version(tmp_path: Path) -> None:
    """They landed under the old one without a word; a source that is put right changes no figure and lands."""
    store, sample = Store(str(tmp_path)), load_prices(SAMPLE)
    land_prices(store, sample, "r1")
    gpu = sample.prices["cloud", "gpu"]
    told = replace(sample, digest="b" * 64, prices={**sample.prices, ("cloud", "gpu"): replace(gpu, source="told")})
    assert land_prices(store, told, "r2")
    dear = {**sample.prices, ("cloud", "gpu"): replace(gpu, amount=gpu.amount + 1)}
    with pytest.raises(PolicyError, match=r"other amounts .*: cloud\.gpu\."):
        land_prices(store, replace(sample, digest="c" * 64, prices=dear), "r3")
    assert land_prices(store, replace(sample, version="next", digest="c" * 64, prices=dear), "r3")
