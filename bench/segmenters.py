"""The cases of a segmenter: an image and its boxes in, masks out; the sample's model, and SAM2 with random weights.

Boxes are drawn: where they come from is not measured here. Every case gives masks of the photograph's size.
"""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import ours
from bench.engines import BATCH, CORES, cycle, decode_pool, full_decode
from bench.floor import floor_of
from bench.int8 import pictures_of
from bench.measure import Pace, Work, load_now, measure
from bench.photos import ROOT, SIZES, photos
from bench.ratios import Table, Target, explained
from labelop.catalog.cards import ModelCard, load_card
from labelop.engines.base import Engine, features_of
from labelop.engines.masks import read_masks, to_model_frame
from labelop.ingest.decode import decode

OURS = "ours, fastest engine present"
FLOOR = "floor"
BOXES = 8
"""Boxes an image."""

_FLOOR_SAID = (
    "the encoder and decoder passes of the fastest way that counts, and the fastest decode to the model's input; "
    "bringing masks to the photograph's size is no part of it."
)
_JUDGED = 24
_LARGE_PX = 1_000_000
"""An input from which an encoder pass takes one image: two passes of eight of 1024x1024 side by side took 23 GiB."""


def shipped_table(size: str, pace: Pace) -> Table:
    """Measure the sample's segmenter against a plain loop."""
    card = load_card(ROOT / "data/sample/models/boxes-to-masks.yaml")
    ways = ours.open_ways(card, pictures_of(card, pace.work, _JUDGED))
    return _table(card, None, size, pace, ways, ours.listed_only(ways))


def sam2_table(size: str, pace: Pace) -> Table:
    """Measure a SAM2 of the smallest published size against `transformers`."""
    from bench.models import sam2_folder  # noqa: PLC0415 - torch is needed by this table only

    folder = sam2_folder(pace.work / "models")
    card = load_card(folder / "card.yaml")
    said = "Random weights have no answers to judge, so bf16 is measured for its speed only, and counts."
    return _table(card, folder / "hf", size, pace, ours.open_ways(card), [said])


def drawn_boxes(size: tuple[int, int]) -> NDArray[np.float64]:
    """Draw boxes of a tenth to a third of an image, shape (8, 4), xyxy pixels."""
    draw = np.random.default_rng(11)
    low, side = draw.uniform(0, 0.6, (BOXES, 2)), draw.uniform(0.1, 0.33, (BOXES, 2))
    boxes: NDArray[np.float64] = np.concatenate([low, low + side], axis=1) * np.array([*size, *size])
    return boxes


def _table(  # noqa: PLR0917 - two callers, who have all of it
    card: ModelCard, checkpoint: Path | None, pixels: str, pace: Pace, ways: dict[str, ours.Opened], notes: list[str]
) -> Table:
    paths, size = photos(pixels, pace.work), SIZES[pixels]
    cases: dict[str, Work] = {}
    if checkpoint is not None:
        peer = Peer(checkpoint, card, paths, size)
        cases |= {"transformers, all boxes of an image": peer.together, "transformers, box by box": peer.alone}
        cases["transformers bf16, all boxes of an image"] = peer.bf16
    cases["onnxruntime fp32, loop, all boxes of an image"] = plain_segmenter(card, paths, size)
    reference, peers = next(iter(cases)), tuple(cases)
    own = {name: _ours(one.engine, paths, size) for name, one in ways.items()}
    forward = {f"forward, {name}": _forward(one.engine) for name, one in ways.items() if one.refused is None}
    decode = {"decode, simplejpeg scaled": decode_pool(paths, (card.width_px, card.height_px))}
    together = _together(card) * CORES
    steps = dict.fromkeys((*own, *forward), together) | dict.fromkeys(decode, BATCH)
    rates = measure({**cases, **own, **forward, **decode}, pace.rounds, pace.seconds, steps, notes=notes)
    best = ours.fastest_that_counts(ways, rates)
    rates[OURS] = rates[best]
    rates[FLOOR] = floor_of([rates[name] for name in forward if name in rates], [rates[name] for name in decode])
    said = f"{BOXES} drawn boxes an image; our encoder passes take {_together(card)}."
    notes += [f"{said} {OURS}: {best}.", f"{FLOOR}: {_FLOOR_SAID}", f"{load_now().capitalize()}."]
    targets = tuple(Target(OURS, name, 1.0, f"never slower than {name}") for name in peers if name in rates)
    table = Table(f"{card.id}-{pixels}", f"{card.id}, {pixels}", "images/s", reference, rates, targets, tuple(notes))
    if all(verdict.reached for verdict in table.verdicts()):
        return table
    return explained(table, _stages(ways[best].engine, paths, size), CORES)


