"""How the file of a price book must look: every item once a day, in one currency, none from the future.

Knows no usage and no table.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from labelop.cost.items import ITEMS, MOST_PER_UNIT, ItemKind
from labelop.forms import FirstSchema, StrictForm
from labelop.strict_text import require_words

UNDATED = "undated"
"""`as_of` of a price whose source does not say when it was true."""


def day_of(as_of: str) -> dt.date | None:
    """Give the first day of a date, month or year; None for what has no date."""
    return None if as_of == UNDATED else dt.date.fromisoformat((as_of + "-01-01")[:10])


def _a_day(as_of: str) -> str:
    """Refuse a day that no calendar has."""
    try:
        day_of(as_of)
    except ValueError:
        raise ValueError("allowed is a day, month or year of the calendar") from None
    return as_of


def _said(text: str) -> str:
    """Put a text of several lines into one, and refuse what cannot be read: a source that says nothing is none."""
    line = " ".join(text.split())
    require_words(line, _MOST_CHARACTERS)
    return line


_MOST_CHARACTERS = 500
_Text = Annotated[str, AfterValidator(_said)]
_Amount = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=6)]
_AsOf = Annotated[str, Field(pattern=r"^(undated|\d{4}(-\d{2}(-\d{2})?)?)$"), AfterValidator(_a_day)]
_Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class EntryForm(StrictForm):
    """One price of an item, for a span of days where the item has several."""

    amount: _Amount
    unit: _Text
    source: _Text
    as_of: _AsOf | None = None
    currency: _Currency | None = None
    low: _Amount | None = None
    high: _Amount | None = None
    since: dt.date | None = None
    until: dt.date | None = None


def _listed(given: object) -> object:
    """Take one entry for a list of one."""
    return [given] if isinstance(given, Mapping) else given


_Entries = Annotated[tuple[EntryForm, ...], BeforeValidator(_listed)]


class _OfferForm(StrictForm):
    name: _Text
    item: _Text
    amount: _Amount
    unit: _Text
    as_of: _AsOf
    source: _Text


class BookForm(StrictForm):
    """A whole book."""

    version_of_schema: FirstSchema = Field(alias="schema")
    version: _Text
    currency: _Currency
    as_of: dt.date
    items: dict[str, dict[str, _Entries]]
    offers: tuple[_OfferForm, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = {(placement, item): listed for placement, named in self.items.items() for item, listed in named.items()}
        for key in sorted(given.keys() - ITEMS.keys()):
            allowed = ", ".join(sorted(".".join(known) for known in ITEMS))
            raise ValueError(f"key items.{'.'.join(key)} is unknown; allowed are {allowed}")
        for key in sorted(ITEMS.keys() - given.keys()):
            if not ITEMS[key].optional:
                raise ValueError(f"key items.{'.'.join(key)} is missing; its unit is {ITEMS[key].unit!r}")
        for key, entries in given.items():
            name = f"items.{'.'.join(key)}"
            for entry in entries:
                self._check(name, entry, ITEMS[key])
            _check_spans(name, entries, self.as_of)
        self._check_sense({key: entry_on(entries, self.as_of) for key, entries in given.items()})
        self._check_offers()
        return self

    def _check(self, name: str, entry: EntryForm, kind: ItemKind) -> None:
        if entry.unit != kind.unit:
            raise ValueError(f"key {name}.unit has the value {entry.unit!r}; allowed is {kind.unit!r}")
        for place, amount in (("amount", entry.amount), ("low", entry.low), ("high", entry.high)):
            # as a float: 0.1 of the file is below the float 0.1 that bounds it
            if amount is not None and not kind.least <= float(amount) <= kind.most:
                raise ValueError(
                    f"key {name}.{place} has the value {amount}; allowed is {kind.least:g} to {kind.most:g} {kind.unit}"
                )
        if (entry.low is None) != (entry.high is None):
            raise ValueError(f"key {name} has only one of low and high; allowed are both or none")
        if entry.low is not None and entry.high is not None:
            _check_range(name, entry.low, entry.amount, entry.high, kind)
        if entry.currency not in {None, self.currency}:
            raise ValueError(f"key {name}.currency has the value {entry.currency!r}; the book is in {self.currency!r}")
        self._check_known(name, entry.as_of)

    def _check_known(self, name: str, as_of: str | None) -> None:
        since = day_of(as_of) if as_of else None
        if since is not None and since > self.as_of:
            raise ValueError(f"key {name}.as_of has the value {as_of!r}; the book itself is of {self.as_of}")

    def _check_sense(self, entries: dict[tuple[str, str], EntryForm]) -> None:
        price, salvage = entries["onprem", "machine_price"], entries["onprem", "machine_salvage"]
        if _most(salvage) >= _least(price):
            raise ValueError(
                f"key items.onprem.machine_salvage may be as high as {_most(salvage)}; "
                f"allowed is below machine_price at its lowest, {_least(price)}, or the machine would be free"
            )
        hourly = _most(price) / (_least(entries["onprem", "machine_life"]) * _least(entries["onprem", "machine_busy"]))
        if hourly > MOST_PER_UNIT:
            raise ValueError(
                f"key items.onprem.machine_price makes a busy hour cost {float(hourly):g}; "
                f"allowed is up to {MOST_PER_UNIT:g} money/hour"
            )
        if not entries["cloud", "gpu"].amount and not entries["cloud", "api"].amount:
            raise ValueError("key items.cloud.gpu.amount and items.cloud.api.amount are both 0; a path without a price")

    def _check_offers(self) -> None:
        seen: set[str] = set()
        for number, offer in enumerate(self.offers):
            kind = next((kind for key, kind in ITEMS.items() if ".".join(key) == offer.item), None)
            if kind is None:
                raise ValueError(f"key offers.{number}.item has the value {offer.item!r}, which is no item of a book")
            if offer.unit != kind.unit:
                raise ValueError(f"key offers.{number}.unit has the value {offer.unit!r}; allowed is {kind.unit!r}")
            self._check_known(f"offers.{number}", offer.as_of)
            if offer.name in seen:
                raise ValueError(f"key offers.{number}.name has the value {offer.name!r} a second time")
            seen.add(offer.name)


def entry_on(entries: Sequence[EntryForm], day: dt.date) -> EntryForm:
    """Give the entry of an item that holds on a day.

    Raises:
        ValueError: None of them does.
    """
    for entry in entries:
        if (entry.since or dt.date.min) <= day <= (entry.until or dt.date.max):
            return entry
    raise ValueError(f"no entry holds on {day}")


def _least(entry: EntryForm) -> Decimal:
    return entry.amount if entry.low is None else entry.low


def _most(entry: EntryForm) -> Decimal:
    return entry.amount if entry.high is None else entry.high


def _check_range(name: str, low: Decimal, amount: Decimal, high: Decimal, kind: ItemKind) -> None:
    """Refuse a range that the tables of ranges could not use, rather than pass it by."""
    if not low <= amount <= high:
        raise ValueError(f"key {name}.amount has the value {amount}; allowed is {low} to {high}")
    if kind.certain:
        raise ValueError(
            f"key {name} has low and high, which no table would use: {kind.certain}; leave them out, and try other "
            "amounts with `labelop whatif`"
        )
    if high > 0 == amount and not kind.deducted:
        raise ValueError(
            f"key {name}.amount has the value {amount} and a range up to {high}; a range is in multiples of the "
            "amount: allowed is the amount that is expected, be it small, or no range"
        )


def _check_spans(name: str, entries: Sequence[EntryForm], day: dt.date) -> None:
    spans = sorted((entry.since or dt.date.min, entry.until or dt.date.max) for entry in entries)
    for since, until in spans:
        if since > until:
            raise ValueError(f"key {name} ends on {until}, before it begins on {since}")
        if since > day:
            raise ValueError(f"key {name} begins on {since}; the book is of {day}, what is to come has no price yet")
    for (_, until), (since, _) in pairwise(spans):
        if since <= until:
            raise ValueError(f"key {name} has two prices for {since}; end the earlier one with `until`")
    if not any(since <= day <= until for since, until in spans):
        raise ValueError(f"key {name} has no price on {day}, the day of the book")
