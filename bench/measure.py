"""Time cases in turn: a drift of a shared machine then hits all of them alike. Knows no model."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Work = Callable[[int], object]
"""Does the work for so many items."""

_MOST_ITEMS = 1 << 20
_PACKAGES = (
    "numpy",
    "onnxruntime",
    "openvino",
    "torch",
    "transformers",
    "pillow",
    "simplejpeg",
    "pyarrow",
    "deltalake",
)


def measure(
    cases: Mapping[str, Work], rounds: int, seconds: float, steps: Mapping[str, int] | int = 1
) -> dict[str, tuple[float, ...]]:
    """Measure every case once per round, in turn, after a warm-up.

    Args:
        cases: What to time.
        rounds: Rounds of all cases.
        seconds: About how long one case runs in a round; decides the items it gets.
        steps: Items are a multiple of it, so that batches are full; one for all, or by case and else 1.

    Returns:
        Items per second of each round by case.
    """
    counts = {}
    for name, work in cases.items():
        step = steps if isinstance(steps, int) else steps.get(name, 1)
        work(step)  # first use: kernels are chosen, pools and caches filled
        # the better of two: a burst of other work must not leave a case with one item a round
        taken = min(_timed(work, step), _timed(work, step))
        counts[name] = min(_MOST_ITEMS, step * max(1, round(seconds / max(taken, 1e-7))))
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, work in cases.items():
            gc.collect()
            rates[name].append(counts[name] / _timed(work, counts[name]))
    return {name: tuple(found) for name, found in rates.items()}


def load_now() -> str:
    """Say how busy the machine is, for the notes of a table."""
    return f"load average at the end {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def machine() -> dict[str, Any]:
    """Say what the figures were taken on: processor, cores, load, versions."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "instructions": [flag for flag in wanted if flag in flags],
        "load_at_start": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _timed(work: Work, items: int) -> float:
    start = time.perf_counter()
    work(items)
    return time.perf_counter() - start
