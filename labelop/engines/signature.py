"""Whether a graph's inputs and outputs are those of its card, told when it is loaded and not image by image.

Knows no library that runs graphs: engines describe what they loaded, this compares it with the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labelop.catalog.cards import ModelCard
from labelop.errors import ModelLoadError

_CHANNELS = 3
_EDGES = 4


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a graph."""

    shape: tuple[int | None, ...]
    """Sizes, batch first; None where the graph leaves one open."""
    kind: str
    """Element type, for example uint8 or float."""

    def __str__(self) -> str:
        """Write it as messages do, for example `uint8(n, 24, 32, 3)`."""
        return f"{self.kind}({', '.join('n' if size is None else str(size) for size in self.shape)})"


def expected_signature(card: ModelCard, role: str) -> tuple[dict[str, Tensor | None], dict[str, Tensor | None]]:
    """Say what one graph of a card must take and give; None where only the name is prescribed.

    Args:
        card: The card.
        role: model, encoder or decoder.
    """
    images = Tensor((None, card.height_px, card.width_px, _CHANNELS), "uint8")
    boxes = Tensor((None, None, _EDGES), "float")
    features: dict[str, Tensor | None] = dict.fromkeys(card.encoder_outputs)
    if role == "encoder":
        return {"images": images}, features
    if role == "decoder":
        masks, scores = Tensor((None,) * 4, "float"), Tensor((None, None), "float")
        return {**features, "boxes": boxes}, {"masks": masks, "scores": scores}
    classes = len(card.classes) + (card.family == "detr")  # plain DETR answers one class more: nothing
    if card.task == "classification":
        return {"images": images}, {"logits": Tensor((None, classes), "float")}
    return {"images": images}, {"logits": Tensor((None, None, classes), "float"), "boxes": boxes}


def check_signature(card: ModelCard, role: str, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
    """Refuse a graph that is not what its card says.

    Raises:
        ModelLoadError: A name, type, size or the number of classes differs; the message names what both say.
    """
    takes, gives = expected_signature(card, role)
    if set(inputs) != set(takes) or not set(gives) <= set(outputs):
        raise ModelLoadError(
            f"Model {card.id}: {role} takes {sorted(inputs)} and gives {sorted(outputs)}, "
            f"expected {sorted(takes)} and {sorted(gives)}."
        )
    for name, wanted in (takes | gives).items():
        found = inputs[name] if name in takes else outputs[name]
        if wanted is not None and not _fits(found, wanted):
            raise ModelLoadError(
                f"Model {card.id}: {role} has {name} as {found}, the card {card.path.name} says {wanted} "
                f"(task {card.task}, {len(card.classes)} classes, input {card.width_px}x{card.height_px} px).",
                hint="Task, classes, family and input of the card must be those of the file.",
            )


def _fits(found: Tensor, wanted: Tensor) -> bool:
    if not found.shape:
        # the graph says nothing about this output; the first answer is checked instead
        return True
    same = zip(found.shape, wanted.shape, strict=False)
    return (
        len(found.shape) == len(wanted.shape)
        and wanted.kind in (found.kind, "float")
        and all(size is None or other is None or size == other for size, other in same)
    )
