"""`python -m bench`: peers, floor and ours in one run; ratios on the screen, JSON and one plot per table.

Each table is made in a process of its own, so that memory and a crash are its own, and written over that of an earlier
run: a run that is cut keeps what it has, and `--only` measures a part anew. `--quick` takes fewer models, rounds and
images and stays below five minutes on two cores. `--device cuda` makes the tables of a GPU instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import faulthandler
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # every model is built here; nothing is ever looked up

from bench.cost_views import cost_table
from bench.gpu import IMAGES, facts, gpu_table
from bench.growth import commits_table, growth_table
from bench.isolation import isolation_table
from bench.landing import landing_table
from bench.matching import matching_table
from bench.measure import Pace, machine
from bench.memory import memory_table
from bench.photos import ROOT, SIZES
from bench.pieces import decode_table
from bench.plot import plot
from bench.prompts import prompts_table
from bench.ratios import Table, from_json, merged, summary, to_json, to_markdown, wanted
from bench.segmenters import sam2_table, shipped_table
from bench.tables import built, shipped

BUILT = ("resnet50", "rtdetr-r18", "rtdetr-r50", "detr-r50")
SHIPPED = ("cells-small", "cells-large", "parcels-small", "parcels-large", "parcels-landuse")
_SECONDS, _BUILT_SECONDS = 20.0, 100.0


def main() -> int:
    """Run what is asked for."""
    given = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    given.add_argument("--quick", action="store_true", help="fewer models and rounds: below five minutes")
    given.add_argument("--only", nargs="*", default=[], help="tables whose name starts so")
    given.add_argument("--rounds", type=int, help="rounds of all cases; 4, or 3 with --quick")
    given.add_argument("--seconds", type=float, help="about how long a case runs in a round; 0.5, or 0.3 with --quick")
    given.add_argument("--work", type=Path, default=ROOT / "build/bench", help="where models and photographs are made")
    given.add_argument("--out", type=Path, default=ROOT / "bench/results", help="folder of JSON and plots")
    given.add_argument("--name", help="name of the JSON file; quick, full or cuda")
    given.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: the tables of a GPU, no others")
    given.add_argument("--images", type=int, default=IMAGES, help="images of a pass on a GPU")
    given.add_argument("--table", help="one table, in this process; what a run starts for each of its tables")
    options = given.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 4)
    options.seconds = options.seconds or (0.3 if options.quick else 0.5)
    usual = "quick" if options.quick else "full"
    target = options.out / f"{options.name or ('cuda' if options.device == 'cuda' else usual)}.json"
    options.out.mkdir(parents=True, exist_ok=True)
    # a later run finds what torch.compile made; a rate does not depend on it
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(options.work.absolute() / "inductor"))
    if options.table:
        _one(options, target)
    started, failed = time.perf_counter(), []
    try:
        if options.device == "cuda":
            facts()
        names = wanted([name for name, _ in _makers(options)], options.only)
    except ValueError as error:
        given.error(str(error))
    for number, name in enumerate(names):
        done_seconds = time.perf_counter() - started
        left = sum(_about(target, one) for one in names[number:])
        print(
            f"[{number + 1}/{len(names)}] {name}: {done_seconds:.0f} s so far, about {left:.0f} s left", file=sys.stderr
        )
        code = subprocess.run([sys.executable, "-m", "bench", *sys.argv[1:], "--table", name], check=False).returncode
        if code:
            failed.append(f"{name}: exit status {code}")
    done = [table for table in _kept(target) if table.name in names]
    print(f"\n## Targets\n\n{summary(done)}\n{len(names)} tables in {time.perf_counter() - started:.0f} s: {target}")
    if failed:
        print("\n".join(["", "Tables that failed, older figures are kept:", *failed]), file=sys.stderr)
    return 1 if failed else 0


def _about(target: Path, name: str) -> float:
    """Tell how long a table took when it was last made, or about how long it may take."""
    known = next((table.taken.get("seconds") for table in _kept(target) if table.name == name), None)
    return known or (_BUILT_SECONDS if name.startswith((*BUILT, "sam2", "memory")) else _SECONDS)


def _one(options: argparse.Namespace, target: Path) -> NoReturn:
    """Make one table in this process and put it into the result file."""
    faulthandler.enable()
    words = sys.argv[1 : sys.argv.index("--table")]
    # where files lie is this machine's affair
    places = {at for at, word in enumerate(words) if word in ("--work", "--out")}
    kept = (word for at, word in enumerate(words) if at not in places and at - 1 not in places)
    command = " ".join(["python -m bench", *kept])
    host = machine() | (facts() if options.device == "cuda" else {})
    print(f"{options.table}:", file=sys.stderr, flush=True)
    started = time.perf_counter()
    makers = dict(_makers(options))
    made = makers[options.table]()
    seconds = time.perf_counter() - started
    taken = {"command": command, "machine": host, "commit": _commit(), "seconds": round(seconds, 1)}
    table = dataclasses.replace(made, taken=taken)
    _write(target, to_json(merged(_kept(target), [table], list(makers))))
    _write(target.with_name(f"{target.stem}-{table.name}.svg"), plot(table))
    print(f"\n## {table.title} ({seconds:.0f} s)\n\n{to_markdown(table)}", flush=True)
    sys.stderr.flush()
    os._exit(0)  # all is written; see `tables.MADE` for what must not be freed


def _commit() -> str:
    """Name the code measured; empty outside of a checkout."""
    asked = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(asked, cwd=ROOT, check=False, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""


def _kept(target: Path) -> list[Table]:
    return from_json(target.read_text(encoding="utf-8")) if target.exists() else []


def _write(path: Path, text: str) -> None:
    """Replace a file in one step: a run cut while it writes leaves the old one."""
    half = path.with_suffix(".half")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def _makers(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Table]]]:
    quick, pace = options.quick, Pace(options.work, options.rounds, options.seconds, options.quick)
    if options.device == "cuda":
        for size in SIZES:
            yield f"rtdetr-r50-cuda-{size}", partial(gpu_table, size, pace, images=options.images)
        return
    for size in SIZES:
        yield f"decode-{size}", partial(decode_table, size, pace.work, pace.rounds, pace.seconds)
    yield "landing", partial(landing_table, pace.rounds)
    yield "matching", partial(matching_table, pace.rounds, pace.seconds, quick=quick)
    yield "growth", partial(growth_table, (1_000, 5_000) if quick else (1_000, 10_000, 100_000))
    yield "cost_views", partial(cost_table, (100_000,) if quick else (1_000_000, 10_000_000))
    yield "commits", partial(commits_table, (10, 100, 500) if quick else (10, 100, 1_000, 3_000))
    for name in SHIPPED[:1] if quick else SHIPPED:
        for size in SIZES:
            yield f"{name}-{size}", partial(shipped, name, size, pace)
    # one size is enough in the quick form where the model's input is as large whatever the photograph
    some = list(SIZES)[:1] if quick else list(SIZES)
    for size in some:
        yield f"isolation-{size}", partial(isolation_table, size, pace)
        yield f"boxes-to-masks-{size}", partial(shipped_table, size, pace)
        yield f"time-to-mask-{size}", partial(prompts_table, size, pace)
    for name in BUILT[:2] if quick else BUILT:
        for size in SIZES if name == "resnet50" else some:
            yield f"{name}-{size}", partial(built, name, size, pace)
    if not quick:
        yield from ((f"sam2-tiny-{size}", partial(sam2_table, size, pace)) for size in SIZES)
        yield "memory", partial(memory_table, pace)


if __name__ == "__main__":
    sys.exit(main())
