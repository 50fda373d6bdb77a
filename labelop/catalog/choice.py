"""Which engine runs a card here, and why: what the operator set, else what was measured here, else the default.

Never a guess: without a measurement on this very machine the default engine runs. Knows no library that runs models.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labelop.catalog.cards import ModelCard
from labelop.engines.ways import WAYS, ways_here
from labelop.errors import LandingError, MissingExtraError, SettingsError
from labelop.settings import Settings

ENGINES: dict[str, tuple[str, ...]] = {"onnx": ("onnxruntime", "openvino"), "huggingface": ("torch",)}
"""Engines that run a card's format, the default first."""

_DISTRIBUTIONS = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "openvino": ("openvino",), "torch": ("torch",)}
MOST_IMAGES = 8
"""Most images of one pass where no profile says otherwise."""
_PASS_PIXELS = MOST_IMAGES * 320 * 256
"""Most input pixels of such a pass: more leave a processor's cache and are slower than image by image."""
_GPU_PASS_PIXELS = MOST_IMAGES * 640 * 640
"""The same on a GPU, which wants full passes; never of a segmenter, whose encoder may take GiB an image."""
_COMPANIONS = "LABELOP_ENGINE, LABELOP_ENGINE_PRECISION and LABELOP_ENGINE_DEVICE have to fit; each may be `auto`."
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
    most_images: int | None = None
    """Most images of one pass; what `pass_images` says when None."""
    reason: str = ""
    """Why it was chosen, one sentence."""
    measured: bool = False
    """Whether its answers were compared with the default engine's on this kind of machine."""

    @property
    def key(self) -> tuple[object, ...]:
        """All that makes two loaded engines different."""
        return (self.engine, self.precision, self.device, self.compiled, self.most_images)

    def images_of(self, card: ModelCard) -> int:
        """Say how many images of a card one pass takes."""
        return self.most_images or pass_images(card, self.device)

    @property
    def label(self) -> str:
        """Write it for people, for example `openvino bf16 cpu`."""
        return " ".join((self.engine, self.precision, self.device, *(["compiled"] if self.compiled else [])))


