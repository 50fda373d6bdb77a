"""The training loop all models share: seeded by step, cosine over steps, averaged weights, resumable.

Knows nothing of any task: a task gives a network and a function from step to loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TypeVar

import torch

CHECKPOINTS = Path(__file__).parent / ".checkpoints"
SAVE_EVERY = 200  # steps between two checkpoints
WARM_UP = 30  # steps


def _average(mean: torch.nn.Module, net: torch.nn.Module, step: int, keep: float = 0.998) -> None:
    """Exponential moving average of weights and of BatchNorm statistics; young averages forget faster."""
    part = 1.0 - min(keep, (1 + step) / (10 + step))
    with torch.no_grad():
        for old, new in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.lerp_(new, part)
            else:
                old.copy_(new)


Net = TypeVar("Net", bound=torch.nn.Module)


def train(
    name: str,
    net: Net,
    loss_at: Callable[[int], torch.Tensor],
    *,
    steps: int,
    rate: float,
    seed: int = 7,
) -> Net:
    """Train for a fixed number of steps and return the averaged network in eval mode.

    Args:
        name: of the checkpoint file; a finished or interrupted run under this name is taken up where it stopped.
        net: changed in place.
        loss_at: the loss of one batch; must draw its randomness from the step number and torch's generator.
        steps: optimiser steps in all.
        rate: peak learning rate; falls to 2 % by a cosine.
        seed: of torch's generator, together with the step number.

    """
    CHECKPOINTS.mkdir(exist_ok=True)
    path = CHECKPOINTS / f"{name}.pt"
    mean = deepcopy(net)  # the averaged weights
    plain = [p for p in net.parameters() if p.ndim <= 1]
    heavy = [p for p in net.parameters() if p.ndim > 1]
    groups = [{"params": heavy, "weight_decay": 1e-4}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=rate)
    begin, cpu, wall = 0, 0.0, 0.0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        net.load_state_dict(saved["net"])
        mean.load_state_dict(saved["mean"])
        optimiser.load_state_dict(saved["optimiser"])
        begin, cpu, wall = saved["step"], saved["cpu_seconds"], saved["wall_seconds"]
    cpu_mark, wall_mark, shown = time.process_time() - cpu, time.perf_counter() - wall, 0.0
    net.train()
    for step in range(begin, steps):
        torch.manual_seed(seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = rate * min(1.0, (step + 1) / WARM_UP) * cosine
        loss = loss_at(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimiser.step()
        _average(mean, net, step)
        shown = loss.item() if step == begin else 0.98 * shown + 0.02 * loss.item()
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            cpu, wall = time.process_time() - cpu_mark, time.perf_counter() - wall_mark
            print(f"{name} step {step + 1}/{steps} loss {shown:.3f} wall {wall:.0f} s cpu {cpu:.0f} s", flush=True)
            state = {
                "net": net.state_dict(),
                "mean": mean.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step + 1,
                "cpu_seconds": cpu,
                "wall_seconds": wall,
            }
            torch.save(state, path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
    return mean.eval()
