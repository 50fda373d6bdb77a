"""How a value looks on the page, so that every table shows the same thing the same way.

Knows plain Python values only: no table, no query, no HTML. Escaping for HTML is the template's work.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from typing import Literal

Value = str | int | float | bool | None
"""What a cell may hold."""

Kind = Literal["text", "code", "count", "number", "seconds", "share", "money", "flag"]
"""How a column is read: its alignment, its digits and its unit."""

DASH = "\u2013"
"""Stands for a value that is not defined; never a zero."""

MINUS = "\u2212"
"""Typographic minus, as wide as a digit."""

NUMERIC: frozenset[Kind] = frozenset({"count", "number", "seconds", "share", "money"})
"""Kinds that are aligned right."""

_FEWEST: dict[Kind, int] = {"number": 1, "seconds": 1, "money": 2}
_MOST: dict[Kind, int] = {"number": 4, "seconds": 3, "money": 6}

# Cc control, Cf direction marks and joiners, Cs lone surrogates, Co private use, Zl and Zp line breaks: a name that
# holds them can look like another name or turn the line around, so they are shown as what they are
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def plain(text: str) -> str:
    """Make every invisible or direction-changing character of a foreign text visible, as Python would escape it."""
    return "".join(
        char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in _HIDDEN else char
        for char in text
    )


def decimals(values: Iterable[Value], kind: Kind) -> int:
    """Choose how many decimals a column needs.

    Args:
        values: The column's values; null and text are ignored.
        kind: The column's kind.

    Returns:
        Decimals that show at least two significant digits of the smallest value that is not zero, within the
        limits of the kind; 0 for counts and 1 for shares (which are shown in percent).
    """
    if kind not in _FEWEST:
        return 1 if kind == "share" else 0
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    sizes = [abs(value) for value in numbers if value != 0 and math.isfinite(value)]
    if not sizes:
        return _FEWEST[kind]
    needed = 1 - math.floor(math.log10(min(sizes)))
    return min(_MOST[kind], max(_FEWEST[kind], needed))


def shown(value: Value, kind: Kind = "text", digits: int | None = None) -> str:
    """Write one value as the page shows it.

    Args:
        value: The value; None and NaN become a dash.
        kind: How to read it; a share 0..1 is written in percent.
        digits: Decimals; chosen from the value alone when None.

    >>> shown(12345, "count"), shown(0.1234, "share"), shown(True, "flag")
    ('12,345', '12.3 %', 'yes')
    """
    if isinstance(value, str):
        return plain(value) or DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or math.isnan(value):
        return DASH
    if kind not in NUMERIC:
        return str(value)
    places = decimals((value,), kind) if digits is None else digits
    if kind == "share":
        return f"{100 * value:,.{places}f} %".replace("-", MINUS)
    text = f"{value:,.{places}f}"
    if value != 0 and not text.strip("-0.,"):
        # a value that is not zero must not be read as zero
        text = f"<{10**-places:.{places}f}" if value > 0 else f">-{10**-places:.{places}f}"
    return text.replace("-", MINUS)
