"""How single values look on the page."""

from __future__ import annotations

import math

import pytest

from labelop.report.values import DASH, Kind, Value, decimals, plain, shown


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "money", DASH),
        (math.nan, "number", DASH),
        ("", "text", DASH),
        (0, "count", "0"),
        (12345, "count", "12,345"),
        (0.1234, "share", "12.3\u00a0%"),
        (0.00001, "share", "<0.1\u00a0%"),
        (-0.25, "share", "\u221225.0\u00a0%"),
        (0.0, "money", "0.00"),
        (1234.5, "money", "1,234.50"),
        (0.00001234, "money", "0.000012"),
        (0.00000001, "money", "<0.000001"),
        (0.526, "price", "0.526"),
        (25.0, "price", "25.00"),
        (True, "flag", "yes"),
        (False, "flag", "no"),
        (7, "text", "7"),
    ],
)
def test_value_is_written_with_unit_and_sensible_digits(value: Value, kind: Kind, expected: str) -> None:
    """Undefined is a dash, a value that is not zero never reads as zero, prices are in full."""
    assert shown(value, kind) == expected


def test_column_shares_its_decimals() -> None:
    """Two significant digits of the smallest value set the decimals of the whole column."""
    assert decimals((0.0178, 0.0094, None), "money") == 4
    assert shown(0.0178, "money", 4) == "0.0178"


def test_values_far_apart_get_their_own_decimals() -> None:
    """A column of cents and thousands is not blown up to six decimals."""
    assert decimals((0.00002, 1200.0), "money") is None


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u0000", "\u001b", "\u200d", "\u2028", "\ud800", "\n"])
def test_hidden_characters_become_visible(hidden: str) -> None:
    """No character that turns the line around or cannot be seen reaches the page, and the text can be encoded."""
    text = plain(f"a{hidden}b")
    assert hidden not in text
    assert text.encode("utf-8").startswith(b"a\\")
