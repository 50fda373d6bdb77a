"""The two ways an image reaches a model: on this machine, or through the gate to a server.

Everything above works on either alike. Knows no table and no routing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import EngineChoice, pass_images
from labelop.egress.gate import PAYLOAD_FORMAT, Gate, ReleaseRequest
from labelop.engines.base import Engine, ImageArray, ModelInputs, RawOutputs, features_of
from labelop.engines.remote import RemoteEngine
from labelop.engines.transport import Travelled
from labelop.errors import ConfigurationError, LabelopError, PlacementForbiddenError


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One image to prelabel."""

    image_id: str
    """SHA-256 of the original bytes."""
    pixels: ImageArray
    """RGB, shape (height, width, 3), upright; may be fewer than the original has, see `ingest.decode.Frame`."""
    level: str
    """Sensitivity level as text."""
    width_px: int = 0
    """Width of the upright original, the frame of its predictions; that of the pixels when 0."""
    height_px: int = 0
    """Height of the upright original; that of the pixels when 0."""
    findings: Sequence[Any] = ()
    """What was found in it, regions in the frame of the original; the gate asks for it, no model does."""

    def __post_init__(self) -> None:
        if not (self.width_px and self.height_px):
            height, width = self.pixels.shape[:2]
            object.__setattr__(self, "width_px", width)
            object.__setattr__(self, "height_px", height)


@dataclass(frozen=True, slots=True)
class Ready:
    """One image in the form its lane runs."""

    item: ImageItem
    """The image it came from."""
    handle: Any
    """Pixels on this machine, features once `encode` was there, or a release for a server."""


class Lane(Protocol):
    """How images reach models."""

    name: str
    device: str | None
    """Where models run: cpu | cuda | tensorrt | server; None where nobody said."""
    reason: str | None
    """Why these engines, in words; None where nobody said."""
    simulated: bool
    most_passes: int | None
    """Most forward passes at a time; None for as many as there are cores."""
    takes_stretched: bool
    """Whether images may come in the models' own frame, where all of them have one."""

    def parameters(self) -> dict[str, Any]:
        """What of this lane changes predictions, for the batch id."""
        ...

    def open(self, cards: Sequence[ModelCard]) -> None:
        """Wait until models can answer; nothing is asked of them yet."""
        ...

    def prepare(self, items: Sequence[ImageItem]) -> list[Ready | PlacementForbiddenError]:
        """Bring images into the lane's form; a refused one is answered by its error."""
        ...

    def most_images(self, card: ModelCard) -> int:
        """Say how many images of a model one pass takes at most."""
        ...

    def run(self, card: ModelCard, ready: Sequence[Ready], travelled: Travelled) -> RawOutputs:
        """Run one forward pass; what travels for it is added up, whether it ends well or not."""
        ...

    def encode(self, card: ModelCard, ready: Sequence[Ready]) -> list[Ready]:
        """Bring images into the form in which this lane prompts them."""
        ...

    def prompt(self, card: ModelCard, encoded: Ready, boxes: NDArray[np.float32], travelled: Travelled) -> RawOutputs:
        """Ask a segmenter for all boxes of one image, shape (b, 4), xyxy pixels of the model's frame."""
        ...

    def close(self) -> None:
        """Free what the lane opened."""
        ...


class LocalLane:
    """Engines of this process.

    Args:
        engines: Engine by model id.
        choices: How each was chosen, by model id; for tests and the bench none.
    """

    simulated = False
    most_passes: int | None = None
    takes_stretched = True

    def __init__(self, engines: Mapping[str, Engine], choices: Mapping[str, EngineChoice] | None = None) -> None:
        self._engines = engines
        self.name = "+".join(dict.fromkeys(engine.name for engine in engines.values()))
        known = choices or {}
        self.device = "+".join(dict.fromkeys(choice.device for choice in known.values())) or None
        self.reason = _told(known)

    def parameters(self) -> dict[str, Any]:
        """Nothing: the pixels are the originals."""
        return {}

    def open(self, cards: Sequence[ModelCard]) -> None:
        """Nothing: engines are loaded when they are made."""

    def prepare(self, items: Sequence[ImageItem]) -> list[Ready | PlacementForbiddenError]:
        """Take the pixels as they are."""
        return [Ready(item, item.pixels) for item in items]

    def most_images(self, card: ModelCard) -> int:
        """Ask the engine, which knows its profile."""
        return self._engines[card.id].most_images

    def run(self, card: ModelCard, ready: Sequence[Ready], travelled: Travelled) -> RawOutputs:  # noqa: ARG002 - nothing travels
        """Run one forward pass on this machine."""
        engine = self._engines[card.id]
        return engine.forward(ModelInputs(_frames(engine, ready)))

    def encode(self, card: ModelCard, ready: Sequence[Ready]) -> list[Ready]:
        """Run the encoder once for all images."""
        engine = self._engines[card.id]
        features = engine.encode(_frames(engine, ready))
        return [Ready(one.item, features_of(features, index)) for index, one in enumerate(ready)]

    def prompt(
        self,
        card: ModelCard,
        encoded: Ready,
        boxes: NDArray[np.float32],
        travelled: Travelled,  # noqa: ARG002
    ) -> RawOutputs:
        """Run the decoder on features made here."""
        return self._engines[card.id].prompt(encoded.handle, boxes)

    def close(self) -> None:
        """Keep the engines: the process shares them, see `close_engines`."""


