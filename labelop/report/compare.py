"""Put the local and the cloud arm side by side, the fairest slice first.

Knows the columns of the query `local_vs_cloud`; decides nothing (see `verdict`) and knows no HTML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from labelop.report.results import Results, Row, currency_of
from labelop.report.values import Kind, Value, decimals, shown

SLICES = ("paired", "all")
"""Fairest first: the same images under both arms, then whatever each arm was given."""

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the comparison."""

    field: str
    """Column of `local_vs_cloud`."""
    name: str
    """What the reader sees; `{currency}` is replaced."""
    kind: Kind
    """Digits and unit."""
    better: Better
    """Which direction is good."""


MEASURES = (
    Measure("cost_per_label", "Cost per accepted label ({currency})", "money", "lower"),
    Measure("cost_per_image", "Cost per image ({currency})", "money", "lower"),
    Measure("her", "Corrections per label (HER)", "ratio", "lower"),
    Measure("active_seconds_mean", "Reviewer's active seconds per image", "seconds", "lower"),
    Measure("images_per_second", "Images per second", "number", "higher"),
)
"""What the arms are compared by, the deciding one first."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both arms of one dataset on one slice."""

    dataset: str
    """Dataset name."""
    slice: str
    """`paired` or `all`."""
    local: Row
    """The local arm's row of `local_vs_cloud`."""
    cloud: Row
    """The cloud arm's row of `local_vs_cloud`."""
    currency: str
    """Currency of all money of both arms."""

    @property
    def simulated(self) -> bool:
        """Whether a figure of either arm comes from an emulated placement or a simulated reviewer."""
        return bool(self.local["simulated"] or self.cloud["simulated"])

    def pair(self, field: str) -> tuple[float | None, float | None]:
        """Return one figure of both arms, local first; None where it is not defined."""
        return _number(self.local[field]), _number(self.cloud[field])

    def images(self) -> tuple[int, int]:
        """Return how many reviewed images stand behind each arm, local first."""
        local, cloud = self.pair("images_count")
        return int(local or 0), int(cloud or 0)

    def change(self, field: str) -> float | None:
        """Return (cloud - local) / local, or None when it is not defined."""
        local, cloud = self.pair(field)
        return None if local is None or cloud is None or local == 0 else (cloud - local) / local


def comparisons(results: Results, dataset: str | None = None) -> list[Comparison]:
    """Pair up the arms; a slice that only one arm has is left out because nothing can be compared there."""
    found = []
    for name in results.datasets() if dataset is None else [dataset]:
        for part in SLICES:
            rows = results.of("local_vs_cloud", dataset=name, slice=part)
            arms = {row["arm"]: row for row in rows}
            if {"local", "cloud"} <= set(arms):
                found.append(Comparison(name, part, arms["local"], arms["cloud"], currency_of(rows)))
    return found


def lines(comparison: Comparison) -> list[tuple[Value, ...]]:
    """Write a comparison as rows of measure, local, cloud, cloud against local."""
    same = "the same" if comparison.slice == "paired" else "each arm's own"
    rows: list[tuple[Value, ...]] = [
        ("Images reviewed", *(shown(count, "count") for count in comparison.images()), same),
        ("Accepted labels", *(shown(value, "count") for value in comparison.pair("accepted_count")), ""),
    ]
    for measure in MEASURES:
        values = comparison.pair(measure.field)
        digits = decimals(values, measure.kind)
        local, cloud = (shown(value, measure.kind, digits) for value in values)
        rows.append((measure.name.format(currency=comparison.currency), local, cloud, _against(comparison, measure)))
    return rows


def _against(comparison: Comparison, measure: Measure) -> str:
    change = comparison.change(measure.field)
    if change is None:
        return shown(None)
    if change == 0:
        return "same"
    word = "better" if (change < 0) == (measure.better == "lower") else "worse"
    return f"{'+' if change > 0 else ''}{shown(change, 'share')} ({word})"


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
