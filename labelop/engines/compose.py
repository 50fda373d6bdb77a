"""The models of one arm as one step: detector, then masks for its draft boxes, then a class for the whole image.

One image's failure is that image's result and never its batch's; a server that does not answer is raised instead,
because the same batch may succeed later. Knows no table, no routing and no placement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.engines.base import RawOutputs
from labelop.engines.columns import PredictionColumns
from labelop.engines.lanes import ImageItem, Lane, Ready
from labelop.engines.postprocess import Detections, read_class_scores, read_detections
from labelop.engines.segment import Prompted, segment
from labelop.engines.spent import Cost, Spent
from labelop.errors import EngineError, LabelopError, ModelInputError, PlacementForbiddenError
from labelop.ids import numbered_ids
from labelop.ingest.decode import Frame
from labelop.labels import Prediction


@dataclass(frozen=True, slots=True)
class ArmModels:
    """The models of one arm."""

    detector: ModelCard
    """Finds objects; its digest is the model digest of the results."""
    segmenter: ModelCard | None = None
    """Gives draft boxes their masks, or None."""
    classifier: ModelCard | None = None
    """Gives the whole image its class, or None."""

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """Every model there is, the detector first."""
        return tuple(card for card in (self.detector, self.segmenter, self.classifier) if card is not None)

    def frame(self, *, stretched: bool) -> Frame:
        """Say what pixels the models take: scaled only if every card allows it.

        Args:
            stretched: Whether pixels in the models' own frame will do, where all of them have one.
        """
        width, height = (max(sides) for sides in zip(*((c.width_px, c.height_px) for c in self.cards), strict=True))
        is_one = all((card.width_px, card.height_px) == (width, height) for card in self.cards)
        return Frame(width, height, all(card.scaled_decode for card in self.cards), stretched and is_one)


@dataclass(frozen=True, slots=True)
class ImageResult:
    """What became of one image."""

    image_id: str
    """SHA-256 of the original bytes."""
    outcome: str
    """ok | empty | failed | withheld."""
    reason: str | None
    """Code when failed or withheld, else None."""
    predictions: Sequence[Prediction]
    """Drafts and the tail below the draft score, best first; the image's class last."""
    infer_seconds: float
    """Time inside the engine, or until the server's answer; an equal share of each forward pass."""
    sent_bytes: int
    """Bytes sent for it; an equal share of each request."""
    received_bytes: int
    """Bytes received for it; an equal share of each answer."""
    detector_seconds: float = 0.0
    """The part of `infer_seconds` that the detector took, so that detectors can be compared."""
    told: str = ""
    """The error in words where it failed, for who asks why nothing came of a batch; lands nowhere."""
    requests_count: int = 0
    """Requests that reached a server for it; those of a shared pass are booked to its first images."""


def arm_parameters(arm: ArmModels) -> dict[str, Any]:
    """Name the models beside the detector; part of the batch id, known without opening anything."""
    others = {"segmenter": arm.segmenter, "classifier": arm.classifier}
    return {role: card.digest for role, card in others.items() if card is not None}


