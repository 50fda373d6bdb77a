"""Trains the four detectors: a small net first, then the same weights at a higher resolution.

Raising the resolution of trained weights beat training a larger net for the same time; see the README.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from data.sample.draw import parcels, smears

from . import nets, steps
from .material import Item, bccd_items, drawn_items, vary

BATCH = 8


@dataclass(frozen=True, slots=True)
class Stage:
    """One stretch of training at one size."""

    name: str  # names the checkpoint
    width: int  # px
    height: int  # px
    steps: int  # optimiser steps
    rate: float  # peak learning rate
    drawn: int  # pictures of each batch of 8 that are drawn; the others are photographs
    low: float = 0.6  # least zoom


ONTOLOGY = {"cells": smears.CLASSES, "parcels": parcels.CLASSES}
PLANS: dict[str, tuple[Stage, ...]] = {
    "cells-small": (
        Stage("cells-drawn-160", 160, 128, 800, 1e-3, drawn=8),
        Stage("cells-real-160", 160, 128, 2200, 1e-3, drawn=3),
    ),
    "cells-large": (
        Stage("cells-real-256", 256, 192, 1400, 8e-4, drawn=2),
        Stage("cells-real-320", 320, 256, 1200, 6e-4, drawn=2, low=0.7),
    ),
    "parcels-small": (Stage("parcels-128", 128, 128, 2000, 1e-3, drawn=8),),
    "parcels-large": (Stage("parcels-224", 224, 224, 1500, 8e-4, drawn=8),),
}
BEFORE = {"cells-large": "cells-small", "parcels-large": "parcels-small"}  # whose weights a model begins with
SCENES = {"cells": 1200, "parcels": 1500}  # drawn training scenes


@cache
def _drawn(dataset: str, count: int, width: int, height: int) -> tuple[Item, ...]:
    return tuple(drawn_items(dataset, count, width, height))


@cache
def _photographs(width: int, height: int) -> tuple[Item, ...]:
    return tuple(bccd_items(width, height))


def _loss(net: torch.nn.Module, kind: str, stage: Stage) -> Callable[[int], torch.Tensor]:
    def loss_at(step: int) -> torch.Tensor:
        pool = _drawn("smears" if kind == "cells" else kind, SCENES[kind], stage.width, stage.height)
        photos = _photographs(stage.width, stage.height) if stage.drawn < BATCH else ()
        rng = np.random.default_rng([stage.width, step])
        chosen = [pool[i] for i in rng.integers(len(pool), size=stage.drawn)]
        if photos:
            # a new order of all photographs in every pass, so that each is seen equally often
            at = step * (BATCH - stage.drawn) + np.arange(BATCH - stage.drawn)
            orders = {p: np.random.default_rng([5, int(p)]).permutation(len(photos)) for p in set(at // len(photos))}
            chosen += [photos[orders[i // len(photos)][i % len(photos)]] for i in at]
        batch = [vary(item, stage.width, stage.height, rng, stage.low) for item in chosen]
        pixels = torch.from_numpy(np.stack([one.pixels for one in batch]))
        labels = [{"class_labels": torch.from_numpy(one.labels), "boxes": torch.from_numpy(one.boxes)} for one in batch]
        images = nets.inputs(pixels, nets.LIGHT[kind]).contiguous(memory_format=torch.channels_last)
        loss = net(pixel_values=images, labels=labels).loss
        assert isinstance(loss, torch.Tensor)
        return loss

    return loss_at


def build(name: str) -> torch.nn.Module:
    """The trained network of one model, taken from its checkpoints or trained now (with those it begins with)."""
    kind = name.split("-", maxsplit=1)[0]
    if name in BEFORE:
        net = build(BEFORE[name])
    else:
        torch.manual_seed(7)
        net = nets.detector(ONTOLOGY[kind]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for stage in PLANS[name]:
        net = steps.train(stage.name, net, _loss(net, kind, stage), steps=stage.steps, rate=stage.rate)
    return net
