"""Draw the report's plots as static SVG that can do nothing but be looked at.

The only module that knows Vega-Lite. Its SVG is parsed and rebuilt from an allow-list of elements and attributes, so
whatever a label contains, no script, link or outside reference can come out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, register_namespace, tostring

from defusedxml.ElementTree import fromstring

from labelop.report.results import Results, Row, currency_of
from labelop.report.styles import BY_OP, COST_COLOURS, OTHER_COLOUR, STYLES
from labelop.report.values import plain

_SVG = "http://www.w3.org/2000/svg"
_ELEMENTS = frozenset({"svg", "g", "path", "rect", "line", "circle", "text", "tspan", "defs", "clipPath"})
_DROPPED_ATTRIBUTES = ("on", "href", "{", "style", "aria-", "role", "class", "pointer-events")
_FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
_WIDTH_PX = 640
_AXIS = {
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "titleColor": "#454f5b",
    "labelColor": "#1f2933",
    "gridColor": "#e4e7eb",
    "domainColor": "#9aa3ad",
    "tickColor": "#9aa3ad",
    "labelLimit": 220,
}
_CONFIG = {
    "font": _FONT,
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "symbolType": "square"},
    "header": {"labelFontSize": 13, "labelFontWeight": "bold", "labelColor": "#1f2933", "labelAnchor": "start"},
    "title": {"fontSize": 13, "fontWeight": "bold", "anchor": "start", "color": "#1f2933", "offset": 8},
}


def cost_stack(results: Results) -> str | None:
    """Draw cost per image, stacked by category, whole and without review.

    Returns:
        SVG text, or None when no arm has both cost lines and images.
    """
    values = _cost_values(results)
    if not values:
        return None
    present = {value["category"] for value in values}
    order = [name for name in COST_COLOURS if name in present] + sorted(present - set(COST_COLOURS))
    colour = {
        "field": "category",
        "type": "nominal",
        "title": "Category",
        "sort": order,
        "scale": {"domain": order, "range": [COST_COLOURS.get(name, OTHER_COLOUR) for name in order]},
    }
    unit = currency_of(results.of("cost_lines"))
    layers = [
        _bars(values, colour, f"{unit} per image, review, machines and setup", f"{unit} per image"),
    ]
    machines = [value for value in values if value["category"] != "review"]
    if machines and len(machines) < len(values):
        layers.append(_bars(machines, colour, f"{unit} per image, without review (other scale)", f"{unit} per image"))
    title = "Cost per image by category"
    return render({"vconcat": layers, "spacing": 26}, "plot-cost", title, _sentence(values, "category", "amount"))


def effort_by_class(results: Results, dataset: str, number: int) -> str | None:
    """Draw modelled review seconds per image by class and operation, one panel per arm.

    Args:
        results: Rows of the report.
        dataset: Dataset to draw.
        number: Number of this plot on the page; makes its ids unique.

    Returns:
        SVG text, or None when nothing was reviewed.
    """
    images: Counter[tuple[Any, Any]] = Counter()  # those that the seconds are of
    for row in results.of("arm_effort", dataset=dataset):  # an arm has a row for each model it used
        images[row["arm"], row["modelled_by"]] += int(row["modelled_count"] or 0)
    rows: list[Any] = results.of("effort_by_operation", dataset=dataset)
    values = [
        {
            "arm": plain(str(row["arm"])),
            "label": plain(str(row["label"])),
            "op": BY_OP[row["op"]].name,
            "seconds": row["model_seconds"] / images[row["arm"], row["modelled_by"]],
            "order": [style.op for style in STYLES].index(row["op"]),
        }
        for row in rows
        if images[row["arm"], row["modelled_by"]] and row["model_seconds"] is not None
    ]
    if not values:
        return None
    used = [style for style in STYLES if any(value["op"] == style.name for value in values)]
    spec = {
        "data": {"values": values},
        "facet": {"row": {"field": "arm", "type": "nominal", "title": None, "sort": "descending"}},
        "spec": {
            "width": _WIDTH_PX,
            "height": {"step": 24},
            "mark": {"type": "bar", "height": 15},
            "encoding": {
                "y": {"field": "label", "type": "nominal", "title": None, "axis": {"ticks": False}},
                "x": {
                    "field": "seconds",
                    "type": "quantitative",
                    "title": "modelled seconds per image",
                    "axis": {"tickCount": 6},
                },
                "color": {
                    "field": "op",
                    "type": "nominal",
                    "title": "Operation",
                    "scale": {"domain": [s.name for s in used], "range": [s.colour for s in used]},
                },
                "order": {"field": "order", "type": "quantitative"},
            },
        },
    }
    return render(
        spec,
        f"plot-effort-{number}",
        f"Review seconds by class and operation, {dataset}",
        _sentence(values, "op", "seconds"),
    )


def quality(results: Results) -> str | None:
    """Draw AP50 against images per second, one point per model and dataset, on held-out images where there are some.

    Returns:
        SVG text, or None when no model has both figures.
    """
    values = [
        {
            "name": plain(f"{row['model_id']}, {row['dataset']} {row['split'] or ''}".strip()),
            "ap50": row["ap50"],
            "speed": row["images_per_second"],
        }
        for row in results.of("model_quality", split="val") or results.of("model_quality")
        if row["ap50"] is not None and row["images_per_second"] is not None
    ]
    if not values:
        return None
    base = {
        "x": {
            "field": "speed",
            "type": "quantitative",
            "title": "images per second",
            "scale": {"zero": True, "nice": True},
        },
        "y": {"field": "ap50", "type": "quantitative", "title": "AP50", "scale": {"domain": [0, 1]}},
    }
    spec = {
        "data": {"values": values},
        "width": _WIDTH_PX,
        "height": 220,
        "layer": [
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {
                    **base,
                    "color": {
                        "field": "name",
                        "type": "nominal",
                        "title": "Model, dataset",
                        "scale": {"range": ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]},
                        "legend": {"labelLimit": 240, "orient": "bottom", "columns": 2},
                    },
                    "shape": {"field": "name", "type": "nominal", "legend": None},
                },
            }
        ],
    }
    return render(spec, "plot-quality", "Model quality against speed", _sentence(values, "name", "ap50"))


def render(spec: dict[str, Any], prefix: str, title: str, description: str) -> str:
    """Turn a Vega-Lite spec with its data inside into inert SVG.

    Args:
        spec: Vega-Lite spec; every foreign text in it already went through `plain`.
        prefix: Starts every id, so that ids stay unique on the page.
        title: Name of the plot for screen readers.
        description: What it shows, for screen readers.

    Returns:
        SVG element as text, with title and description, and without a script, link or event attribute.
    """
    import vl_convert  # noqa: PLC0415 - loads a JavaScript engine, needed only while a report is written

    full = {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "config": _CONFIG, "background": None, **spec}
    svg = fromstring(vl_convert.vegalite_to_svg(_rounded(full), allowed_base_urls=[]))
    _clean(svg, prefix)
    svg.set("role", "img")
    svg.set("aria-labelledby", f"{prefix}-title {prefix}-desc")
    for position, (name, text) in enumerate((("title", title), ("desc", description))):
        part = Element(f"{{{_SVG}}}{name}", {"id": f"{prefix}-{name}"})
        part.text = plain(text)
        svg.insert(position, part)
    register_namespace("", _SVG)
    return str(tostring(svg, encoding="unicode"))


def _rounded(value: Any) -> Any:
    """Cut numbers to nine digits: a sum over threads has another last digit each time, and no picture shows it."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, Mapping):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value


