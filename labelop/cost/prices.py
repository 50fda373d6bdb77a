"""The price book: dated prices with their sources, one file, one digest, one table.

Knows what prices exist, not what was used. A price is never guessed: a missing one is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from labelop.cost.items import ITEMS
from labelop.errors import MissingPriceError
from labelop.forms import StrictForm, read_form
from labelop.ids import digest_of
from labelop.landing.store import Store, land
from labelop.schemas import utc_now

_Text = Annotated[str, Field(min_length=1, max_length=500)]


class _ItemForm(StrictForm):
    amount: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=6)]
    unit: _Text
    source: _Text
    as_of: _Text | None = None


class _BookForm(StrictForm):
    version_of_schema: Literal[1] = Field(alias="schema")
    version: _Text
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    as_of: _Text
    items: dict[str, dict[str, _ItemForm]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = {(placement, item): form for placement, forms in self.items.items() for item, form in forms.items()}
        for key in sorted(given.keys() - ITEMS.keys()):
            allowed = ", ".join(sorted(".".join(known) for known in ITEMS))
            raise ValueError(f"key items.{'.'.join(key)} is unknown; allowed are {allowed}")
        for key in sorted(ITEMS.keys() - given.keys()):
            raise ValueError(f"key items.{'.'.join(key)} is missing; its unit is {ITEMS[key].unit!r}")
        for key, form in given.items():
            kind = ITEMS[key]
            if form.unit != kind.unit:
                raise ValueError(
                    f"key items.{'.'.join(key)}.unit has the value {form.unit!r}; allowed is {kind.unit!r}"
                )
            if not kind.least <= form.amount <= kind.most:
                raise ValueError(
                    f"key items.{'.'.join(key)}.amount has the value {form.amount}; "
                    f"allowed is {kind.least:g} to {kind.most:g} {kind.unit}"
                )
        price, salvage = given["onprem", "machine_price"], given["onprem", "machine_salvage"]
        if salvage.amount > price.amount:
            raise ValueError(
                f"key items.onprem.machine_salvage.amount has the value {salvage.amount}; "
                f"allowed is at most machine_price, {price.amount}"
            )
        return self


@dataclass(frozen=True, slots=True)
class Price:
    """One item of the book."""

    amount: Decimal
    """Amount in `unit`."""
    unit: str
    """Unit; `money` stands for the book's currency."""
    as_of: str
    """Day or month the amount was true."""
    source: str
    """Where it was read, or that it is an assumption."""


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All prices that count together."""

    version: str
    """Version its author gave it."""
    currency: str
    """ISO 4217 code of every amount of money."""
    digest: str
    """SHA-256 of the content, 64 hex digits; `price_book` in tables."""
    prices: Mapping[tuple[str, str], Price]
    """Price by placement (or `review`) and item."""

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


def load_prices(path: Path) -> PriceBook:
    """Read a price book.

    Raises:
        PolicyError: The file breaks its form; names file, key, value found and what is allowed.
    """
    form = read_form(path, _BookForm)
    prices = {
        (placement, item): Price(entry.amount, entry.unit, entry.as_of or form.as_of, entry.source)
        for placement, entries in form.items.items()
        for item, entry in entries.items()
    }
    return PriceBook(form.version, form.currency, digest_of(form.model_dump(mode="json", by_alias=True)), prices)


def land_prices(store: Store, book: PriceBook, run_id: str) -> bool:
    """Land a price book; the views price with the book that landed last.

    An unchanged book is landed once; the newest plan says which book is in force.

    Returns:
        True when the book is new to this store.
    """
    rows = [
        {
            "price_book": book.digest,
            "placement": placement,
            "item": item,
            "unit": price.unit,
            "amount": price.amount.quantize(Decimal("0.000001")),
            "currency": book.currency if ITEMS[placement, item].is_money else None,
            "as_of": price.as_of,
            "source": price.source,
            "run_id": run_id,
            "landed_at": utc_now(),
        }
        for (placement, item), price in sorted(book.prices.items())
    ]
    return land(store, "prices", rows, f"prices:{book.digest}")
