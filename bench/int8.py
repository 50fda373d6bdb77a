"""int8 versions of the bench's models, made once by the product's own quantiser with the product's own choice of scope.

Knows no case and no clock.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench.photos import ROOT, photos
from labelop.catalog.cards import ModelCard, load_card
from labelop.catalog.quantise import Kept, quantise
from labelop.engines.base import ImageArray
from labelop.ingest.decode import decode

_LEARNT, _JUDGED = 16, 32


def int8_of(card: ModelCard, work: Path, learnt: int = _LEARNT, judged: int = _JUDGED) -> tuple[ModelCard, str | None]:
    """Quantise a model, or read what an earlier run made of the very same card.

    Args:
        card: A detector or classifier.
        work: The bench's folder.
        learnt: Photographs that set the ranges of values.
        judged: Other photographs, by which it is compared with its source.

    Returns:
        The new card, and why `labelop models quantize` would refuse it; None when it would write it.
    """
    folder, name = work / "models/int8" / f"{card.id}-{card.digest[:12]}", f"{card.id}-int8"
    if (folder / f"{name}.yaml").exists():
        rows = json.loads((folder / f"{name}.parity.json").read_text(encoding="utf-8"))
        return load_card(folder / f"{name}.yaml"), _refused([Kept(**row) for row in rows])
    images = pictures_of(card, work, learnt + judged)
    made, report = quantise(
        card, images[:learnt], folder, judged=images[learnt : learnt + judged], model_id=name, refuse=False
    )
    return made, _refused(report)


def _refused(report: list[Kept]) -> str | None:
    bad = [row for row in report if not row.holds]
    if not bad:
        return None
    worst = max(bad, key=lambda row: row.difference)
    return (
        f"differs by {worst.difference:.3f} on {worst.engine} ({worst.compared_count} compared), "
        f"{worst.tolerance:g} is allowed"
    )


def pictures_of(card: ModelCard, work: Path, count: int) -> list[ImageArray]:
    """Give images of the kind the model is for: the photographs measured, or the sample's drawn parcels."""
    paths = photos("640x480", work)
    if card.ontology == "parcels":
        paths = sorted((ROOT / "data/sample/parcels/images").glob("*.jpg"))
    return [decode(path.read_bytes()) for path in paths[:count]]