class CloudLane:
    """A server behind the gate.

    Args:
        engine: Client of the server.
        gate: Decides and writes down what may leave.
        run_id: The run that asks.
        simulated: Whether the placement is emulated.
    """

    def __init__(self, engine: RemoteEngine, gate: Gate, run_id: str, *, simulated: bool) -> None:
        self._engine = engine
        self._gate = gate
        self._run_id = run_id
        self.name = engine.name
        self.device: str | None = "server"
        self.reason: str | None = f"routing sent it to the placement {gate.placement}, where the server chooses"
        self.simulated = simulated
        # one on the way while the other is prepared; a server has its own limits and its own queue
        self.most_passes: int | None = 2
        # what leaves is encoded anew, which costs a stretched image more of its detail than a whole one
        self.takes_stretched = False

    def parameters(self) -> dict[str, Any]:
        """The payload's encoding: it changes pixels a little."""
        return {"payload": PAYLOAD_FORMAT}

    def open(self, cards: Sequence[ModelCard]) -> None:
        """Wait until the server has loaded the models; see `RemoteEngine.open`."""
        self._engine.open(cards)

    def prepare(self, items: Sequence[ImageItem]) -> list[Ready | PlacementForbiddenError]:
        """Ask the gate for each image; one durable audit write for all."""
        requests = [
            ReleaseRequest(item.pixels, item.image_id, item.level, item.findings, item.width_px, item.height_px)
            for item in items
        ]
        answers = self._gate.release_many(requests, self._run_id)
        return [
            answer if isinstance(answer, PlacementForbiddenError) else Ready(item, answer)
            for item, answer in zip(items, answers, strict=True)
        ]

    def most_images(self, card: ModelCard) -> int:
        """Bound a request by its inputs; the server cuts it into the passes of its own engine."""
        return pass_images(card)

    def run(self, card: ModelCard, ready: Sequence[Ready], travelled: Travelled) -> RawOutputs:
        """Run one forward pass on the server."""
        return self._ask(card, ready, None, travelled)

    def encode(self, card: ModelCard, ready: Sequence[Ready]) -> list[Ready]:  # noqa: ARG002 - the protocol's form
        """Leave the images as they are: features are larger than an image, and the server encodes when it is asked."""
        return list(ready)

    def prompt(self, card: ModelCard, encoded: Ready, boxes: NDArray[np.float32], travelled: Travelled) -> RawOutputs:
        """Send the image with its boxes."""
        return self._ask(card, [encoded], boxes, travelled)

    def close(self) -> None:
        """Close the connections, and vouch for what the audit log says."""
        self._engine.close()
        self._gate.close()

    def _ask(
        self, card: ModelCard, ready: Sequence[Ready], boxes: NDArray[np.float32] | None, travelled: Travelled
    ) -> RawOutputs:
        handles = [one.handle for one in ready]
        try:
            return self._engine.forward(card, handles, boxes, travelled).raw
        except LabelopError as error:
            refused, code = error.context.get("refused"), error.context.get("release_code")
            # of several images nobody knows yet whose fault it is: each is asked again alone
            if refused and (len(ready) == 1 or isinstance(error, ConfigurationError)):
                self._gate.note_refusal(handles, refused, str(code), self._run_id)
            raise


def _told(choices: Mapping[str, EngineChoice]) -> str | None:
    """Say why each model runs where it does; models with one reason together, and unnamed where that is all of them."""
    models: dict[str, list[str]] = {}
    for model, choice in choices.items():
        models.setdefault(choice.reason, []).append(model)
    if len(models) < 2:  # noqa: PLR2004 - one reason needs no names
        return next(iter(models), None)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in models.items())


def _frames(engine: Engine, ready: Sequence[Ready]) -> ImageArray:
    return np.stack([engine.preprocess(one.handle) for one in ready])
