"""`python -m bench`: peers, floor and ours in one run; ratios on the screen, JSON and one plot per table.

Each table is written when it is there, over that of an earlier run: a run that is cut keeps what it has, and `--only`
measures a part anew. `--quick` takes fewer models, rounds and images and stays below five minutes on two cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # every model is built here; nothing is ever looked up

from bench.growth import growth_table
from bench.landing import landing_table
from bench.measure import Pace, machine
from bench.photos import ROOT, SIZES
from bench.pieces import decode_table, matching_table
from bench.plot import plot
from bench.ratios import Table, from_json, merged, summary, to_json, to_markdown
from bench.segmenters import sam2_table, shipped_table
from bench.tables import built, shipped
from labelop.engines.base import close_engines

BUILT = ("resnet50", "rtdetr-r18", "rtdetr-r50", "detr-r50")
SHIPPED = ("cells-small", "parcels-large")


def main() -> int:
    """Run what is asked for."""
    given = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    given.add_argument("--quick", action="store_true", help="fewer models and rounds: below five minutes")
    given.add_argument("--only", nargs="*", default=[], help="tables whose name starts so")
    given.add_argument("--rounds", type=int, help="rounds of all cases; 5, or 3 with --quick")
    given.add_argument("--seconds", type=float, help="about how long a case runs in a round; 1, or 0.3 with --quick")
    given.add_argument("--work", type=Path, default=ROOT / "build/bench", help="where models and photographs are made")
    given.add_argument("--out", type=Path, default=ROOT / "bench/results", help="folder of JSON and plots")
    given.add_argument("--name", help="name of the JSON file; quick or full")
    options = given.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.3 if options.quick else 1.0)
    target = options.out / f"{options.name or ('quick' if options.quick else 'full')}.json"
    options.out.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m bench", *(word for word in sys.argv[1:] if not word.startswith("/"))])
    taken = {"command": command, "machine": machine()}
    started, done = time.perf_counter(), []
    kept = from_json(target.read_text(encoding="utf-8")) if target.exists() else []
    failed: list[str] = []
    for made in _tables(options, failed):
        table = dataclasses.replace(made, taken=taken)
        done.append(table)
        kept = merged(kept, [table])
        _write(target, to_json(kept))
        _write(target.with_name(f"{target.stem}-{table.name}.svg"), plot(table))
        print(f"\n## {table.title} ({time.perf_counter() - started:.0f} s)\n\n{to_markdown(table)}", flush=True)
    print(f"\n## Targets\n\n{summary(done)}\n{len(done)} tables in {time.perf_counter() - started:.0f} s: {target}")
    if failed:
        print("\n".join(["", "Tables that failed:", *failed]), file=sys.stderr)
    return 1 if failed else 0


def _write(path: Path, text: str) -> None:
    """Replace a file in one step: a run cut while it writes leaves the old one."""
    half = path.with_suffix(".half")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def _tables(options: argparse.Namespace, failed: list[str]) -> Iterator[Table]:
    """Make the wanted tables, one at a time, so that only one model's cases are in memory; note those that fail."""
    for name, make in _makers(options):
        if not options.only or any(name.startswith(start) for start in options.only):
            print(f"{name}:", file=sys.stderr, flush=True)
            try:
                table = make()
            except Exception as error:  # noqa: BLE001 - one table less must not cost the time of the others
                traceback.print_exc()
                failed.append(f"{name}: {type(error).__name__}: {error}")
            else:
                yield table
            close_engines()
            gc.collect()


def _makers(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Table]]]:
    quick, pace = options.quick, Pace(options.work, options.rounds, options.seconds, options.quick)
    for size in SIZES:
        yield f"decode-{size}", lambda size=size: decode_table(size, pace.work, pace.rounds, pace.seconds)
    yield "landing", lambda: landing_table(pace.rounds)
    yield "matching", lambda: matching_table(pace.rounds, pace.seconds)
    yield "growth", lambda: growth_table((1_000, 5_000) if quick else (1_000, 10_000, 100_000))
    for name in SHIPPED[:1] if quick else SHIPPED:
        for size in SIZES:
            yield f"{name}-{size}", lambda name=name, size=size: shipped(name, size, pace)
    yield "boxes-to-masks", lambda: shipped_table(pace)
    for name in BUILT[:2] if quick else BUILT:
        # one size is enough to see a detector in the quick form: its input is 640 px whatever the photograph
        for size in list(SIZES)[:1] if quick and name != "resnet50" else SIZES:
            yield f"{name}-{size}", lambda name=name, size=size: built(name, size, pace)
    if not quick:
        yield "sam2-tiny", lambda: sam2_table(pace)


if __name__ == "__main__":
    sys.exit(main())