class ComposedArm:
    """One arm over one lane."""

    def __init__(self, arm: ArmModels, lane: Lane) -> None:
        self._arm = arm
        self._lane = lane
        self.model_id = arm.detector.id
        self.model_digest = arm.detector.digest
        self.engine_name = lane.name
        self.device = lane.device
        self.engine_reason = lane.reason
        self.simulated = lane.simulated
        self.most_passes = lane.most_passes
        self.frame = arm.frame(stretched=lane.takes_stretched)
        self.parameters = {**arm_parameters(arm), **lane.parameters()}

    @property
    def most_images(self) -> int:
        """Most images that one of the models takes in a pass; see `Prelabeller.most_images`."""
        return max(self._lane.most_images(card) for card in self._arm.cards)

    def open(self) -> None:
        """Wait until every model can answer; see `Prelabeller.open`."""
        self._lane.open(self._arm.cards)

    def prelabel(self, items: Sequence[ImageItem]) -> list[ImageResult]:
        """Make draft labels; see `Prelabeller.prelabel`."""
        results: list[ImageResult] = []
        most = self.most_images
        for start in range(0, len(items), most):
            results += self._chunk(items[start : start + most])
        return results

    def close(self) -> None:
        """Free what the lane opened."""
        self._lane.close()

    def _chunk(self, items: Sequence[ImageItem]) -> list[ImageResult]:
        results: dict[int, ImageResult] = {}
        ready: list[tuple[int, Ready]] = []
        usable = [i for i, item in enumerate(items) if _is_image(item)]
        for i in set(range(len(items))) - set(usable):
            results[i] = _refused(items[i], "failed", "BAD_INPUT")
        for i, answer in zip(usable, self._lane.prepare([items[i] for i in usable]), strict=True):
            if isinstance(answer, PlacementForbiddenError):
                results[i] = _refused(items[i], "withheld", str(answer.context.get("code", "PLACEMENT_FORBIDDEN")))
            else:
                ready.append((i, answer))
        costs = [Cost() for _ in ready]
        try:
            answered = self._attempt([one for _, one in ready], Spent(costs))
        except LabelopError as error:
            # no image has a result that could bear them
            error.context["costs"] = costs
            raise
        for (i, _), result in zip(ready, answered, strict=True):
            results[i] = result
        return [results[i] for i in range(len(items))]

    def _attempt(self, ready: list[Ready], spent: Spent) -> list[ImageResult]:
        if not ready:
            return []
        try:
            return self._run(ready, spent)
        except EngineError as error:
            if error.retryable:
                raise
            if len(ready) == 1:
                return [
                    ImageResult(
                        ready[0].item.image_id,
                        "failed",
                        _code(error),
                        (),
                        *spent.of(0),
                        error.message,
                        spent.requests(0),
                    )
                ]
        # one image may have spoiled the pass for all: each gets its own, and bears its share of the one that failed
        return [result for index, one in enumerate(ready) for result in self._attempt([one], spent.alone(index))]

    def _run(self, ready: list[Ready], spent: Spent) -> list[ImageResult]:
        found = spent.shared(self._lane, self._arm.detector, ready)
        spent.note_detector()
        classes = None if self._arm.classifier is None else spent.shared(self._lane, self._arm.classifier, ready)
        detected = [_detected(self._arm.detector, one, index, found) for index, one in enumerate(ready)]
        masks = self._masks(ready, detected, spent)
        results = []
        predictions: Sequence[Prediction]
        for index, one in enumerate(ready):
            try:
                predictions = self._predictions(one.item.image_id, index, detected[index], masks.get(index), classes)
                outcome, reason, told = "ok" if predictions else "empty", None, ""
            except EngineError as error:
                predictions, outcome, reason, told = (), "failed", _code(error), error.message
            results.append(
                ImageResult(
                    one.item.image_id, outcome, reason, predictions, *spent.of(index), told, spent.requests(index)
                )
            )
        return results

    def _masks(
        self, ready: list[Ready], detected: list[_Detected | EngineError], spent: Spent
    ) -> dict[int, list[str | None] | EngineError]:
        """Give the masks of each image's drafts, where there is a segmenter and there are drafts."""
        if self._arm.segmenter is None:
            return {}
        prompted = [
            Prompted(index, ready[index], one.objects.boxes[one.drafts])
            for index, one in enumerate(detected)
            if not isinstance(one, EngineError) and one.drafts.any()
        ]
        return segment(self._lane, self._arm.segmenter, prompted, spent, self._lane.most_images(self._arm.segmenter))

    def _predictions(
        self,
        image_id: str,
        index: int,
        detected: _Detected | EngineError,
        drawn: list[str | None] | EngineError | None,
        classes: RawOutputs | None,
    ) -> PredictionColumns:
        if isinstance(detected, EngineError):
            raise detected
        if isinstance(drawn, EngineError):
            raise drawn
        detector, objects = self._arm.detector, detected.objects
        masks: list[str | None] = [None] * len(objects.scores)
        if drawn is not None:
            for rank, mask in zip(np.flatnonzero(detected.drafts).tolist(), drawn, strict=True):
                masks[rank] = mask
        predictions = PredictionColumns(
            numbered_ids("p", image_id, detector.digest, count=len(masks)),
            [detector.classes[c] for c in objects.class_index.tolist()],
            objects.scores,
            detected.drafts,
            objects.boxes,
            masks,
        )
        if classes is not None and self._arm.classifier is not None:
            predictions = predictions.joined(_image_labels(self._arm.classifier, classes, index, image_id))
        return predictions


@dataclass(frozen=True, slots=True)
class _Detected:
    """What the detector says of one image."""

    objects: Detections
    """In the image's own frame, best first."""
    drafts: NDArray[np.bool_]
    """Which of them a reviewer is shown."""


def _detected(card: ModelCard, one: Ready, index: int, found: RawOutputs) -> _Detected | EngineError:
    width, height = one.item.width_px, one.item.height_px
    try:
        objects = read_detections(card, found, index, width, height)
    except EngineError as error:
        return error
    return _Detected(objects, _drafts(card, objects))


def _is_image(item: ImageItem) -> bool:
    pixels = item.pixels
    return pixels.dtype.name == "uint8" and pixels.shape[2:] == (3,) and 0 not in pixels.shape


def _drafts(card: ModelCard, detections: Detections) -> NDArray[np.bool_]:
    assert card.postprocess is not None
    least = np.array([card.postprocess.draft_score[name] for name in card.classes], dtype=np.float64)
    return np.asarray(detections.scores >= least[detections.class_index], dtype=np.bool_)


def _image_labels(card: ModelCard, raw: RawOutputs, index: int, image_id: str) -> PredictionColumns:
    scores = read_class_scores(card, raw, index)
    order = np.lexsort((np.arange(len(scores)), -scores))
    return PredictionColumns(
        numbered_ids("p", image_id, card.digest, count=len(order)),
        [card.classes[c] for c in order.tolist()],
        scores[order],
        np.arange(len(order)) == 0,
        np.full((len(order), 4), np.nan),
        [None] * len(order),
    )


def _refused(item: ImageItem, outcome: str, reason: str) -> ImageResult:
    return ImageResult(item.image_id, outcome, reason, (), 0.0, 0, 0)


def _code(error: EngineError) -> str:
    default = "BAD_INPUT" if isinstance(error, ModelInputError) else "ENGINE_FAILED"
    return str(error.context.get("code", default))
