"""Cards in the tables: what a model was stays readable, once per digest."""

from __future__ import annotations

from pathlib import Path

from labelop.catalog.cards import load_catalog
from labelop.catalog.record import land_cards
from labelop.landing.store import Store, read_rows
from tests.small_sample import SAMPLE


def test_cards_land_once_per_digest(tmp_path: Path) -> None:
    """The shipped cards land with their classes; landing them again adds nothing."""
    cards = list(load_catalog(SAMPLE / "models").values())
    store = Store(str(tmp_path))
    assert land_cards(store, [*cards, cards[0]], "r") == len(cards)
    assert land_cards(store, cards, "another run") == 0
    rows = {row["model_id"]: row for row in read_rows(store, "cards")}
    assert rows["cells-small"]["classes"] == ["RBC", "WBC", "Platelets"]
    assert {row["model_digest"] for row in rows.values()} == {card.digest for card in cards}
