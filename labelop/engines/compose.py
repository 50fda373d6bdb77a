"""The models of one arm as one step: detector, then masks for its draft boxes, then a class for the whole image.

One image's failure is that image's result and never its batch's; a server that does not answer is raised instead,
because the same batch may succeed later. Knows no table, no routing and no placement.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.engines.columns import PredictionColumns
from labelop.engines.lanes import ImageItem, Lane, LaneAnswer, Ready
from labelop.engines.masks import read_masks, to_model_frame
from labelop.engines.postprocess import Detections, read_class_scores, read_detections
from labelop.errors import EngineError, ModelInputError, PlacementForbiddenError
from labelop.ids import numbered_ids
from labelop.labels import Prediction

FORWARD_IMAGES = 8
"""Most images in one forward pass: larger batches gain nothing on a CPU and cost memory."""

_PASS_PIXELS = FORWARD_IMAGES * 320 * 256
"""Most input pixels in one pass: a batch of large inputs leaves the processor's cache and is slower than one image."""


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
        self.simulated = lane.simulated
        self.most_passes = lane.most_passes
        self.parameters = {**arm_parameters(arm), **lane.parameters()}

    def prelabel(self, items: Sequence[ImageItem]) -> list[ImageResult]:
        """Make draft labels; see `Prelabeller.prelabel`."""
        results: list[ImageResult] = []
        card = self._arm.detector
        most = max(1, min(FORWARD_IMAGES, _PASS_PIXELS // (card.width_px * card.height_px)))
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
                results[i] = _refused(items[i], "withheld", "PLACEMENT_FORBIDDEN")
            else:
                ready.append((i, answer))
        for (i, _), result in zip(ready, self._attempt([one for _, one in ready]), strict=True):
            results[i] = result
        return [results[i] for i in range(len(items))]

    def _attempt(self, ready: list[Ready]) -> list[ImageResult]:
        if not ready:
            return []
        try:
            return self._run(ready)
        except EngineError as error:
            if error.retryable:
                raise
            if len(ready) == 1:
                return [_refused(ready[0].item, "failed", _code(error))]
        # one image may have spoiled the pass for all: each gets its own
        return [result for one in ready for result in self._attempt([one])]

    def _run(self, ready: list[Ready]) -> list[ImageResult]:
        spent = _Spent(len(ready))
        found = spent.shared(self._lane, self._arm.detector, ready)
        spent.note_detector()
        classes = None if self._arm.classifier is None else spent.shared(self._lane, self._arm.classifier, ready)
        results = []
        for index, one in enumerate(ready):
            try:
                predictions = self._read(one, index, found, classes, spent)
            except EngineError as error:
                if error.retryable:
                    raise
                results.append(spent.result(index, one.item, "failed", _code(error), ()))
                continue
            results.append(spent.result(index, one.item, "ok" if predictions else "empty", None, predictions))
        return results

    def _read(
        self, one: Ready, index: int, found: LaneAnswer, classes: LaneAnswer | None, spent: _Spent
    ) -> PredictionColumns:
        height, width = one.item.pixels.shape[:2]
        detector = self._arm.detector
        detections = read_detections(detector, found.raw, index, width, height)
        drafts = _drafts(detector, detections)
        masks: list[str | None] = [None] * len(drafts)
        shown = np.flatnonzero(drafts).tolist()
        if self._arm.segmenter is not None and shown:
            card = self._arm.segmenter
            prompts = to_model_frame(detections.boxes[shown], (width, height), (card.width_px, card.height_px))
            answer = spent.alone(self._lane, card, one, index, prompts)
            for rank, mask in zip(shown, read_masks(answer.raw, len(shown), width, height), strict=True):
                masks[rank] = mask
        image_id = one.item.image_id
        predictions = PredictionColumns(
            numbered_ids("p", image_id, detector.digest, count=len(drafts)),
            [detector.classes[c] for c in detections.class_index.tolist()],
            detections.scores,
            drafts,
            detections.boxes,
            masks,
        )
        if classes is not None and self._arm.classifier is not None:
            predictions = predictions.joined(_image_labels(self._arm.classifier, classes, index, image_id))
        return predictions


class _Spent:
    """Adds up time and bytes per image of one pass."""

    def __init__(self, count: int) -> None:
        self._seconds = [0.0] * count
        self._sent = [0] * count
        self._received = [0] * count
        self._detector = [0.0] * count

    def note_detector(self) -> None:
        """Remember what has been spent until now as the detector's part."""
        self._detector = list(self._seconds)

    def shared(self, lane: Lane, card: ModelCard, ready: list[Ready]) -> LaneAnswer:
        """Run one pass for all images; each bears an equal share."""
        started = time.perf_counter()
        answer = lane.run(card, ready)
        self._add(range(len(ready)), time.perf_counter() - started, answer)
        return answer

    def alone(self, lane: Lane, card: ModelCard, one: Ready, index: int, prompts: Any) -> LaneAnswer:
        """Run one pass for one image."""
        started = time.perf_counter()
        answer = lane.run(card, [one], prompts)
        self._add(range(index, index + 1), time.perf_counter() - started, answer)
        return answer

    def _add(self, who: range, seconds: float, answer: LaneAnswer) -> None:
        for place, index in enumerate(who):
            self._seconds[index] += seconds / len(who)
            self._sent[index] += _share(answer.sent_bytes, len(who), place)
            self._received[index] += _share(answer.received_bytes, len(who), place)

    def result(
        self, index: int, item: ImageItem, outcome: str, reason: str | None, predictions: Sequence[Prediction]
    ) -> ImageResult:
        """Write one image's result."""
        spent = (self._seconds[index], self._sent[index], self._received[index])
        return ImageResult(item.image_id, outcome, reason, predictions, *spent, self._detector[index])


def _share(total: int, count: int, place: int) -> int:
    """Split a whole number so that the shares add up to it."""
    return total // count + (place < total % count)


def _is_image(item: ImageItem) -> bool:
    pixels = item.pixels
    return pixels.dtype.name == "uint8" and pixels.shape[2:] == (3,) and 0 not in pixels.shape


def _drafts(card: ModelCard, detections: Detections) -> NDArray[np.bool_]:
    assert card.postprocess is not None
    least = np.array([card.postprocess.draft_score[name] for name in card.classes], dtype=np.float64)
    return np.asarray(detections.scores >= least[detections.class_index], dtype=np.bool_)


def _image_labels(card: ModelCard, answer: LaneAnswer, index: int, image_id: str) -> PredictionColumns:
    scores = read_class_scores(card, answer.raw, index)
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
