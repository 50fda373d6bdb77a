"""The price book: dated prices with their sources, one file, one digest, one table.

Knows what prices exist, not what was used. A price is never guessed: a missing one is an error. How a file must look is
in `labelop.cost.book_form`.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from labelop.cost.book_form import BookForm, day_of, entry_on
from labelop.cost.items import ITEMS
from labelop.errors import MissingPriceError, PolicyError
from labelop.forms import read_form
from labelop.ids import digest_of
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.schemas import utc_now

_MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Price:
    """One item of the book."""

    amount: Decimal
    """Amount in `unit`."""
    unit: str
    """Unit; `money` stands for the book's currency."""
    as_of: str
    """Day, month or year the amount was true, or `undated`."""
    source: str
    """Where it was read, or that it is an assumption."""
    low: Decimal | None = None
    """P10 of what it may be, None where it is taken as certain."""
    high: Decimal | None = None
    """P90 of what it may be."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A public price that is not in force: what else an item may cost."""

    name: str
    """What is offered."""
    item: str
    """Item of the book it could stand for, as placement.item."""
    price: Price
    """Its price."""


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All prices that count together."""

    version: str
    """Version its author gave it."""
    currency: str
    """ISO 4217 code of every amount of money."""
    digest: str
    """SHA-256 of the content that prices anything, 64 hex digits; `price_book` in tables."""
    prices: Mapping[tuple[str, str], Price]
    """Price by placement (or `review`) and item."""
    offers: tuple[Offer, ...] = ()
    """Other public prices; they price nothing."""

    def amount(self, placement: str, item: str) -> float:
        """Look up an amount in the unit of `labelop.cost.items.ITEMS`.

        Raises:
            MissingPriceError: The book has no such item.
        """
        try:
            return float(self.prices[placement, item].amount)
        except KeyError:
            raise MissingPriceError(
                f"Price book {self.version} ({self.digest[:12]}) has no price for {placement}.{item}.",
                hint="Add it to prices.yaml and raise the book's version.",
            ) from None


def load_prices(path: Path, *, today: dt.date | None = None) -> PriceBook:
    """Read a price book; of an item with several entries the one that holds on the book's day counts.

    Args:
        path: The file.
        today: Day that the book may not be ahead of; the present one, in UTC, when None.

    Raises:
        PolicyError: The file breaks its form; names file, key, value found and what is allowed.
    """
    form = read_form(path, BookForm)
    if form.as_of > (today or utc_now().date()):
        raise PolicyError(
            f"{path}: key as_of has the value {form.as_of}, which is still to come; allowed is a day up to today.",
            hint="A price book says what prices were; put what is expected into another file and use `labelop whatif`.",
        )
    prices = {}
    for placement, entries in form.items.items():
        for item, given in entries.items():
            entry = entry_on(given, form.as_of)
            prices[placement, item] = Price(
                entry.amount, entry.unit, entry.as_of or form.as_of.isoformat(), entry.source, entry.low, entry.high
            )
    offers = tuple(Offer(one.name, one.item, Price(one.amount, one.unit, one.as_of, one.source)) for one in form.offers)
    digest = digest_of(form.model_dump(mode="json", by_alias=True, exclude={"offers"}))
    return PriceBook(form.version, form.currency, digest, prices, offers)


def price_rows(book: PriceBook, run_id: str | None) -> list[dict[str, Any]]:
    """Write a book as rows of `prices`."""
    landed_at = utc_now()
    return [
        {
            "price_book": book.digest,
            "price_version": book.version,
            "placement": placement,
            "item": item,
            "unit": price.unit,
            "amount": price.amount.quantize(_MICRO),
            "low": None if price.low is None else price.low.quantize(_MICRO),
            "high": None if price.high is None else price.high.quantize(_MICRO),
            "currency": book.currency if ITEMS[placement, item].is_money else None,
            "as_of": price.as_of,
            "source": price.source,
            "run_id": run_id,
            "landed_at": landed_at,
        }
        for (placement, item), price in sorted(book.prices.items())
    ]


def land_prices(store: Store, book: PriceBook, run_id: str) -> bool:
    """Land a price book; the views price with the book that landed last.

    An unchanged book is landed once; the newest plan says which book is in force. Sources and days may be put right
    under a version.

    Returns:
        True when the book is new to this store.

    Raises:
        PolicyError: See `check_version`.
    """
    check_version(store, book)
    return land(store, "prices", price_rows(book, run_id), f"prices:{book.digest}")


def check_version(store: Store, book: PriceBook) -> None:
    """Ask whether a book may be landed.

    Raises:
        PolicyError: The store has other amounts under this version, so that no figure could say which it is by.
    """
    ours = {_figures(row) for row in price_rows(book, None)}
    theirs = defaultdict(set)
    for row in read_rows(store, "prices", filters=equal(price_version=book.version)):
        theirs[row["price_book"]].add(_figures(row))
    for digest, found in theirs.items():
        if differs := found ^ ours:
            raise PolicyError(
                f"Price book {book.version} landed in {store.root} with other amounts ({digest[:12]}) than this one "
                f"({book.digest[:12]}) has: {', '.join(sorted({f'{key[0]}.{key[1]}' for key in differs}))}.",
                hint="Raise `version` in prices.yaml.",
            )


def _figures(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Take what an item costs, after which item it is."""
    return tuple(row[name] for name in ("placement", "item", "unit", "amount", "low", "high", "currency"))


def describe_prices(book: PriceBook, *, today: dt.date | None = None) -> list[dict[str, Any]]:
    """List every figure of a book with its age and source, those in force first, then other public prices.

    Args:
        book: The book.
        today: Day ages are counted to; the present one, in UTC, when None.
    """
    day = today or utc_now().date()
    named = [(".".join(key), "in force", price) for key, price in sorted(book.prices.items())]
    named += [(offer.item, offer.name, offer.price) for offer in book.offers]
    return [
        {
            "item": item,
            "offer": offer,
            "amount": price.amount,
            "low": price.low,
            "high": price.high,
            "unit": price.unit.replace("money", book.currency),
            "as_of": price.as_of,
            "age_days": None if (since := day_of(price.as_of)) is None else (day - since).days,
            "source": price.source,
        }
        for item, offer, price in named
    ]