def _forward(engine: Engine) -> Work:
    """Run the encoder and the decoder alone, on pixels and boxes that lie ready, a pass per core at a time."""
    card = engine.card
    frame, together = (card.width_px, card.height_px), _together(card)
    images = np.random.default_rng(0).integers(0, 255, (together, frame[1], frame[0], 3), dtype=np.uint8)
    boxes = to_model_frame(drawn_boxes(frame), frame, frame)

    def passes(_: int) -> None:
        features = engine.encode(images)
        for index in range(together):
            engine.prompt(features_of(features, index), boxes)

    def work(count: int) -> None:
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(passes, range(-(-count // together))))

    return work


def _together(card: ModelCard) -> int:
    return 1 if card.width_px * card.height_px >= _LARGE_PX else BATCH


def _ours(engine: Engine, paths: list[Path], size: tuple[int, int]) -> Work:
    """Run a pass per core at a time, as the lanes of a worker do: one encoder pass, one decoder call an image."""
    boxes = to_model_frame(drawn_boxes(size), size, (engine.card.width_px, engine.card.height_px))
    together = _together(engine.card)

    def batch(files: list[Path]) -> None:
        features = engine.encode(np.stack([engine.preprocess(decode(path.read_bytes())) for path in files]))
        for index in range(len(files)):
            read_masks(engine.prompt(features_of(features, index), boxes), BOXES, *size)

    def work(count: int) -> None:
        wanted = cycle(paths, count)
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(batch, (wanted[at : at + together] for at in range(0, count, together))))

    return work


def _stages(engine: Engine, paths: list[Path], size: tuple[int, int]) -> dict[str, float]:
    boxes = to_model_frame(drawn_boxes(size), size, (engine.card.width_px, engine.card.height_px))
    pixels = decode(paths[0].read_bytes())
    together = _together(engine.card)
    images = np.stack([engine.preprocess(pixels)] * together)
    features = features_of(engine.encode(images), 0)
    raw = engine.prompt(features, boxes)
    cases: dict[str, Work] = {
        "decode": lambda count: [decode(path.read_bytes()) for path in cycle(paths, count)],
        "stretch": lambda count: [engine.preprocess(pixels) for _ in range(count)],
        "encoder": lambda count: [engine.encode(images) for _ in range(count // together)],
        "decoder": lambda count: [engine.prompt(features, boxes) for _ in range(count)],
        "masks": lambda count: [read_masks(raw, BOXES, *size) for _ in range(count)],
    }
    rates = measure(cases, 3, 0.2, together)
    return {name: 1e3 / statistics.median(found) for name, found in rates.items()}


def plain_segmenter(card: ModelCard, paths: list[Path], size: tuple[int, int]) -> Work:
    """Loop over onnxruntime with Pillow: one image, all its boxes, masks brought to the photograph's size."""
    import onnxruntime  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = CORES
    encoder, decoder = (
        onnxruntime.InferenceSession(str(card.files[role]), options, providers=["CPUExecutionProvider"])
        for role in ("encoder", "decoder")
    )
    frame, names = (card.width_px, card.height_px), list(card.encoder_outputs)
    boxes = to_model_frame(drawn_boxes(size), size, frame)[None]

    def work(count: int) -> None:
        for path in cycle(paths, count):
            features = encoder.run(names, {"images": full_decode(path, frame)[None]})
            [masks] = decoder.run(["masks"], {**dict(zip(names, features, strict=True)), "boxes": boxes})
            for mask in masks[0]:
                np.greater(np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR)), 0)

    return work


class Peer:
    """What a user would write with `transformers`: one image at a time, all its boxes in one call or one by one.

    Args:
        folder: The Hugging Face folder.
        card: The model's input size.
        paths: Photographs.
        size: Width and height of them, pixels.
    """

    def __init__(self, folder: Path, card: ModelCard, paths: list[Path], size: tuple[int, int]) -> None:
        import torch  # noqa: PLC0415
        import transformers  # noqa: PLC0415

        self._torch, self._paths, self._size = torch, paths, size
        torch.set_num_threads(CORES)  # also where the environment asks for fewer
        self._model = transformers.Sam2Model.from_pretrained(folder).eval()
        self._frame = (card.width_px, card.height_px)
        self._boxes = torch.from_numpy(to_model_frame(drawn_boxes(size), size, self._frame))[None]

    def together(self, count: int) -> None:
        """Ask for all boxes of an image at once."""
        for path in cycle(self._paths, count):
            self._masks(path, self._boxes)

    def alone(self, count: int) -> None:
        """Ask box by box, the whole model each time."""
        for path in cycle(self._paths, count):
            for index in range(BOXES):
                self._masks(path, self._boxes[:, index : index + 1])

    def bf16(self, count: int) -> None:
        """Ask for all boxes at once under bf16 autocast."""
        with self._torch.autocast("cpu", self._torch.bfloat16):
            self.together(count)

    def _masks(self, path: Path, boxes: Any) -> None:
        from bench.models import DEVIATION, MEAN  # noqa: PLC0415

        torch = self._torch
        pixels = full_decode(path, self._frame).astype(np.float32) / 255
        normal = ((pixels - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)).transpose(2, 0, 1)[None]
        with torch.inference_mode():
            found = self._model(
                pixel_values=torch.from_numpy(np.ascontiguousarray(normal)), input_boxes=boxes, multimask_output=False
            )
            width, height = self._size
            torch.nn.functional.interpolate(found.pred_masks[0].float(), (height, width), mode="bilinear").gt(0)
