"""One bar chart per table, as inert SVG."""

from __future__ import annotations

from bench.ratios import Table
from labelop.report.plots import render


def plot(table: Table) -> str:
    """Draw the median rate of every case, ours in another colour; gives SVG text."""
    values = [{"case": case, "rate": round(table.median(case), 3), "kind": _kind(case)} for case in table.rates if case]
    order = [value["case"] for value in values]
    kinds = {"peer": "#9aa3ad", "ours": "#1f77b4", "floor": "#c9a227"}
    spec = {
        "data": {"values": values},
        "mark": {"type": "bar", "tooltip": False},
        "width": 420,
        "height": {"step": 20},
        "title": table.title,
        "encoding": {
            "y": {"field": "case", "type": "nominal", "sort": order, "title": None, "axis": {"labelLimit": 340}},
            "x": {"field": "rate", "type": "quantitative", "title": table.unit},
            "color": {
                "field": "kind",
                "type": "nominal",
                "title": None,
                "scale": {"domain": list(kinds), "range": list(kinds.values())},
            },
        },
    }
    return render(spec, f"bench-{table.name}", table.title, f"{table.unit} of {len(values)} cases") + "\n"


def _kind(case: str) -> str:
    if case.startswith("ours"):
        return "ours"
    return "floor" if case.startswith(("floor", "decode floor", "forward,", "decode, ")) else "peer"
