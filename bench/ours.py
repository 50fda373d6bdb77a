"""Our own way through a batch, exactly as a worker goes it: check, read, hash, decode, engine, rows.

A detector runs through `run_batch`, the function every child run calls. A classifier alone is no arm, so it runs
through the parts `run_batch` is made of: a reader ahead, decoding in child processes, passes side by side. Nothing here
is tuned for the bench but what a setting can say.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from bench.engines import BATCH
from bench.measure import Work
from bench.photos import ROOT
from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import EngineChoice
from labelop.catalog.profile import Measured
from labelop.engines.base import Engine, ImageArray, ModelInputs, open_engine
from labelop.engines.measure import measure as judge
from labelop.engines.prelabeller import ArmModels, Prelabeller, with_engines
from labelop.engines.side import lanes_of
from labelop.engines.ways import ways_here
from labelop.errors import MissingExtraError, UnreadableImageError
from labelop.ids import sha256_hex
from labelop.ingest.decoders import decoders
from labelop.prelabel.assign import ONPREM
from labelop.prelabel.batch import BatchContext, BatchResult, ImageRef, run_batch
from labelop.prelabel.pipeline import Reader, groups, side_by_side
from labelop.prelabel.plan import Plan, PlannedBatch
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings

_AHEAD = 32
"""Most images read ahead, as a worker has it."""

ENGINES = ("onnxruntime", "openvino")
"""Engines asked for by name."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One way to run a model, opened."""

    engine: Engine
    """With the threads a worker gives it."""
    refused: str | None = None
    """Why the product would not take it for this model; None where it counts as ours."""


def open_named(card: ModelCard, name: str, precision: str | None = None) -> Engine | None:
    """Open the engine of a card by name, with the threads a worker gives it; None where it is not installed.

    Args:
        card: The model.
        name: The engine.
        precision: The fastest it has here when None: a profile would have to find that it agrees.
    """
    try:
        choice = EngineChoice(name, precision or ways_here(name)["cpu"][-1], measured=True)
        return open_engine(card, load_settings(), choice)
    except MissingExtraError:
        return None


def open_ways(card: ModelCard, pictures: Sequence[ImageArray] = ()) -> dict[str, Opened]:
    """Open the ways to run a card, by the name of their case.

    Args:
        card: The model.
        pictures: Of the kind it is for: by them every way is judged as `labelop models profile` judges it, and one
            that disagrees is opened to be listed, never to count. Without them, as for random weights, which have no
            answers to judge, there is the fastest precision of each engine, and all count.
    """
    if not pictures:
        fastest = (open_named(card, name) for name in ENGINES)
        return {f"ours, {engine.name}": Opened(engine) for engine in fastest if engine is not None}
    found: dict[str, Opened] = {}
    for one in judge(card, pictures, load_settings(), batches=[1], rounds=1):
        engine = open_named(card, one.engine, one.precision)
        if engine is not None and one.device == "cpu":
            found[f"ours, {engine.name}"] = Opened(engine, _refused(one))
    return found


def _refused(measured: Measured) -> str | None:
    if measured.agrees:
        return None
    apart = f"differs by {measured.difference:.3f}, {measured.tolerance:g} is allowed" if measured.difference else ""
    return measured.reason or apart or "found nothing to compare"


def fastest_that_counts(ways: Mapping[str, Opened], rates: Mapping[str, Sequence[float]]) -> str:
    """Name the fastest case of those the product would take, by its median rate."""
    counting = [name for name, one in ways.items() if one.refused is None and name in rates]
    return max(counting, key=lambda name: statistics.median(rates[name]))


def listed_only(ways: Mapping[str, Opened]) -> list[str]:
    """Say which ways are measured and do not count."""
    return [f"{name}: {one.refused}: listed only." for name, one in ways.items() if one.refused]


class Worker:
    """One worker on files of one folder.

    Args:
        prelabeller: Opened models.
        files: Image file by image id.
        size: Width and height of the images, upright.
        level: Sensitivity level of all of them.
    """

    def __init__(
        self, prelabeller: Prelabeller, files: dict[str, Path], size: tuple[int, int], level: str = "public"
    ) -> None:
        self._prelabeller = prelabeller
        self.image_ids = tuple(files)
        refs = {key: ImageRef(key, str(path.parent), path.name, size[0], size[1], level) for key, path in files.items()}
        settings = load_settings(config=ROOT / "data/sample/config")
        policy = load_policy(settings.config / "policy.yaml")
        self._context = BatchContext(Plan("bench", "bench", "v-1", ()), refs, policy, settings, "bench")

    def batch(self, name: str, image_ids: tuple[str, ...]) -> BatchResult:
        """Run one batch."""
        planned = PlannedBatch(name, "local", "chosen", ONPREM, self._prelabeller.model_id, 0, image_ids)
        return run_batch(self._context, planned, self._prelabeller)

    def __call__(self, count: int) -> None:
        """Run batches of all images until `count` are done."""
        for start in range(0, count, len(self.image_ids)):
            result = self.batch("b-1", self.image_ids[: count - start])
            if any(row["outcome"] not in ("ok", "empty") for row in result.rows):
                raise RuntimeError(f"a bench image failed: {[row['reason'] for row in result.rows if row['reason']]}")


def by_digest(paths: list[Path]) -> dict[str, Path]:
    """Name files by the SHA-256 of their bytes."""
    return {sha256_hex(path.read_bytes()): path for path in paths}


def work(card: ModelCard, engine: Engine, paths: list[Path], size: tuple[int, int]) -> Work:
    """Give our case for a card."""
    if card.task == "detection":
        return Worker(with_engines(ArmModels(card), {card.id: engine}), by_digest(paths), size)

    frame = ArmModels(card).frame(stretched=True)

    named = by_digest(paths)

    def read(digest: str) -> bytes:
        data = named[digest].read_bytes()
        if sha256_hex(data) != digest:
            raise RuntimeError(f"a bench image changed: {named[digest]}")
        return data

    def load(wanted: Sequence[tuple[int, str]]) -> list[ImageArray]:
        found = decoders().decode_each([(read(digest), frame) for _, digest in wanted])
        if refused := [str(one) for one in found if isinstance(one, UnreadableImageError)]:
            raise RuntimeError(f"a bench image failed: {refused}")
        return [one[0] for one in found if not isinstance(one, UnreadableImageError)]

    def forward(pixels: list[ImageArray]) -> None:
        raw = engine.forward(ModelInputs(np.stack([engine.preprocess(one) for one in pixels])))
        for index in range(len(pixels)):
            engine.postprocess(raw, index, *size)

    def classify(count: int) -> None:
        wanted = list(enumerate(islice(cycle(named), count)))
        with Reader(load, lambda _: size[0] * size[1] * 3) as reader:
            passes = groups(reader.take(wanted, _AHEAD), BATCH, lambda one: one.nbytes)
            side_by_side(forward, passes, lanes_of(1), lambda _: None, lambda one: sum(image.nbytes for image in one))

    return classify
