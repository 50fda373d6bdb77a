"""Colours and line styles of the operations, so that plots and pictures speak the same language.

Data only. Colours are Okabe and Ito's set, which stays apart for colour-blind readers and in grey print with the
line styles beside it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """How one operation is drawn."""

    op: str
    """Operation of the edit script."""
    name: str
    """What happened to a box, one word where one is enough."""
    meaning: str
    """What it says to a reader."""
    colour: str
    """Hex colour, dark enough on white and on a photograph."""
    dashes: str
    """SVG dash pattern; empty means a solid line."""
    width_px: float
    """Line width on the page, pixels."""


STYLES = (
    Style("accept", "accepted", "accepted as drafted", "#009e73", "", 2.0),
    Style("adjust", "adjusted", "box adjusted (thin: the draft)", "#0072b2", "9 3", 2.5),
    Style("relabel", "relabelled", "class changed", "#1a1a1a", "2 3", 3.0),
    Style("adjust_relabel", "adjusted and relabelled", "box and class changed", "#8c510a", "9 3 2 3", 3.0),
    Style("delete", "deleted", "deleted by the reviewer", "#d55e00", "4 4", 2.0),
    Style("add", "added", "added by the reviewer", "#cc3f9b", "", 4.0),
)
"""One style per operation, in the order of the legend."""

BY_OP = {style.op: style for style in STYLES}
"""Styles by operation."""

COST_COLOURS = {
    "hardware": "#0072b2",
    "energy": "#56b4e9",
    "slowdown": "#bcbd22",
    "blocked": "#7f3b08",
    "gpu": "#d55e00",
    "api": "#cc79a7",
    "storage": "#009e73",
    "requests": "#8c510a",
    "egress": "#f0e442",
    "setup": "#e69f00",
    "review": "#9aa3ad",
}
"""Colour of each cost category in stacking order; review is grey because it fills most of every bar."""

OTHER_COLOUR = "#333333"
"""Colour of a category that the list above does not have."""
