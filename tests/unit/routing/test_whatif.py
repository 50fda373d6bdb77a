"""History decided again: the old inputs give the record, and what has no common measure is not subtracted."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labelop.cost.prices import PriceBook, land_prices
from labelop.errors import AnalysisError, PolicyError
from labelop.landing.store import Store, land
from labelop.routing.recorded import prices_on_record
from labelop.routing.whatif import Inputs, what_if
from labelop.schemas import utc_now
from labelop.settings import load_settings
from tests.unit.routing.routing_values import STRICT, Policy, catalog, prices, routing
from tests.unit.routing.test_route import fill, route
from tests.unit.routing.test_route_by_pilot import contrast

MODELS = {"model_digest": catalog()["cells-large"].digest, "reference_digest": catalog()["cells-small"].digest}
OPEN = {"verdict": "inconclusive", "winner": None, **MODELS}


def asked(store: Store, folder: Path, book: PriceBook) -> list[dict[str, Any]]:
    """Ask what if the prices had been these, with everything else as it is."""
    policy = routing(folder)
    return what_if(
        store,
        load_settings(store=store.root),
        now=Inputs(prices(), policy),
        then=Inputs(book, policy),
        policy=Policy(STRICT),
        catalog=catalog(),
        since=dt.date(2026, 1, 1),
    )


def test_a_pilot_that_was_known_decides_history_too(tmp_path: Path) -> None:
    """An open pilot kept all at home: the old inputs say so again, and a verdict landed since changes no history.

    Without the pilot the cloud would have been chosen, as it is expected to be cheaper.
    """
    store = Store(str(tmp_path / "store"))
    fill(store)
    land_prices(store, prices(), "r1")
    land(store, "pilot_contrasts", [contrast(1, **OPEN)], key="first")
    assert {one.arm for one in route(store, tmp_path) if one.role == "chosen"} == {"local"}
    land(store, "pilot_contrasts", [contrast(2, **MODELS, arm_seconds=1.0, landed_at=utc_now())], key="since")
    rows = asked(store, tmp_path, prices())
    assert {row["arm"] for row in rows} == {"local", "cloud"}
    assert all(row["role"] == row["role_recorded"] and row["difference"] == 0 for row in rows), rows


def test_the_book_on_record_is_read_back(tmp_path: Path) -> None:
    """A configuration that moved on since changed history without being asked: prices come from the store itself."""
    store = Store(str(tmp_path / "store"))
    assert prices_on_record(store) is None
    fill(store)
    land_prices(store, prices(), "r1")
    route(store, tmp_path)
    book = prices_on_record(store)
    assert book is not None
    assert book == replace(prices(), offers=())
    assert all(row["difference"] == 0 for row in asked(store, tmp_path, book))


def test_a_book_of_another_currency_is_refused(tmp_path: Path) -> None:
    """Dollars on record and euros to try have no difference: one error names both and no row is given."""
    store = Store(str(tmp_path / "store"))
    fill(store)
    land_prices(store, prices(), "r1")
    route(store, tmp_path)
    with pytest.raises(AnalysisError, match=r"is in USD .* to try is in EUR"):
        asked(store, tmp_path, replace(prices(), currency="EUR"))


def test_other_prices_under_the_version_on_record_are_refused(tmp_path: Path) -> None:
    """Two books of one version gave two costs that both were named by it: a version names its content."""
    store = Store(str(tmp_path / "store"))
    fill(store)
    land_prices(store, prices(), "r1")
    route(store, tmp_path)
    gpu = prices().prices["cloud", "gpu"]
    dear = {**prices().prices, ("cloud", "gpu"): replace(gpu, amount=gpu.amount + 1)}
    with pytest.raises(PolicyError, match=r"with other amounts") as caught:
        asked(store, tmp_path, replace(prices(), digest="e" * 64, prices=dear))
    assert "Raise `version`" in caught.value.hint
    assert asked(store, tmp_path, replace(prices(), digest="e" * 64, prices=dear, version="next"))
    said = {**prices().prices, ("cloud", "gpu"): replace(gpu, source="put right")}
    assert asked(store, tmp_path, replace(prices(), digest="d" * 64, prices=said))
