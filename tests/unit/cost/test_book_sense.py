"""A price book says something where words are asked for, and what it says of ranges can be used."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from labelop.cost.items import ITEMS
from labelop.cost.prices import load_prices
from labelop.errors import PolicyError
from tests.unit.cost.test_cost import written

Change: TypeAlias = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize("words", ["", "  ", "\u200b\u2060", "a\x1b[31m", "a" * 501])
def test_what_cannot_be_read_is_no_source_and_no_version(tmp_path: Path, words: str) -> None:
    """Blanks, signs without width and controls were taken for where a figure was read and for what a book is called."""
    with pytest.raises(PolicyError, match=r"version has the value .* allowed are 1 to 500 printable"):
        load_prices(written(tmp_path, lambda c: c.update(version=words)))
    with pytest.raises(PolicyError, match=r"source has the value .* allowed are 1 to 500 printable"):
        load_prices(written(tmp_path, lambda c: c["items"]["cloud"]["gpu"].update(source=words)))


def test_a_source_of_several_lines_is_one(tmp_path: Path) -> None:
    """A folded text ends with a line break, and a price may stand behind a blank that is not to break."""
    told = "page 3,\n0,35\u00a0EUR/kWh\n"
    book = load_prices(written(tmp_path, lambda c: c["items"]["cloud"]["gpu"].update(source=told)))
    assert book.prices["cloud", "gpu"].source == "page 3, 0,35 EUR/kWh"


def _ranged(placement: str, item: str, amount: str, low: str, high: str) -> Change:
    entry = {"unit": ITEMS[placement, item].unit, "source": "t", "amount": amount, "low": low, "high": high}
    return lambda content: content["items"][placement].update({item: entry})


@pytest.mark.parametrize(("placement", "item"), [key for key, kind in ITEMS.items() if kind.certain], ids=str)
def test_a_range_that_no_table_would_use_is_refused(tmp_path: Path, placement: str, item: str) -> None:
    """The range of what is billed in steps, or is on no line of work, was taken and passed by; the error says why."""
    said = re.escape(ITEMS[placement, item].certain)
    with pytest.raises(PolicyError, match=rf"items\.{placement}\.{item} has low and high, .*: {said}; leave them out"):
        load_prices(written(tmp_path, _ranged(placement, item, "0.5", "0.1", "0.9")))


def test_a_range_of_nothing_is_refused(tmp_path: Path) -> None:
    """A range is in multiples of the amount: that of 0 was passed by. What is taken off a price may be 0 at first."""
    with pytest.raises(PolicyError, match=r"blocked\.amount has the value 0 and a range up to 9; .* be it small"):
        load_prices(written(tmp_path, _ranged("onprem", "blocked", "0", "0", "9")))
    load_prices(written(tmp_path, _ranged("onprem", "blocked", "0", "0", "0")))
    load_prices(written(tmp_path, _ranged("onprem", "blocked", "0.01", "0", "9")))
    load_prices(written(tmp_path, _ranged("onprem", "machine_salvage", "0", "0", "900")))


@pytest.mark.parametrize(("amount", "high", "lowest"), [("2600", "2600", 2500), ("500", "3000", 2500)])
def test_a_machine_is_not_free_at_an_end_of_its_range(tmp_path: Path, amount: str, high: str, lowest: int) -> None:
    """Resale above the lowest price made hardware cost nothing at P10; only the amounts in use were compared."""
    said = rf"machine_salvage may be as high as {high}; allowed is below machine_price at its lowest, {lowest}"
    with pytest.raises(PolicyError, match=said):
        load_prices(written(tmp_path, _ranged("onprem", "machine_salvage", amount, "0", high)))
