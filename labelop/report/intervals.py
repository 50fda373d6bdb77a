"""Draw what pilots prove: one interval per comparison, beside the margin within which arms count as equal.

Knows the columns of the query `pilot_verdicts`.
"""

from __future__ import annotations

from typing import Any

from labelop.report.plots import render
from labelop.report.results import Results
from labelop.report.values import plain

_COLOURS = {
    "superior": "#009e73",
    "equivalent": "#0072b2",
    "inconclusive": "#d55e00",
    "running": "#8a939c",
    "blocked": "#1a1a1a",
}


def pilot_intervals(results: Results) -> str | None:
    """Draw the ratio of every comparison with its interval, in the order of the table; nothing of a stopped pilot.

    Returns:
        SVG text, or None when no pilot has a figure.
    """
    rows: list[Any] = [row for row in results.of("pilot_verdicts") if row["ratio"] is not None and not row["stopped"]]
    if not rows:
        return None
    values = [
        {
            "name": plain(f"{row['dataset']}, {row['pilot']}, {row['stratum']}: {row['arm']} / {row['reference']}"),
            "verdict": row["verdict"],
            **{end: row[end] for end in ("ratio", "ratio_low", "ratio_high", "equal_low", "equal_high")},
            "order": number,
        }
        for number, row in enumerate(rows)
    ]
    found = [word for word in _COLOURS if any(value["verdict"] == word for value in values)]
    colour = {
        "field": "verdict",
        "type": "nominal",
        "title": "Verdict",
        "scale": {"domain": found, "range": [_COLOURS[word] for word in found]},
    }
    y = {"field": "name", "type": "nominal", "sort": {"field": "order"}, "title": None, "axis": {"labelLimit": 320}}

    def across(field: str) -> dict[str, Any]:
        title = "seconds under the arm / seconds under the reference (grey: counts as equal)"
        return {"field": field, "type": "quantitative", "scale": {"zero": False}, "title": title}

    layers = [
        {
            "mark": {"type": "bar", "color": "#e4e7eb", "height": 22},
            "encoding": {"y": y, "x": across("equal_low"), "x2": {"field": "equal_high"}},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": {"y": y, "x": across("ratio_low"), "x2": {"field": "ratio_high"}, "color": colour},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
            "encoding": {"y": y, "x": across("ratio"), "color": colour},
        },
        {"mark": {"type": "rule", "color": "#1f2933", "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 1}}},
    ]
    spec = {"width": 420, "height": {"step": 30}, "data": {"values": values}, "layer": layers}
    told = "; ".join(f"{value['name']} is {value['verdict']}" for value in values)
    return render(spec, "plot-pilots", "What pilots prove", f"{told}.")
