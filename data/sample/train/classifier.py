"""Trains the classifier that tells a parcel's land use from the whole picture."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from PIL import Image

from data.sample.draw import parcels
from data.sample.draw.scene import TRAINING_SEEDS, Pixels

from . import nets, steps

SIDE = 80  # px, width and height of the input
SCENES, STEPS, BATCH, RATE = 2000, 1000, 32, 2e-3


@cache
def _scenes() -> tuple[Pixels, torch.Tensor]:
    pictures, labels = [], []
    for seed in range(TRAINING_SEEDS, TRAINING_SEEDS + SCENES):
        scene = parcels.draw(seed)
        small = Image.fromarray(scene.pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        pictures.append(np.asarray(small))
        labels.append(parcels.LAND_USES.index(scene.extra["land_use"]))
    return np.stack(pictures), torch.tensor(labels)


def _loss(net: torch.nn.Module, step: int) -> torch.Tensor:
    rng = np.random.default_rng([31, step])
    pictures, labels = _scenes()
    chosen = rng.integers(len(pictures), size=BATCH)
    batch = pictures[chosen].astype(np.float32)
    for index in range(BATCH):  # the eight ways to lay a square down
        turned = np.rot90(batch[index], int(rng.integers(4)))
        batch[index] = turned[:, ::-1] if rng.random() < 0.5 else turned
    batch = (batch - 110) * np.exp(rng.normal(0, 0.1, (BATCH, 1, 1, 3))) + 110 + rng.normal(0, 8, (BATCH, 1, 1, 1))
    pixels = torch.from_numpy(np.clip(batch, 0, 255).astype(np.uint8))
    logits = net(pixel_values=nets.inputs(pixels, nets.LIGHT["parcels"])).logits
    return torch.nn.functional.cross_entropy(logits, labels[torch.from_numpy(chosen)], label_smoothing=0.05)


def build() -> torch.nn.Module:
    """The trained classifier, from its checkpoint or trained now."""
    torch.manual_seed(7)
    net = nets.classifier(parcels.LAND_USES)
    return steps.train("parcels-landuse", net, lambda step: _loss(net, step), steps=STEPS, rate=RATE)
