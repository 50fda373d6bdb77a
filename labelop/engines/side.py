"""How many forward passes run side by side: what the worker's pipeline does, and engines and measurements must know.

Knows no engine and no pipeline.
"""

from __future__ import annotations

import os

_MOST_LANES = 8


def cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lanes_of(engine_threads: int, most: int | None = None) -> int:
    """Say how many forward passes run side by side.

    Engines of one thread fill the cores best by one pass per core. Where one engine takes all cores, a second pass
    still prepares and reads while the first computes.

    Args:
        engine_threads: Threads of one forward pass.
        most: What the prelabeller allows; None for no bound of its own.
    """
    wanted = min(_MOST_LANES, max(min(2, cores()), cores() // max(1, engine_threads)))
    return wanted if most is None else max(1, min(wanted, most))


def streams_of(engine_threads: int) -> int:
    """Say how many of these passes can compute at the same time, each with its own threads; at least 1."""
    return max(1, min(lanes_of(engine_threads), cores() // max(1, engine_threads)))
