"""Land the cards that a run uses, so that tables still say what a model was when its file is gone. Opens no weights."""

from __future__ import annotations

from collections.abc import Iterable

from labelop.catalog.cards import ModelCard
from labelop.landing.store import Store, land_many
from labelop.schemas import utc_now


def land_cards(store: Store, cards: Iterable[ModelCard], run_id: str) -> int:
    """Land each card once per digest.

    Args:
        store: Where.
        cards: Cards in use; the same one may come several times.
        run_id: Run that uses them, for provenance.

    Returns:
        Cards that are new in the store.
    """
    groups = [
        (
            card.digest,
            [
                {
                    "model_digest": card.digest,
                    "model_id": card.id,
                    "task": card.task,
                    "family": card.family,
                    "ontology": card.ontology,
                    "classes": list(card.classes),
                    "width_px": card.width_px,
                    "height_px": card.height_px,
                    "size_bytes": card.size_bytes,
                    "parameters_count": card.parameters_count,
                    "run_id": run_id,
                    "landed_at": utc_now(),
                }
            ],
        )
        for card in cards
    ]
    return sum(land_many(store, "cards", groups))
