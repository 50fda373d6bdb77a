"""Draw which parameter moves the difference between the arms most: one bar per parameter, the widest on top.

Knows the columns of the query `sensitivity`.
"""

from __future__ import annotations

from typing import Any

from labelop.report.plots import render
from labelop.report.results import Results, currency_of
from labelop.report.values import plain

_MOST_BARS = 8


def tornado(results: Results) -> str | None:
    """Draw the widest parameters of every dataset, one panel each.

    Returns:
        SVG text, or None when nothing is uncertain or no dataset has both arms.
    """
    found: list[Any] = results.of("sensitivity")
    rows = [row for row in found if row["rank"] <= _MOST_BARS]
    values = [
        {
            "dataset": plain(row["dataset"]),
            "parameter": plain(row["parameter"]),
            "low": min(row["low_difference"], row["high_difference"]),
            "high": max(row["low_difference"], row["high_difference"]),
            "base": row["difference"],
            "rank": row["rank"],
        }
        for row in rows
    ]
    if not values:
        return None
    unit = f"Cloud less local, {currency_of(rows)} per accepted label"
    y = {"field": "parameter", "type": "nominal", "sort": {"field": "rank"}, "title": None}
    bars = {
        "mark": {"type": "bar", "color": "#5b8db8", "height": 14},
        "encoding": {"y": y, "x": {"field": "low", "type": "quantitative", "title": unit}, "x2": {"field": "high"}},
    }
    base = {
        "mark": {"type": "tick", "color": "#1f2933", "thickness": 2},
        "encoding": {"y": y, "x": {"field": "base", "type": "quantitative"}},
    }
    panels = [
        {
            "title": name,
            "width": 420,
            "data": {"values": [value for value in values if value["dataset"] == name]},
            "layer": [bars, base],
        }
        for name in sorted({str(value["dataset"]) for value in values})
    ]
    widest = "; ".join(f"{value['dataset']}: {value['parameter']}" for value in values if value["rank"] == 1)
    return render({"vconcat": panels}, "plot-tornado", "What moves the difference", f"Widest: {widest}.")
