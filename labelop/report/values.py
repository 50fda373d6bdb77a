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

Kind = Literal["text", "code", "count", "number", "ratio", "seconds", "share", "money", "price", "flag"]
"""How a column is read: its alignment, its digits and its unit."""

DASH = "\u2013"
"""Stands for a value that is not defined; never a zero."""

MINUS = "\u2212"
"""Typographic minus, as wide as a digit."""

PERCENT = "\u00a0%"
"""Percent sign behind a space that does not break."""

NUMERIC: frozenset[Kind] = frozenset({"count", "number", "ratio", "seconds", "share", "money", "price"})
"""Kinds that are aligned right."""

_FAR_APART = 1000
"""Ratio of the largest to the smallest value from which a column gives up one number of decimals for all."""

_FEWEST: dict[Kind, int] = {"number": 1, "ratio": 3, "seconds": 1, "money": 2}
_MOST: dict[Kind, int] = {"number": 4, "ratio": 3, "seconds": 3, "money": 6}

# Cc control, Cf direction marks and joiners, Cs lone surrogates, Co private use, Zl and Zp line breaks: a name that
# holds them can look like another name or turn the line around, so they are shown as what they are
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def plain(text: str) -> str:
    """Make every invisible or direction-changing character of a foreign text visible, as Python would escape it."""
    return "".join(
        char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in _HIDDEN else char
        for char in text
    )


def decimals(values: Iterable[Value], kind: Kind) -> int | None:
    """Choose how many decimals all values of a column are written with.

    Args:
        values: The column's values; null and text are ignored.
        kind: The column's kind.

    Returns:
        Decimals that show at least two significant digits of the smallest value that is not zero, within the
        limits of the kind; 0 for counts and 1 for shares (which are shown in percent). None when the values are so
        far apart that each needs its own.
    """
    if kind not in _FEWEST:
        return 1 if kind == "share" else 0
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    sizes = [abs(value) for value in numbers if value != 0 and math.isfinite(value)]
    if not sizes:
        return _FEWEST[kind]
    if max(sizes) > _FAR_APART * min(sizes):
        return None
    return _needed(min(sizes), kind, significant=2)


def _needed(size: float, kind: Kind, *, significant: int) -> int:
    return min(_MOST[kind], max(_FEWEST[kind], significant - 1 - math.floor(math.log10(size))))


def _own(value: float, kind: Kind) -> int:
    """Choose the decimals of a value that stands alone; a unit price is written in full, so that it can be used."""
    if kind == "price":
        return max(2, len(f"{value:.6f}".rstrip("0").partition(".")[2]))
    if kind not in _FEWEST:
        return 1 if kind == "share" else 0
    return _FEWEST[kind] if value == 0 or not math.isfinite(value) else _needed(abs(value), kind, significant=3)


def shown(value: Value, kind: Kind = "text", digits: int | None = None) -> str:
    """Write one value as the page shows it.

    Args:
        value: The value; None and NaN become a dash.
        kind: How to read it; a share 0..1 is written in percent.
        digits: Decimals; chosen from the value alone when None, three significant digits or more.

    >>> shown(12345, "count"), shown(0.5, "seconds"), shown(True, "flag")
    ('12,345', '0.500', 'yes')
    """
    if isinstance(value, str):
        return plain(value) or DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or math.isnan(value):
        return DASH
    if kind not in NUMERIC:
        return str(value)
    places = _own(value, kind) if digits is None or kind == "price" else digits
    size, unit = (100 * value, PERCENT) if kind == "share" else (value, "")
    text = f"{size:,.{places}f}"
    if value != 0 and not text.strip("-0.,"):
        # a value that is not zero must not be read as zero
        text = f"<{10**-places:.{places}f}" if value > 0 else f">-{10**-places:.{places}f}"
    return text.replace("-", MINUS) + unit
