"""Schemas: found by name, and clear about names that are none."""

from __future__ import annotations

import pytest

from labelop import schemas
from labelop.errors import UnknownTableError


def test_a_table_is_found_by_name() -> None:
    """Each table goes by its own name."""
    assert all(schemas.table(name).name == name for name in schemas.TABLES)


def test_an_unknown_table_names_the_known_ones() -> None:
    """A misspelt name is answered with those that exist."""
    with pytest.raises(UnknownTableError, match=r"'prelabel' is unknown.*prelabels"):
        schemas.table("prelabel")


def test_time_has_a_zone() -> None:
    """Provenance times can be compared across machines."""
    assert str(schemas.utc_now().tzinfo) == "UTC"
