"""Resident memory of a worker with RT-DETR r50: a fresh process for each engine (`python -m bench.memory`).

The table's figures are MiB and no rates: less is better, and its target is the wanted size over the measured one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from bench.int8 import int8_of
from bench.measure import Pace, peak_mib
from bench.ours import Worker, by_digest, open_named
from bench.photos import ROOT, SIZES, photos
from bench.ratios import Table, Target
from labelop.catalog.cards import load_card
from labelop.engines.prelabeller import ArmModels, with_engines

_MODEL, _SIZE = "rtdetr-r50", "640x480"
_IMAGES, _FIRST = 64, 8
_WANTED_MIB = 1536
_PROCESSES = 2


def memory_table(pace: Pace) -> Table:
    """Run 64 images through every engine, twice, each in a process of its own."""
    from bench.models import folder_of  # noqa: PLC0415 - torch is needed to build only

    card = load_card(folder_of(_MODEL, pace.work / "models") / "card.yaml")
    int8, _ = int8_of(card, pace.work, 4, 1)
    photos(_SIZE, pace.work)
    asked = {
        "onnxruntime f32": (card, "onnxruntime"),
        "openvino": (card, "openvino"),
        "openvino int8": (int8, "openvino"),
    }
    sizes: dict[str, tuple[float, ...]] = {}
    notes, seen = ["Model loaded, 64 images of 640x480 in one batch of the worker, nothing landed."], list[str]()
    for name, (one, engine) in asked.items():
        print(f"  {name}", file=sys.stderr, flush=True)
        found = [_fresh(one.path, engine, pace.work) for _ in range(min(_PROCESSES, pace.rounds))]
        if not all(found):
            notes.append(f"{name}: not installed.")
            continue
        sizes[name] = tuple(run["peak_mib"] for run in found)
        seen.append(
            f"{name}: {found[-1]['start_mib']:.0f} MiB before the model, {found[-1]['first_mib']:.0f} after {_FIRST} "
            f"images, {found[-1]['peak_mib']:.0f} after {_FIRST + _IMAGES}"
        )
    wanted = "wanted: at most 1.5 GiB"
    rates = {**sizes, wanted: (float(_WANTED_MIB),) * pace.rounds}
    targets = tuple(Target(wanted, name, 1.0, f"1.5 GiB over the peak of {name}") for name in sizes)
    table = Table(
        "memory", f"Memory of a worker, {_MODEL}", "MiB, resident peak", wanted, rates, targets, (*notes, *seen)
    )
    return table if all(verdict.reached for verdict in table.verdicts()) else replace(table, why="; ".join(seen) + ".")


def _fresh(card: Path, engine: str, work: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory", str(card), engine, str(work)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Run one engine here and print MiB; an empty object where it is not installed."""
    card = load_card(Path(sys.argv[1]))
    start = peak_mib()
    engine = open_named(card, sys.argv[2])
    if engine is None:
        print("{}")
        return
    worker = Worker(
        with_engines(ArmModels(card), {card.id: engine}), by_digest(photos(_SIZE, Path(sys.argv[3]))), SIZES[_SIZE]
    )
    worker(_FIRST)
    first = peak_mib()
    worker(_IMAGES)
    print(json.dumps({"start_mib": start, "first_mib": first, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
