"""Time cases in turn: a drift of a shared machine then hits all of them alike. Knows no model.

Progress goes to standard error, so that a run of minutes shows where it is.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Work = Callable[[int], object]
"""Does the work for so many items."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a table may measure, and where its files are."""

    work: Path
    """Folder of models and photographs, made when they are not there."""
    rounds: int
    """Rounds of all cases."""
    seconds: float
    """About how long a case runs in a round."""
    quick: bool
    """Whether slow peers are left out."""


_MOST_ITEMS = 1 << 20
_CASE_SECONDS = 6.0
"""About the most that one case takes over all rounds of a table; two rounds it gets whatever they take."""
_FEWEST = 2
_SLOW, _SLOW_START = 1.0, 20.0
_SAID = 160
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
    "ray",
)


def measure(
    cases: Mapping[str, Work],
    rounds: int,
    seconds: float,
    steps: Mapping[str, int] | int = 1,
    *,
    notes: list[str] | None = None,
) -> dict[str, tuple[float, ...]]:
    """Measure every case once per round, in turn, after a warm-up.

    A case that needs long for its smallest step takes part in the first rounds only, so that it cannot eat the time of
    a whole run; every case gets two rounds at least where two are asked for. A slow case's use after the warm-up is
    its first round.

    Args:
        cases: What to time.
        rounds: Rounds of all cases.
        seconds: About how long one case runs in a round; decides the items it gets.
        steps: Items are a multiple of it, so that batches are full; one for all, or by case and else 1.
        notes: Takes a sentence about each case that fails, and it is left out then; without it a failure is raised.

    Returns:
        Items per second of each round by case.
    """
    counts: dict[str, int] = {}
    turns: dict[str, int] = {}
    rates: dict[str, list[float]] = {}
    for name, work in cases.items():
        step = steps if isinstance(steps, int) else steps.get(name, 1)
        print(f"  {name}", end="", file=sys.stderr, flush=True)
        try:
            taken = _timed(work, step)  # first use: kernels are chosen, pools and caches filled
        except Exception as error:
            if notes is None:
                raise
            said = " ".join(str(error).split())[:_SAID]
            notes.append(f"{name}: fails with {type(error).__name__}: {said}")
            print(": fails", file=sys.stderr, flush=True)
            continue
        if notes is not None and taken > _SLOW_START:
            notes.append(f"{name}: its first {step} images took {taken:.0f} s (compilation, first use).")
        # a first use that was slow may be a compilation: one more tells
        taken = _timed(work, step)
        if taken < _SLOW:
            # the better of two: a burst of other work must not leave a case with one item a round
            taken = min(taken, _timed(work, step))
        counts[name] = min(_MOST_ITEMS, step * max(1, round(seconds / max(taken, 1e-7))))
        turns[name] = min(rounds, max(_FEWEST, int(_CASE_SECONDS / (taken * counts[name] / step))))
        rates[name] = [step / taken] if taken >= _SLOW and counts[name] == step else []
        print(f": {counts[name]} in a round, {turns[name]} rounds", file=sys.stderr, flush=True)
    for number in range(rounds):
        for name, count in counts.items():
            if number < turns[name] and len(rates[name]) < turns[name]:
                gc.collect()
                rates[name].append(count / _timed(cases[name], count))
    return {name: tuple(found) for name, found in rates.items()}


def peak_mib() -> float:
    """Give the largest resident memory of this process, MiB.

    The kernel's own count of a process that was started by a large one begins with that one's memory, so the line of
    `/proc` is read where there is one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