def pass_images(card: ModelCard, device: str = "cpu") -> int:
    """Say how many images one pass takes at most where nothing was measured; fewer the larger the inputs are.

    Args:
        card: The model; a segmenter of 1024 px gets one image on every device.
        device: cpu | cuda | tensorrt.
    """
    most = _PASS_PIXELS if device == "cpu" or card.task == "segmentation" else _GPU_PASS_PIXELS
    return max(1, min(MOST_IMAGES, most // (card.width_px * card.height_px)))


def choose_engine(card: ModelCard, settings: Settings) -> EngineChoice:
    """Choose the engine of a card.

    Args:
        card: The model.
        settings: `engine` and its companions; the store of the profiles.

    Returns:
        The fastest way measured on this kind of machine, of those that agree with the reference and that engine,
        precision and device leave; else the named engine, or the default one, in f32 unless another precision is
        named. A card of a format the named engine cannot run keeps the engine of its format, with what of precision
        and device this has.

    Raises:
        MissingExtraError: The engine, or the device it was to use, is not here.
        SettingsError: No engine of ours computes as engine, precision and device together say.
    """
    default, wish = ENGINES[card.format][0], settings.engine
    if wish == "auto":
        return _measured(card, default, settings, "")
    _require_fitting(card, wish, settings)
    if wish in ENGINES[card.format]:
        return _measured(card, wish, settings, "LABELOP_ENGINE names it; ")
    # what was said with it was said of the other engine
    here = _here(card, default, "auto" if settings.engine_device == "cpu" else settings.engine_device)
    device = settings.engine_device if settings.engine_device in here else "cpu"
    precision = settings.engine_precision if settings.engine_precision in here[device] else "f32"
    why = f"LABELOP_ENGINE is {wish}, which cannot run the format {card.format}"
    return EngineChoice(default, precision, device, settings.engine_compile and default == "torch", reason=why)


def pick(rows: Sequence[Mapping[str, Any]], settings: Settings) -> EngineChoice | None:
    """Pick the fastest usable figure; None when there is none.

    Args:
        rows: Rows of the table `profiles`: one model and host, one row for each way.
        settings: May narrow engine, precision and device.
    """
    usable = [row for row in rows if _usable(row, settings)]
    if not usable:
        return None
    best = min(usable, key=lambda row: (row["image_seconds"], row["engine"], row["images_count"]))
    references = [
        (row["image_seconds"], row["images_count"])
        for row in rows
        # seconds of two runs on a busy machine make no ratio
        if row["reference"] and row["image_seconds"] and row["profile_set"] == best["profile_set"]
    ]
    times = ""
    if references:
        seconds, count = min(references)
        times = f", {seconds / best['image_seconds']:.2f} times the reference with {count}"
    return EngineChoice(
        best["engine"],
        best["precision"],
        best["device"],
        best["compiled"],
        best["images_count"],
        f"profile {best['profile_set']} measured {1 / best['image_seconds']:.1f} images/s with {best['images_count']} "
        f"in a pass, {best['lanes_count']} side by side{times}; differs by {best['difference']:.4f}, "
        f"at most {best['tolerance']:g} is allowed",
        measured=True,
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
        and settings.engine in ("auto", row["engine"])
        and settings.engine_precision in ("auto", row["precision"])
        and settings.engine_device in ("auto", row["device"])
    )


def _require_fitting(card: ModelCard, engine: str, settings: Settings) -> str:
    """Refuse what an engine can do nowhere; gives the device that was asked for."""
    device = "cpu" if settings.engine_device == "auto" else settings.engine_device
    wish, hint = settings.engine_precision, _COMPANIONS
    if settings.engine == "auto":
        able = [one for one in ENGINES[card.format] if wish in ("auto", *WAYS[one].get(device, ()))]
        hint += " `labelop models profile` measures what `auto` may choose here"
        hint += f"; or set LABELOP_ENGINE to {' or '.join(able)}." if able else "."
    if device not in WAYS[engine]:
        raise SettingsError(
            f"Model {card.id} would run on {engine}, which computes on {', '.join(WAYS[engine])} "
            f"and not on {device}, as LABELOP_ENGINE_DEVICE says.",
            hint=hint,
        )
    if wish not in ("auto", *WAYS[engine][device]):
        raise SettingsError(
            f"Model {card.id} would run on {engine} on {device}, which computes in "
            f"{', '.join(WAYS[engine][device])} and not in {wish}, as LABELOP_ENGINE_PRECISION says.",
            hint=hint,
        )
    return device


def _measured(card: ModelCard, engine: str, settings: Settings, named: str) -> EngineChoice:
    """Choose by what was measured; the engine given, in a precision that needs no proof, where that says nothing."""
    from labelop.catalog.profile import host_facts, newest_figures  # noqa: PLC0415 - brings the table library
    from labelop.landing.store import open_store  # noqa: PLC0415

    try:
        rows = newest_figures(open_store(settings), card.digest, host_facts().host_id, settings.engine_threads)
    except LandingError as error:
        _log.warning("profiles cannot be read, so they do not choose: %s", error.message)
        return _fixed(card, engine, settings, named + "the profiles cannot be read")
    choice = pick(rows, settings)
    if choice is None:
        return _fixed(card, engine, settings, named + _nothing(rows, settings))
    return replace(choice, reason=named + choice.reason)


def _fixed(card: ModelCard, engine: str, settings: Settings, reason: str) -> EngineChoice:
    device, wish = _require_fitting(card, engine, settings), settings.engine_precision
    here = _here(card, engine, device)
    if device not in here or wish not in ("auto", *here[device]):
        what = device if device not in here else f"{device} in {wish}"
        known = ", ".join(f"{one} in {'/'.join(of)}" for one, of in here.items())
        raise MissingExtraError(
            f"Model {card.id} was to run on {what}, the installed {engine} knows {known} here.",
            hint=_COMPANIONS,
        )
    compiled = settings.engine_compile and engine == "torch"
    # less than f32 may change what a model finds: it was measured not to, or is asked for by name
    precision = "f32" if wish == "auto" else wish
    said = "so the default runs" if settings.engine == "auto" else f"so it runs in {precision} on {device}"
    return EngineChoice(engine, precision, device, compiled, reason=f"{reason}, {said}")


def _here(card: ModelCard, engine: str, device: str) -> Mapping[str, tuple[str, ...]]:
    """Tell what an engine can do here; its library is not loaded to hear that it runs on the processor."""
    if installed_version(engine) is None:
        raise MissingExtraError(
            f"Model {card.id} is of format {card.format} and would run on {engine}, which is not installed.",
            hint=f"Install it with: pip install 'labelop[{engine}]'.",
        )
    if engine != "openvino" and device in ("auto", "cpu"):
        return {"cpu": WAYS[engine]["cpu"]}
    return ways_here(engine, card)


def _nothing(rows: Sequence[Mapping[str, Any]], settings: Settings) -> str:
    if not rows:
        return f"no profile of this host with {settings.engine_threads} thread(s)"
    return f"none of the {len(rows)} ways measured on this host agrees and may be used here"
