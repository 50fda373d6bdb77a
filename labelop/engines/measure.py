"""Measures engines on this machine: a worker's speed, memory, energy, and how far results lie from the reference's.

Rounds of all engines are interleaved, so that whatever else the machine does meets all of them alike. Knows no table.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.catalog.cards import ModelCard, verify
from labelop.catalog.choice import ENGINES, EngineChoice, installed_version, pass_images
from labelop.catalog.profile import Measured
from labelop.engines.base import Engine, ImageArray, ModelInputs, features_of, load_engine
from labelop.engines.energy import Meter, open_meter
from labelop.engines.model import failed
from labelop.engines.parity import EXACT, TOLERANCE, combined, difference
from labelop.engines.room import Appetite, reset_peak, room, status
from labelop.engines.side import lanes_of
from labelop.engines.ways import ways_here
from labelop.errors import EngineError, MissingExtraError
from labelop.memory import give_back
from labelop.settings import Settings

_WARM_ROUNDS = 2
_PASSES = 2
"""Passes of each lane in a round."""
_PROMPTS = np.array([[0.1, 0.1, 0.4, 0.5], [0.5, 0.2, 0.9, 0.6], [0.3, 0.5, 0.7, 0.9]], dtype=np.float32)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Trial:
    """One engine with one batch size, while it is measured."""

    choice: EngineChoice
    images: int
    lanes: int
    appetite: Appetite
    engine: Engine | None = None
    growth_bytes: int | None = None
    seconds: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    apart: tuple[float, int] | None = None
    problem: str | None = None


def measure(
    card: ModelCard,
    images: Sequence[ImageArray],
    settings: Settings,
    *,
    engines: Sequence[str] = (),
    batches: Sequence[int] = (),
    rounds: int = 5,
) -> list[Measured]:
    """Measure every engine this machine has for a model.

    Args:
        card: The model.
        images: Pictures of the kind it is for, at least one; they are repeated to fill a batch.
        settings: Threads of a pass; whether compiled models are measured too.
        engines: Engines to measure beside the reference; all that are installed when empty.
        batches: Images of one pass; a segmenter encodes them together and prompts each with its boxes. One, and the
            most that any device is given unmeasured, when empty. What does not fit into memory, or would not by what
            smaller passes took, is halved and told.
        rounds: Timed rounds of each engine and batch size, after two that are not timed; in each, as many lanes as a
            worker has run a few passes side by side.

    Returns:
        One figure per engine, precision, device and batch size, the reference first. An engine that fails has its
        reason there instead of figures.

    Raises:
        MissingExtraError: An engine that was asked for by name is not installed.
        CatalogError: A file of the card is missing.
        DigestMismatchError: A file is not the one its card pins.
    """
    verify(card)
    sizes = sorted(set(batches) or {1, pass_images(card, "cuda")})
    reference = EngineChoice(ENGINES[card.format][0])
    ways = [reference, *(way for way in _ways(card, settings, engines) if way.key != reference.key)]
    lanes = lanes_of(settings.engine_threads)
    meters = {way.device: open_meter(way.device) for way in ways}
    frames = np.stack([_frame(card, image) for image in images])
    answers = _reference(card, settings, reference, frames)
    eaters = [(way, Appetite(float(frames[0].nbytes * lanes))) for way in ways]
    trials = [_Trial(replace(way, most_images=size), size, lanes, eater) for way, eater in eaters for size in sizes]

    def timed(trial: _Trial) -> None:
        meter = meters[trial.choice.device]
        before = meter.joules()
        trial.seconds.append(_timed(trial, frames))
        after = meter.joules()
        if before is not None and after is not None:
            trial.joules.append((after - before) / (_PASSES * lanes * trial.images))

    trials = _warmed(trials, lambda trial: _fit(card, trial, lambda: _open(card, settings, trial, frames, answers)))
    for _ in range(rounds):
        for trial in trials:
            _guarded(trial, timed)
    found = [
        _result(card, trial, trial.choice.key[:4] == reference.key[:4], rounds, meters[trial.choice.device])
        for trial in trials
    ]
    for trial in trials:
        _close(trial)
    return found


def _ways(card: ModelCard, settings: Settings, engines: Sequence[str]) -> Iterator[EngineChoice]:
    for engine in ENGINES[card.format]:
        if engines and engine not in engines:
            continue
        if installed_version(engine) is None and engine not in engines:
            continue  # nobody asked for it
        for device, precisions in ways_here(engine).items():
            # TensorRT builds its engines for minutes: only where the setting asks for it
            if device == "tensorrt" and settings.engine_device != device:
                continue
            for precision in precisions:
                yield EngineChoice(engine, precision, device)
                if engine == "torch" and settings.engine_compile:
                    yield EngineChoice(engine, precision, device, compiled=True)


def _frame(card: ModelCard, image: ImageArray) -> ImageArray:
    size = (card.width_px, card.height_px)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _pass(engine: Engine, frames: ImageArray, count: int, start: int = 0) -> dict[str, NDArray[np.float32]]:
    """Run one pass the way a worker does; frames are repeated to fill it."""
    chosen = np.take(frames, range(start, start + count), axis=0, mode="wrap")
    if engine.card.task != "segmentation":
        return dict(engine.forward(ModelInputs(chosen)))
    boxes = _PROMPTS * np.array([engine.card.width_px, engine.card.height_px] * 2, dtype=np.float32)
    features = engine.encode(chosen)
    found = [engine.prompt(features_of(features, index), boxes) for index in range(count)]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def _reference(
    card: ModelCard, settings: Settings, way: EngineChoice, frames: ImageArray
) -> list[dict[str, NDArray[np.float32]]]:
    engine = load_engine(card, settings.engine_threads, way)
    try:
        return [_pass(engine, frames, 1, at) for at in range(len(frames))]
    finally:
        engine.close()


def _open(
    card: ModelCard,
    settings: Settings,
    trial: _Trial,
    frames: ImageArray,
    answers: Sequence[dict[str, NDArray[np.float32]]],
) -> None:
    before = reset_peak()
    trial.engine = load_engine(card, settings.engine_threads, trial.choice)
    trial.appetite.begin()
    for _ in range(_WARM_ROUNDS):
        _timed(trial, frames)
    if trial.engine.most_images < trial.images:
        # it ran out of memory and went on with fewer: this is what is measured
        _resize(trial, trial.engine.most_images)
    peak = None if before is None else status("VmHWM")
    trial.appetite.note(trial.images, peak)
    trial.growth_bytes = None if peak is None or before is None else max(0, peak - before)
    size, parts = trial.images, []
    for start in range(0, len(frames), size):
        raw = _pass(trial.engine, frames, size, start)
        for index in range(min(size, len(frames) - start)):
            mine = {name: value[index : index + 1] for name, value in raw.items()}
            parts.append(
                difference(card, answers[start + index], mine, 0, width_px=card.width_px, height_px=card.height_px)
            )
    trial.apart = combined(card, parts)


def _timed(trial: _Trial, frames: ImageArray) -> float:
    """Give seconds an image of all lanes together, each of them busy: what a worker does."""
    engine = trial.engine
    assert engine is not None
    count = _PASSES * trial.lanes
    with ThreadPoolExecutor(trial.lanes) as pool:
        started = time.perf_counter()
        for _ in pool.map(lambda _: _pass(engine, frames, trial.images), range(count)):
            pass
        return (time.perf_counter() - started) / (count * trial.images)


def _warmed(trials: Sequence[_Trial], warm: Callable[[_Trial], None]) -> list[_Trial]:
    """Open and warm every trial; of batches that did not fit and became the same one is left."""
    found: dict[tuple[object, ...], _Trial] = {}
    for trial in trials:
        _guarded(trial, warm)
        if found.setdefault(trial.choice.key, trial) is not trial:
            _close(trial)
    return list(found.values())


def _fit(card: ModelCard, trial: _Trial, attempt: Callable[[], None]) -> None:
    """Attempt with fewer images until it fits into memory; on the way to many, smaller passes say what they take."""
    wanted, appetite = trial.images, trial.appetite
    while True:
        fitting = appetite.affordable(wanted, room())
        if fitting < wanted:
            _log.warning(
                "model %s: a pass of %d images would take about %.0f MiB, over half of what is free; going on with %d",
                card.id, wanted, wanted * appetite.image_bytes / (1 << 20), fitting,
            )  # fmt: skip
            wanted = fitting
        # a GPU refuses what it has not got, and some engines compile each size for minutes
        size = appetite.next_images(wanted) if trial.choice.device == "cpu" else wanted
        _resize(trial, size)
        try:
            attempt()
        except MemoryError as error:
            if size == 1:
                raise failed(card, "", error) from error
            wanted = size // 2
            _log.warning(
                "model %s: a pass of %d images does not fit into memory; going on with %d", card.id, size, wanted
            )
        else:
            if trial.images < size or size == wanted:
                return
        _close(trial)
        give_back()


def _resize(trial: _Trial, images: int) -> None:
    trial.images, trial.choice = images, replace(trial.choice, most_images=images)


def _close(trial: _Trial) -> None:
    if trial.engine is not None:
        trial.engine.close()
    trial.engine = None


def _guarded(trial: _Trial, step: Callable[[_Trial], None]) -> None:
    if trial.problem is not None:
        return
    try:
        step(trial)
    except MissingExtraError:
        raise
    except (EngineError, MemoryError) as error:
        trial.problem = error.message if isinstance(error, EngineError) else "there was no memory left"
        _log.warning("%s cannot be measured: %s", trial.choice.label, trial.problem)


def _result(card: ModelCard, trial: _Trial, reference: bool, rounds: int, meter: Meter) -> Measured:
    tolerance = TOLERANCE[card.task] if trial.choice.precision != "f32" else EXACT
    apart, count = trial.apart or (None, 0)
    good = trial.problem is None and apart is not None
    return Measured(
        engine=trial.choice.engine,
        engine_version=installed_version(trial.choice.engine),
        engine_name=trial.engine.name if trial.engine is not None else trial.choice.engine,
        precision=trial.choice.precision,
        device=trial.choice.device,
        compiled=trial.choice.compiled,
        reference=reference,
        images_count=trial.images,
        rounds_count=rounds,
        image_seconds=statistics.median(trial.seconds) if good and trial.seconds else None,
        lanes_count=trial.lanes,
        energy_joules_per_image=statistics.mean(trial.joules) if good and trial.joules else None,
        energy_source=meter.source,
        energy_reason=meter.reason,
        growth_bytes=trial.growth_bytes,
        compared_count=count,
        difference=apart,
        tolerance=tolerance,
        # nothing to compare proves nothing, but the reference is what it is compared with
        agrees=good and (reference or (count > 0 and apart is not None and apart <= tolerance)),
        outcome="measured" if good else "failed",
        reason=trial.problem,
    )
