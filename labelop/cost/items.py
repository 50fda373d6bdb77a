"""Every item a price book must price, with its unit and range, so that a forgotten price is found before a run.

Knows no price. Items and formulas: `measures.md` sections 4, 7 and 9.
"""

from __future__ import annotations

from dataclasses import dataclass

_MOST_WORTH = 1e9
"""Most that a machine may cost."""
MOST_PER_UNIT = 1e7
"""Most money per unit: amounts of the tables end below 1e12, which 10,000 such units in a line leave room to add up."""
_MOST_PER_KWH = 1e5
_MOST_HOURS = 1e3
"""Most hours of people per dataset."""
_MOST_SECONDS = 31 * 86400.0
_SESSION = "a session is rounded up to its increment and minimum, so its cost is in no proportion to this"
_PLANNED = "it is for plans, and money spent counts the repeats there were"
_ESCAPED = "the tables of ranges hold no cost of errors that escape; switching_escape_cost of break_even does"
_NOT_FREE = 1e-6
"""What has a price is not free: a path that costs nothing would win every comparison by an entry nobody made."""


@dataclass(frozen=True, slots=True)
class ItemKind:
    """What one item of a price book must look like."""

    unit: str
    """Unit of its amount; `money` stands for the book's currency."""
    least: float = 0.0
    """Smallest amount allowed."""
    most: float = MOST_PER_UNIT
    """Largest amount allowed."""
    optional: bool = False
    """Whether a book may leave it out; then what it prices has no price, which is said and never taken for zero."""
    certain: str = ""
    """Why its amount may have no range, as `v_cost_driver` has no line in proportion to it; empty where it may."""
    deducted: bool = False
    """Whether it lessens another amount; a range of anything else is in multiples of its amount, and 0 has none."""

    @property
    def is_money(self) -> bool:
        """Whether the amount is in the book's currency."""
        return self.unit.startswith("money")


ITEMS: dict[tuple[str, str], ItemKind] = {
    ("onprem", "machine_price"): ItemKind("money", least=_NOT_FREE, most=_MOST_WORTH),
    ("onprem", "machine_salvage"): ItemKind("money", most=_MOST_WORTH, deducted=True),
    ("onprem", "machine_life"): ItemKind("year", least=0.1, most=30),
    ("onprem", "machine_busy"): ItemKind("hour/year", least=1, most=8784),
    ("onprem", "machine_power"): ItemKind("kW", least=_NOT_FREE, most=100),
    ("onprem", "pue"): ItemKind("ratio", least=1, most=5),
    ("onprem", "electricity"): ItemKind("money/kWh", least=_NOT_FREE, most=_MOST_PER_KWH),
    ("onprem", "slowdown"): ItemKind("share", most=1),
    ("onprem", "blocked"): ItemKind("hour/dataset", most=_MOST_HOURS),
    ("onprem", "setup"): ItemKind("hour/dataset", most=_MOST_HOURS),
    ("onprem", "retry_rate"): ItemKind("share", most=1, certain=_PLANNED),
    ("cloud", "gpu"): ItemKind("money/hour"),
    ("cloud", "increment"): ItemKind("second", least=0.001, most=86400, certain=_SESSION),
    ("cloud", "minimum"): ItemKind("second", most=_MOST_SECONDS, certain=_SESSION),
    ("cloud", "cold_start"): ItemKind("second", most=_MOST_SECONDS, certain=_SESSION),
    ("cloud", "keep_warm"): ItemKind("second", most=_MOST_SECONDS, certain=_SESSION),
    ("cloud", "api"): ItemKind("money/1000 images"),
    ("cloud", "storage"): ItemKind("money/GB month"),
    ("cloud", "storage_time"): ItemKind("month", most=120),
    ("cloud", "put"): ItemKind("money/1000 requests"),
    ("cloud", "get"): ItemKind("money/1000 requests"),
    ("cloud", "egress"): ItemKind("money/GB"),
    ("cloud", "setup"): ItemKind("hour/dataset", most=_MOST_HOURS),
    ("cloud", "governance"): ItemKind("hour/dataset", most=_MOST_HOURS),
    ("cloud", "retry_rate"): ItemKind("share", most=1, certain=_PLANNED),
    ("review", "loaded_rate"): ItemKind("money/hour", least=_NOT_FREE),
    ("review", "productive_fraction"): ItemKind("share", least=0.05, most=1),
    ("review", "escaped_error"): ItemKind("money/error", optional=True, certain=_ESCAPED),
}
"""Kind by placement and item; `review` stands beside the placements because people are paid wherever a model ran."""
