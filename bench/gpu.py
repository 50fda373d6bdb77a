"""The table of a GPU: peers, our worker, the pure forward rate, and decoding beside it (`make bench-gpu`).

Nothing of it has run on a GPU yet; docs/gpu.md says what that leaves open.
"""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench.engines import BATCH, CORES, Peers, cycle, decode_pool, pillow_pool
from bench.measure import Pace, Work, load_now, measure
from bench.ours import Worker, by_digest
from bench.photos import SIZES, photos
from bench.ratios import Table, Target
from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import EngineChoice
from labelop.engines.base import load_engine
from labelop.engines.prelabeller import ArmModels, with_engines
from labelop.ingest.decoders import decoders

IMAGES = 64
"""Images of a pass where nobody says otherwise."""
_MODEL = "rtdetr-r50"
_LOOP, _BATCHED = "transformers pipeline, loop", "transformers pipeline, batch 3"
_OURS, _EAGER = "ours, torch bf16 compiled", "ours, torch bf16"
_BEST, _DECODE = "best pure forward", "decode, ours in child processes"
_OF_LOOP, _OF_FORWARD, _MOST = 5.0, 0.80, 1.05
_BATCHES = 4
"""Passes in a batch of the worker."""


def facts() -> dict[str, str]:
    """Name the GPU and the release of CUDA.

    Raises:
        ValueError: torch is not here or finds no GPU.
    """
    try:
        import torch  # noqa: PLC0415 - heavy
    except ImportError as error:
        raise ValueError("torch is not installed, and the tables of a GPU need it") from error
    if not torch.cuda.is_available():
        raise ValueError(
            f"torch {torch.__version__} finds no GPU here, so there is nothing to measure; see docs/gpu.md"
        )
    return {"gpu": torch.cuda.get_device_name(0), "cuda": str(torch.version.cuda)}


def gpu_table(size: str, pace: Pace, device: str = "cuda", images: int = IMAGES) -> Table:
    """Measure RT-DETR r50 on a device.

    Args:
        size: Of the photographs, a key of `SIZES`.
        pace: How long, and where files are.
        device: cuda; cpu shows that the table runs, its figures mean nothing.
        images: Images of a pass.
    """
    from bench.models import checkpoint_card, folder_of  # noqa: PLC0415 - torch is needed by this table only

    folder = folder_of(_MODEL, pace.work / "models")
    card, paths = checkpoint_card(folder), photos(size, pace.work, _BATCHES * images)
    frame = (card.width_px, card.height_px)
    peers = Peers(folder / "hf", card, paths, together=3, device=device, batch=images)
    cases: dict[str, Work] = {_LOOP: peers.loop, _BATCHED: peers.batched}
    loader = f"torch DataLoader bf16, batch {images}"
    cases |= {loader: peers.bf16, f"{loader}, compiled": peers.compiled}
    against = list(cases)
    for name, compiled in ((_EAGER, False), (_OURS, True)):
        engine = load_engine(card, 1, EngineChoice("torch", "bf16", device, compiled, images))
        cases[name] = Worker(with_engines(ArmModels(card), {card.id: engine}), by_digest(paths), SIZES[size])
    forward = _forward(folder / "hf", card, device, images)
    cases |= forward
    cases |= {_DECODE: _children(card, paths), "decode, simplejpeg scaled": decode_pool(paths, frame)}
    cases |= {"decode, Pillow scaled": pillow_pool(paths, frame)}
    if device == "cuda":
        cases["decode, nvJPEG through torchvision"] = _nvjpeg(paths, frame)
    steps = dict.fromkeys(cases, images) | {_LOOP: 1, _BATCHED: 3, _EAGER: len(paths), _OURS: len(paths)}
    notes = [
        f"A pass takes {images} images, a batch of the worker {len(paths)}; {CORES} cores decode.",
        "Pure forward: normalised pixels lie on the device, answers stay there.",
    ]
    rates = measure(cases, pace.rounds, pace.seconds, steps, notes=notes)
    if best := [name for name in forward if name in rates]:
        fastest = max(best, key=lambda name: statistics.median(rates[name]))
        rates[_BEST] = rates[fastest]
        notes.append(f"{_BEST}: {fastest}.")
    notes.append(f"{load_now().capitalize()}.")
    targets = (
        Target(_OURS, _LOOP, _OF_LOOP, "times the pipeline loop"),
        Target(_OURS, _BEST, _OF_FORWARD, "share of the best pure forward rate", _MOST),
        Target(_DECODE, _BEST, 1.0, "decoding does not starve it"),
        *(Target(_OURS, name, 1.0, f"never slower than {name}") for name in against[1:]),
    )
    name = f"{_MODEL}-{device}-{size}"
    return Table(name, f"{_MODEL} on {device}, {size}", "images/s", _LOOP, rates, targets, tuple(notes))


def _forward(folder: Path, card: ModelCard, device: str, images: int) -> dict[str, Work]:
    """Run pure inference in the ways that may be the fastest; a way that fails is left out by `measure`."""
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    model = transformers.AutoModelForObjectDetection.from_pretrained(folder).eval().to(device)
    model = model.to(memory_format=torch.channels_last)
    pixels = torch.rand(images, 3, card.height_px, card.width_px, device=device)
    pixels = pixels.contiguous(memory_format=torch.channels_last)

    def way(mode: str | None) -> Work:
        run: Any = model if mode is None else torch.compile(model, dynamic=False, mode=mode)

        def work(count: int) -> None:
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
                for _ in range(count // images):
                    run(pixel_values=pixels)
            if device == "cuda":
                torch.cuda.synchronize()

        return work

    modes = {"bf16": None, "bf16 compiled": "default", "bf16 compiled, CUDA graphs": "reduce-overhead"}
    return {f"forward, torch {name}, batch {images}": way(mode) for name, mode in modes.items()}


def _children(card: ModelCard, paths: list[Path]) -> Work:
    """Decode as a worker does: in child processes with limits, to the model's frame."""
    frame = ArmModels(card).frame(stretched=True)

    def work(count: int) -> None:
        with ThreadPoolExecutor(CORES) as pool:
            for _ in pool.map(lambda path: decoders().decode_for(path.read_bytes(), frame), cycle(paths, count)):
                pass

    return work


def _nvjpeg(paths: list[Path], size: tuple[int, int]) -> Work:
    """Decode and stretch on the GPU, which the product does not: docs/gpu.md says why."""

    def work(count: int) -> None:
        import torch  # noqa: PLC0415
        from torchvision.io import decode_jpeg  # noqa: PLC0415 - named in no extra; the row says when it is away

        wanted = cycle(paths, count)
        for at in range(0, count, BATCH):
            data = [torch.from_numpy(np.fromfile(path, np.uint8)) for path in wanted[at : at + BATCH]]
            for image in decode_jpeg(data, device="cuda"):
                torch.nn.functional.interpolate(image[None].float(), size[::-1], mode="bilinear", antialias=True)
        torch.cuda.synchronize()

    return work
