"""Explaining one image: every table's word about it, and never its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labelop.errors import ManifestError
from labelop.explain import explain_image
from labelop.landing.store import Store, land
from labelop.schemas import table, utc_now

KEY, OTHER = "ab12" + "0" * 60, "ab13" + "0" * 60


def row(name: str, **given: Any) -> dict[str, Any]:
    """Fill a row of a table about the first image."""
    columns = table(name).schema.names
    common = {"dataset": "toys", "dataset_version": "v-1", "image_id": KEY, "landed_at": utc_now()}
    return dict.fromkeys(columns) | {c: v for c, v in common.items() if c in columns} | given


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two images of which one has a level and predictions, and decisions for two levels."""
    store = Store(str(tmp_path / "store"))
    land(store, "images", [row("images", path="a.jpg"), row("images", path="b.jpg", image_id=OTHER)], "k")
    land(store, "levels", [row("levels", level="public"), row("levels", level="restricted", image_id=OTHER)], "k")
    decisions = [row("decisions", decision_id=level, level=level) for level in ("public", "restricted")]
    land(store, "decisions", decisions, "k")
    land(store, "prelabels", [row("prelabels", batch_id="b-1", predictions=[])], "k")
    return store


def test_an_image_is_found_by_its_first_digits(store: Store) -> None:
    """Enough digits name one image, in either case, and only its own rows are told."""
    sections = explain_image(store, "AB12")
    assert list(sections) == ["images", "levels", "prelabels", "decisions"]
    assert [r["path"] for r in sections["images"]] == ["a.jpg"]
    assert [r["decision_id"] for r in sections["decisions"]] == ["public"]


def test_nested_lists_are_counted(store: Store) -> None:
    """A screen shows how many predictions there are, not all of them."""
    [told] = explain_image(store, KEY)["prelabels"]
    assert told["predictions_count"] == 0
    assert "predictions" not in told


@pytest.mark.parametrize(
    ("digits", "said"),
    [("ab1", "too short"), ("ab1" + "f" * 5, "No images"), ("ab1?", "hex digits"), ("zzz", "hex digits")],
)
def test_too_few_or_unknown_digits_are_refused(store: Store, digits: str, said: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ManifestError, match=said):
        explain_image(store, digits)


def test_digits_of_two_images_are_refused(tmp_path: Path) -> None:
    """When two images begin alike the message says how many."""
    store = Store(str(tmp_path))
    twins = [row("images", path=p, image_id=f"ab12{p}" + "0" * 59) for p in ("1", "2")]
    land(store, "images", twins, "k")
    with pytest.raises(ManifestError, match="2 images begin with"):
        explain_image(store, "ab12")
