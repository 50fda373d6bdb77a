"""The cost formulas as plain arithmetic: routing plans with them, and the tests hold the SQL views to them.

Knows no table. `measures.md` section 7: C_loc, C_cld, C_rev. For money already spent pass the seconds of all attempts
and no retries; for money expected pass `planned_seconds`, which adds the retry share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labelop.cost.prices import PriceBook

_HOUR = 3600.0
_GB = 1e9


@dataclass(frozen=True, slots=True)
class CostPart:
    """One priced use."""

    category: str
    """hardware | energy | slowdown | blocked | setup | gpu | api | storage | requests | egress | review."""
    item: str
    """Which use inside its category."""
    quantity: float
    """How much, in `unit`."""
    unit: str
    """Unit of the quantity."""
    unit_price: float
    """Price of one unit, in the book's currency."""

    @property
    def amount(self) -> float:
        """Quantity times unit price, in the book's currency."""
        return self.quantity * self.unit_price


def total(parts: Iterable[CostPart]) -> float:
    """Add up amounts, in the book's currency."""
    return math.fsum(part.amount for part in parts)


def planned_seconds(book: PriceBook, placement: str, images_count: int, seconds_per_image: float) -> float:
    """Expect machine seconds with repeats: N * s_img * (1 + retry); see `measures.md` section 7."""
    return images_count * seconds_per_image * (1.0 + book.amount(placement, "retry_rate"))


def local_parts(book: PriceBook, busy_seconds: float) -> tuple[CostPart, ...]:
    """Price work on premises: C_loc of `measures.md` section 7.

    Args:
        book: Prices.
        busy_seconds: Seconds the machine was or will be busy, all attempts and the loading of models together.

    Returns:
        Hardware, energy, slowed-down, blocked and setup parts.
    """
    hours = busy_seconds / _HOUR
    rate = book.amount("review", "loaded_rate")
    worth = book.amount("onprem", "machine_price") - book.amount("onprem", "machine_salvage")
    busy_life = book.amount("onprem", "machine_life") * book.amount("onprem", "machine_busy")
    energy = hours * book.amount("onprem", "machine_power") * book.amount("onprem", "pue")
    return (
        CostPart("hardware", "workstation", hours, "hour", worth / busy_life),
        CostPart("energy", "electricity", energy, "kWh", book.amount("onprem", "electricity")),
        CostPart("slowdown", "work slowed down", hours * book.amount("onprem", "slowdown"), "hour", rate),
        CostPart("blocked", "work blocked", book.amount("onprem", "blocked"), "hour", rate),
        CostPart("setup", "setup and upkeep", book.amount("onprem", "setup"), "hour", rate),
    )


def billed_seconds(book: PriceBook, busy_seconds: float) -> float:
    """Round a cloud session to what is billed: ceil_inc(max(min_s, busy + cold + warm)), seconds."""
    lasting = busy_seconds + book.amount("cloud", "cold_start") + book.amount("cloud", "keep_warm")
    increment = book.amount("cloud", "increment")
    # rounding first keeps a float's last bit from buying a whole increment
    return math.ceil(round(max(book.amount("cloud", "minimum"), lasting) / increment, 9)) * increment


def cloud_parts(
    book: PriceBook,
    session_seconds: Sequence[float],
    *,
    images_count: int,
    sent_bytes: int = 0,
    received_bytes: int = 0,
) -> tuple[CostPart, ...]:
    """Price work in the cloud: C_cld of `measures.md` section 7.

    Args:
        book: Prices.
        session_seconds: Busy seconds of each billed session; every run is one.
        images_count: Images sent, repeats included.
        sent_bytes: Payload bytes sent, which are stored until they are deleted.
        received_bytes: Bytes of answers leaving the cloud.

    Returns:
        GPU, API, storage, request, egress and setup parts.
    """
    busy = math.fsum(session_seconds)
    idle = math.fsum(billed_seconds(book, seconds) - seconds for seconds in session_seconds)
    gpu, rate = book.amount("cloud", "gpu"), book.amount("review", "loaded_rate")
    thousands = images_count / 1000.0
    kept = sent_bytes / _GB * book.amount("cloud", "storage_time")
    return (
        CostPart("gpu", "working seconds", busy / _HOUR, "hour", gpu),
        CostPart("gpu", "start, minimum, rounding", idle / _HOUR, "hour", gpu),
        CostPart("api", "calls", thousands, "1000 images", book.amount("cloud", "api")),
        CostPart("storage", "payloads kept", kept, "GB month", book.amount("cloud", "storage")),
        CostPart("requests", "put", thousands, "1000 requests", book.amount("cloud", "put")),
        CostPart("requests", "get", thousands, "1000 requests", book.amount("cloud", "get")),
        CostPart("egress", "answers received", received_bytes / _GB, "GB", book.amount("cloud", "egress")),
        CostPart("setup", "setup and upkeep", book.amount("cloud", "setup"), "hour", rate),
        CostPart("setup", "approval and contracts", book.amount("cloud", "governance"), "hour", rate),
    )


def review_part(book: PriceBook, active_seconds: float, item: str = "measured seconds") -> CostPart:
    """Price people's time: C_rev = T_active / 3600 / phi * rate (`measures.md` section 7).

    Args:
        book: Prices.
        active_seconds: Seconds of work on images; paid time is longer by 1 / productive fraction.
        item: Where the seconds come from.
    """
    hours = active_seconds / _HOUR / book.amount("review", "productive_fraction")
    return CostPart("review", item, hours, "hour", book.amount("review", "loaded_rate"))
