"""The price book that a store's history was priced with, read back from its tables: a configuration may have moved on.

Knows the table of prices, no file.
"""

from __future__ import annotations

from labelop.cost.prices import Price, PriceBook
from labelop.landing.store import Store
from labelop.queries import open_session


def prices_on_record(store: Store) -> PriceBook | None:
    """Read the price book in force; None where none has landed. Offers price nothing and are not in the tables."""
    rows = open_session(store).sql("SELECT * FROM v_price_item ORDER BY price_item").to_arrow_table().to_pylist()
    if not rows:
        return None
    prices = {}
    for row in rows:
        placement, _, item = row["price_item"].partition(".")
        prices[placement, item] = Price(
            row["amount"], row["unit"], row["as_of"], row["source"], low=row["low"], high=row["high"]
        )
    currency = next(row["currency"] for row in rows if row["currency"])
    return PriceBook(rows[0]["price_version"], currency, rows[0]["price_book"], prices)
