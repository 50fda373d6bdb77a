"""Which engine runs a card here, and why: what the operator set, else what was measured here, else the default.

Never a guess: without a measurement on this very machine the default engine runs. Knows no library that runs models.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelop.catalog.cards import ModelCard
from labelop.errors import LandingError
from labelop.settings import Settings

ENGINES: dict[str, tuple[str, ...]] = {"onnx": ("onnxruntime", "openvino"), "huggingface": ("torch",)}
"""Engines that run a card's format, the default first."""

_DISTRIBUTIONS = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "openvino": ("openvino",), "torch": ("torch",)}
_MOST_IMAGES = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """One way to run a card."""

    engine: str
    """onnxruntime | openvino | torch."""
    precision: str = "f32"
    """f32 | bf16."""
    device: str = "cpu"
    """cpu | cuda | tensorrt."""
    compiled: bool = False
    """Whether torch compiles the model."""
    most_images: int = _MOST_IMAGES
    """Most images of one pass."""
    reason: str = ""
    """Why it was chosen, one sentence."""

    @property
    def key(self) -> tuple[object, ...]:
        """All that makes two loaded engines different."""
        return (self.engine, self.precision, self.device, self.compiled, self.most_images)

    @property
    def label(self) -> str:
        """Write it for people, for example `openvino bf16 cpu`."""
        return " ".join((self.engine, self.precision, self.device, *(["compiled"] if self.compiled else [])))


def choose_engine(card: ModelCard, settings: Settings) -> EngineChoice:
    """Choose the engine of a card.

    Args:
        card: The model.
        settings: `engine` and its companions; the store of the profiles.

    Returns:
        With `engine: auto` the fastest engine of this host's newest profile that agrees with the reference; the
        default engine where there is none. With a named engine that one; a card of a format it cannot run keeps the
        engine of its format.
    """
    default = ENGINES[card.format][0]
    wish = settings.engine
    if wish != "auto" and wish in ENGINES[card.format]:
        # OpenVINO is asked for because of the processor's bf16 units; the others compute as their files say
        own = "bf16" if wish == "openvino" else "f32"
        return _fixed(wish, own, settings, "LABELOP_ENGINE names it")
    if wish != "auto":
        return _fixed(default, "f32", settings, f"LABELOP_ENGINE is {wish}, which cannot run the format {card.format}")
    from labelop.catalog.profile import host_facts, newest_profile  # noqa: PLC0415 - brings the table library
    from labelop.landing.store import open_store  # noqa: PLC0415

    try:
        rows = newest_profile(open_store(settings), card.digest, host_facts().host_id, settings.engine_threads)
    except LandingError as error:
        _log.warning("profiles cannot be read, so the default engine runs: %s", error.message)
        return _fixed(default, "f32", settings, "the profiles cannot be read, so the default runs")
    return pick(rows, settings) or _fixed(default, "f32", settings, _nothing(rows, settings))


def pick(rows: Sequence[Mapping[str, Any]], settings: Settings) -> EngineChoice | None:
    """Pick the fastest usable row of one profile; None when there is none.

    Args:
        rows: Rows of the table `profiles`: one model, host and profile.
        settings: May narrow precision and device.
    """
    usable = [row for row in rows if _usable(row, settings)]
    if not usable:
        return None
    best = min(usable, key=lambda row: (row["image_seconds"], row["engine"], row["images_count"]))
    slowest = [row["image_seconds"] for row in rows if row["reference"] and row["image_seconds"]]
    times = f", {min(slowest) / best['image_seconds']:.2f} times the reference" if slowest else ""
    return EngineChoice(
        best["engine"],
        best["precision"],
        best["device"],
        best["compiled"],
        best["images_count"],
        f"profile {best['profile_set']} measured {1 / best['image_seconds']:.1f} images/s with {best['images_count']} "
        f"in a pass, {best['lanes_count']} side by side{times}; differs by {best['difference']:.4f}, "
        f"at most {best['tolerance']:g} is allowed",
    )


def installed_version(engine: str) -> str | None:
    """Tell the version of an engine's library without importing it; None when it is not installed."""
    for name in _DISTRIBUTIONS[engine]:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _usable(row: Mapping[str, Any], settings: Settings) -> bool:
    return bool(
        row["outcome"] == "measured"
        and row["agrees"]
        # another release may compute differently: what was measured is not what would run
        and row["engine_version"] == installed_version(row["engine"])
        and settings.engine_precision in ("auto", row["precision"])
        and settings.engine_device in ("auto", row["device"])
    )


def _fixed(engine: str, precision: str, settings: Settings, reason: str) -> EngineChoice:
    return EngineChoice(
        engine,
        precision if settings.engine_precision == "auto" else settings.engine_precision,
        "cpu" if settings.engine_device == "auto" else settings.engine_device,
        settings.engine_compile and engine == "torch",
        reason=reason,
    )


def _nothing(rows: Sequence[Mapping[str, Any]], settings: Settings) -> str:
    if not rows:
        return f"no profile of this host with {settings.engine_threads} thread(s), so the default runs"
    return f"profile {rows[0]['profile_set']} has no engine that agrees and may be used here, so the default runs"