def _clean(element: Element, prefix: str) -> None:
    for name, value in list(element.attrib.items()):
        if name.startswith(_DROPPED_ATTRIBUTES):
            del element.attrib[name]
        elif name == "id":
            element.set(name, f"{prefix}-{value}")
        elif "url(" in value:
            element.set(name, value.replace("url(#", f"url(#{prefix}-"))
    for child in list(element):
        if str(child.tag).removeprefix(f"{{{_SVG}}}") in _ELEMENTS:
            _clean(child, prefix)
        else:
            element.remove(child)


def _cost_values(results: Results) -> list[dict[str, Any]]:
    images: dict[Any, Any] = {(row["dataset"], row["arm"]): row["images_count"] for row in results.of("arm_cost")}
    rows: list[Any] = results.of("cost_lines")
    return [
        {
            "dataset": plain(str(row["dataset"])),
            "arm": row["arm"],
            "bar": plain(f"{row['dataset']}, {row['arm']}"),
            "category": plain(str(row["category"])),
            "amount": row["amount"] / images[row["dataset"], row["arm"]],
        }
        for row in rows
        if row["amount"] is not None and images.get((row["dataset"], row["arm"]))
    ]


def _bars(values: Sequence[dict[str, Any]], colour: dict[str, Any], title: str, unit: str) -> dict[str, Any]:
    # local above cloud, dataset by dataset; the values come in the order dataset, arm
    order = sorted({(value["dataset"], value["arm"] != "local", value["bar"]) for value in values})
    return {
        "title": title,
        "data": {"values": list(values)},
        "width": _WIDTH_PX,
        "height": {"step": 28},
        "mark": {"type": "bar", "height": 17},
        "encoding": {
            "y": {
                "field": "bar",
                "type": "nominal",
                "sort": [bar for _, _, bar in order],
                "title": None,
                "axis": {"ticks": False},
            },
            "x": {
                "field": "amount",
                "aggregate": "sum",
                "type": "quantitative",
                "title": unit,
                "axis": {"tickCount": 6},
            },
            "color": colour,
        },
    }


def _sentence(values: Sequence[Row], name: str, size: str) -> str:
    total: dict[str, float] = {}
    for value in values:
        total[str(value[name])] = total.get(str(value[name]), 0.0) + float(value[size] or 0)
    largest = max(total, key=lambda key: total[key])
    return f"{len(total)} series; the largest is {largest}. The table beside the plot holds every number."
