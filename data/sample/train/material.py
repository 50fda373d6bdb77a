"""Pictures with boxes in the form the detectors learn from, and the random changes made to them.

Knows the painters and BCCD; knows nothing of networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from data.sample.draw import parcels, smears
from data.sample.draw.scene import TRAINING_SEEDS

from . import bccd

SPARE = 1.25  # pictures are kept this much larger than the network's input, so that zooming in stays sharp
PAINTERS: dict[str, ModuleType] = {"smears": smears, "parcels": parcels}


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to learn from."""

    image: Image.Image  # RGB, `SPARE` times the network's input size
    boxes: NDArray[np.float64]  # [n, 4] xyxy as parts of the width and height, 0 to 1
    labels: NDArray[np.int64]  # [n] class index


@dataclass(frozen=True, slots=True)
class Sample:
    """One changed picture, ready for a batch."""

    pixels: NDArray[np.uint8]  # [h, w, 3]
    boxes: NDArray[np.float32]  # [n, 4] cxcywh, 0 to 1
    labels: NDArray[np.int64]  # [n]


def _item(image: Image.Image, boxes: list[tuple[float, ...]], labels: list[int], width: int, height: int) -> Item:
    scale = np.array([image.width, image.height] * 2, dtype=np.float64)
    kept = image.convert("RGB").resize((round(width * SPARE), round(height * SPARE)), Image.Resampling.BILINEAR)
    return Item(kept, np.array(boxes, dtype=np.float64).reshape(-1, 4) / scale, np.array(labels, dtype=np.int64))


def drawn_items(dataset: str, count: int, width: int, height: int) -> list[Item]:
    """Draw `count` fresh scenes from seeds that no shipped picture uses."""
    painter, items = PAINTERS[dataset], []
    for index in range(count):
        text = f"PAT {index:06d} DOB 19{index % 90 + 10}-0{index % 9 + 1}-11" if dataset == "smears" else ""
        seed = TRAINING_SEEDS + index
        scene = painter.draw(seed, text) if text and index % 4 == 0 else painter.draw(seed)
        boxes = [tuple(float(v) for v in one.box) for one in scene.objects]
        labels = [painter.CLASSES.index(one.label) for one in scene.objects]
        items.append(_item(Image.fromarray(scene.pixels), boxes, labels, width, height))
    return items


def bccd_items(width: int, height: int) -> list[Item]:
    """The photographs of BCCD's training part, never those of its val part."""
    items = []
    for photo in bccd.photographs("train"):
        with Image.open(photo.path) as image:
            labels = [smears.CLASSES.index(label) for label in photo.labels]
            items.append(_item(image, list(photo.boxes), labels, width, height))
    return items


def vary(item: Item, width: int, height: int, rng: np.random.Generator, low: float = 0.6) -> Sample:
    """Flip, zoom (`low` to 1.25), shift and re-light a picture; boxes less than 40 % visible are dropped."""
    image, boxes = item.image, item.boxes.copy()
    if rng.random() < 0.5:
        image, boxes = ImageOps.mirror(image), np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], 1)
    if rng.random() < 0.5:
        image, boxes = ImageOps.flip(image), np.stack([boxes[:, 0], 1 - boxes[:, 3], boxes[:, 2], 1 - boxes[:, 1]], 1)
    if image.width == image.height and rng.random() < 0.5:
        image, boxes = image.transpose(Image.Transpose.TRANSPOSE), boxes[:, [1, 0, 3, 2]]
    zoom = np.exp(rng.uniform(np.log(low), np.log(1.25))) * np.exp(rng.normal(0, 0.04, 2))
    spare = 1.0 - zoom  # a zoomed picture is placed anywhere inside (or around) the frame
    shift = np.array([rng.uniform(min(0, s), max(0, s)) for s in spare])
    turn = (image.width / (width * zoom[0]), 0.0, -shift[0] / zoom[0] * image.width)
    drop = (0.0, image.height / (height * zoom[1]), -shift[1] / zoom[1] * image.height)
    fill = tuple(int(v) for v in np.asarray(image)[::16, ::16].reshape(-1, 3).mean(0))
    moved = image.transform(
        (width, height), Image.Transform.AFFINE, (*turn, *drop), Image.Resampling.BILINEAR, fillcolor=fill
    )
    boxes = boxes * np.tile(zoom, 2) + np.tile(shift, 2)
    clipped = boxes.clip(0.0, 1.0)
    sides, before = clipped[:, 2:] - clipped[:, :2], boxes[:, 2:] - boxes[:, :2]
    keep = sides.prod(1) > 0.4 * before.prod(1)
    light = np.asarray(moved, dtype=np.float32)
    middle = light.mean()
    gain = rng.normal(1.0, 0.04, 3) * np.exp(rng.normal(0, 0.15))
    light = (light - middle) * gain + middle * np.exp(rng.normal(0, 0.06)) + rng.normal(0, 4, 3)
    if rng.random() < 0.3:
        light = light + rng.normal(0, rng.uniform(1, 6), light.shape)
    centre = (clipped[:, :2] + clipped[:, 2:]) / 2
    return Sample(
        np.clip(light, 0, 255).astype(np.uint8),
        np.concatenate([centre, sides], 1)[keep].astype(np.float32),
        item.labels[keep],
    )
