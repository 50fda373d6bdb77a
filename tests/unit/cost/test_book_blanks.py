"""A price book says something where words are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelop.cost.prices import load_prices
from labelop.errors import PolicyError
from tests.unit.cost.test_cost import written


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: c["items"]["cloud"]["gpu"].update(source="  "),
            r"source has the value '  '; allowed is a text that",
        ),
        (lambda c: c.update(version=" "), r"version has the value ' '; allowed is a text that is not blank"),
    ],
)
def test_blanks_are_no_source_and_no_version(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    """Blanks were taken for where a figure was read and for what a book is called."""
    with pytest.raises(PolicyError, match=said):
        load_prices(written(tmp_path, change))
