"""Every item a price book must price, with its unit and range, so that a forgotten price is found before a run.

Knows no price. Items and formulas: `measures.md` sections 4, 7 and 9.
"""

from __future__ import annotations

from dataclasses import dataclass

UNBOUNDED = 1e9
_NOT_FREE = 1e-6
"""What has a price is not free: a path that costs nothing would win every comparison by an entry nobody made."""


@dataclass(frozen=True, slots=True)
class ItemKind:
    """What one item of a price book must look like."""

    unit: str
    """Unit of its amount; `money` stands for the book's currency."""
    least: float = 0.0
    """Smallest amount allowed."""
    most: float = UNBOUNDED
    """Largest amount allowed."""
    optional: bool = False
    """Whether a book may leave it out; then what it prices has no price, which is said and never taken for zero."""

    @property
    def is_money(self) -> bool:
        """Whether the amount is in the book's currency."""
        return self.unit.startswith("money")


ITEMS: dict[tuple[str, str], ItemKind] = {
    ("onprem", "machine_price"): ItemKind("money", least=_NOT_FREE),
    ("onprem", "machine_salvage"): ItemKind("money"),
    ("onprem", "machine_life"): ItemKind("year", least=0.1, most=30),
    ("onprem", "machine_busy"): ItemKind("hour/year", least=1, most=8784),
    ("onprem", "machine_power"): ItemKind("kW", least=_NOT_FREE, most=100),
    ("onprem", "pue"): ItemKind("ratio", least=1, most=5),
    ("onprem", "electricity"): ItemKind("money/kWh", least=_NOT_FREE),
    ("onprem", "slowdown"): ItemKind("share", most=1),
    ("onprem", "blocked"): ItemKind("hour/dataset"),
    ("onprem", "setup"): ItemKind("hour/dataset"),
    ("onprem", "retry_rate"): ItemKind("share", most=1),
    ("cloud", "gpu"): ItemKind("money/hour"),
    ("cloud", "increment"): ItemKind("second", least=0.001, most=86400),
    ("cloud", "minimum"): ItemKind("second"),
    ("cloud", "cold_start"): ItemKind("second"),
    ("cloud", "keep_warm"): ItemKind("second"),
    ("cloud", "api"): ItemKind("money/1000 images"),
    ("cloud", "storage"): ItemKind("money/GB month"),
    ("cloud", "storage_time"): ItemKind("month"),
    ("cloud", "put"): ItemKind("money/1000 requests"),
    ("cloud", "get"): ItemKind("money/1000 requests"),
    ("cloud", "egress"): ItemKind("money/GB"),
    ("cloud", "setup"): ItemKind("hour/dataset"),
    ("cloud", "governance"): ItemKind("hour/dataset"),
    ("cloud", "retry_rate"): ItemKind("share", most=1),
    ("review", "loaded_rate"): ItemKind("money/hour", least=_NOT_FREE),
    ("review", "productive_fraction"): ItemKind("share", least=0.05, most=1),
    ("review", "escaped_error"): ItemKind("money/error", optional=True),
}
"""Kind by placement and item; `review` stands beside the placements because people are paid wherever a model ran."""
