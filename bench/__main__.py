"""`python -m bench`: peers, floor and ours in one run; ratios on the screen, JSON and one plot per table.

`--quick` takes fewer models, rounds and images and stays below five minutes on two busy cores.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # every model is built here; nothing is ever looked up

from bench import ours
from bench.engines import BATCH, Peers, decode_pool, forward_only, pillow_pool, plain_loop
from bench.growth import growth_table
from bench.measure import Work, load_now, machine, measure
from bench.photos import ROOT, SIZES, photos
from bench.pieces import decode_table, landing_table, matching_table
from bench.plot import plot
from bench.ratios import Table, Target, floor_rate, to_json, to_markdown
from labelop.catalog.cards import ModelCard, load_card
from labelop.engines.base import close_engines

LOOP = "transformers pipeline, loop"
PLAIN = "onnxruntime fp32, loop"
OURS = "ours, fastest engine present"
FLOOR = "floor"
DECODE_FLOOR = "decode floor"
BUILT = ("resnet50", "rtdetr-r18", "rtdetr-r50", "detr-r50")
SHIPPED = ("cells-small", "parcels-large")
_LOOP_TARGETS = {
    ("resnet50", "640x480"): 14.0,
    ("resnet50", "1920x1080"): 11.0,
    "detr-r50": 13.0,
    "rtdetr-r18": 8.0,
    "rtdetr-r50": 8.0,
}
_LOOP_IMAGES = 3
_MOST_OF_FLOOR = 1.05
"""Above this share of a floor the floor was measured in a bad moment."""
_FLOOR_SHARE, _DECODE_SHARE = 0.90, 0.85


def main() -> int:
    """Run what is asked for."""
    given = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    given.add_argument("--quick", action="store_true", help="fewer models and rounds: below five minutes")
    given.add_argument("--only", nargs="*", default=[], help="tables whose name starts so")
    given.add_argument("--rounds", type=int, help="rounds of all cases; 5, or 3 with --quick")
    given.add_argument("--seconds", type=float, help="about how long a case runs in a round; 2, or 0.35 with --quick")
    given.add_argument("--work", type=Path, default=ROOT / "build/bench", help="where models and photographs are made")
    given.add_argument("--out", type=Path, default=ROOT / "bench/results", help="folder of JSON and plots")
    given.add_argument("--name", help="name of the JSON file; quick or full")
    given.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = given.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.35 if options.quick else 2.0)
    name = options.name or ("quick" if options.quick else "full")
    host = machine()
    started = time.perf_counter()
    tables = []
    for table in _tables(options):
        tables.append(table)
        print(f"\n## {table.title}\n\n{to_markdown(table)}", flush=True)
        gc.collect()
    options.out.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m bench", *(word for word in sys.argv[1:] if not word.startswith("/"))])
    (options.out / f"{name}.json").write_text(to_json(tables, host, command), encoding="utf-8")
    for table in tables:
        (options.out / f"{name}-{table.name}.svg").write_text(plot(table), encoding="utf-8")
    print(f"{len(tables)} tables in {time.perf_counter() - started:.0f} s: {options.out / name}.json")
    return 0


def _tables(options: argparse.Namespace) -> Iterator[Table]:
    """Make the wanted tables, one at a time, so that only one model's cases are in memory."""
    for name, make in _makers(options):
        if not options.only or any(name.startswith(start) for start in options.only):
            yield make()
            close_engines()


def _makers(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Table]]]:
    rounds, seconds, work = options.rounds, options.seconds, options.work
    for size in SIZES:
        yield f"decode-{size}", lambda size=size: decode_table(size, work, rounds, seconds)
    yield "landing", lambda: landing_table(work, rounds, seconds)
    yield "matching", lambda: matching_table(rounds, seconds)
    yield "growth", lambda: growth_table((1_000, 5_000) if options.quick else (1_000, 10_000, 100_000))
    for name in SHIPPED[:1] if options.quick else SHIPPED:
        for size in SIZES:
            yield f"{name}-{size}", lambda name=name, size=size: _shipped(name, size, options)
    for name in BUILT[:2] if options.quick else BUILT:
        # one size is enough to see a detector in the quick form: its input is 640 px whatever the photograph
        for size in list(SIZES)[:1] if options.quick and name != "resnet50" else SIZES:
            yield f"{name}-{size}", lambda name=name, size=size: _built(name, size, options)


def _shipped(name: str, size: str, options: argparse.Namespace) -> Table:
    return _model_table(load_card(ROOT / f"data/sample/models/{name}.yaml"), None, size, options)


def _built(name: str, size: str, options: argparse.Namespace) -> Table:
    from bench.models import folder_of  # noqa: PLC0415 - torch is needed by these tables only

    folder = folder_of(name, options.work / "models")
    return _model_table(load_card(folder / "card.yaml"), folder / "hf", size, options)


def _model_table(card: ModelCard, checkpoint: Path | None, size: str, options: argparse.Namespace) -> Table:
    paths = photos(size, options.work)
    frame = (card.width_px, card.height_px)
    cases: dict[str, Work] = {}
    notes = []
    if checkpoint is not None:
        peers = Peers(checkpoint, card, paths)
        cases |= {
            LOOP: peers.loop,
            "transformers pipeline, batch 8": peers.batched,
            "torch DataLoader bf16, batch 8": peers.bf16,
        }
        if not (options.quick or options.no_compile):
            cases["torch DataLoader bf16 compiled, batch 8"] = peers.compiled
        else:
            notes.append("torch.compile: left out of this run.")
    cases[PLAIN] = plain_loop(card, paths)
    cases = _usable(cases, notes)
    peer_names = tuple(cases)
    own = {}
    for engine in ours.ENGINES:
        opened = ours.open_named(card, engine)
        if opened is None:
            notes.append(f"ours, {engine}: not in this version or environment.")
            continue
        own[f"ours, {opened.name}"] = ours.work(card, opened, paths, SIZES[size])
    forward = forward_only(card)
    decode = {
        "decode, simplejpeg scaled": decode_pool(paths, frame),
        "decode, Pillow scaled": pillow_pool(paths, frame),
    }
    batched = [name for name in cases if name not in (LOOP, PLAIN)] + list(own)
    steps = dict.fromkeys((*batched, *(name for name in forward if name.endswith("8")), *decode), BATCH)
    steps |= dict.fromkeys((LOOP, PLAIN), _LOOP_IMAGES)
    rates = measure({**cases, **own, **forward, **decode}, options.rounds, options.seconds, steps)
    best = max(own, key=lambda name: sorted(rates[name])[len(rates[name]) // 2])
    rates[OURS] = rates[best]
    # round by round, so that the floor has a spread of its own
    numbers = range(options.rounds)
    fastest = [tuple(max(rates[name][i] for name in group) for i in numbers) for group in (forward, decode)]
    rates[FLOOR] = tuple(floor_rate(f, d) for f, d in zip(*fastest, strict=True))
    rates[DECODE_FLOOR] = fastest[1]
    notes += [f"{OURS}: {best}.", f"{load_now().capitalize()}."]
    reference = LOOP if checkpoint is not None else PLAIN
    targets = _targets(card.id, size, reference, peer_names)
    return Table(f"{card.id}-{size}", f"{card.id}, {size}", "images/s", reference, rates, targets, tuple(notes))


def _usable(cases: dict[str, Work], notes: list[str]) -> dict[str, Work]:
    """Leave out the peers that fail by themselves, and say so."""
    kept = {}
    for name, work in cases.items():
        try:
            work(BATCH if name not in (LOOP, PLAIN) else 1)
        except Exception as error:  # noqa: BLE001 - foreign code fails with any class; the note names it
            notes.append(f"{name}: fails with {type(error).__name__}: {' '.join(str(error).split())[:120]}.")
        else:
            kept[name] = work
    return kept


def _targets(model: str, size: str, reference: str, peers: tuple[str, ...]) -> tuple[Target, ...]:
    against_peers = [Target(OURS, name, 1.0, f"never slower than {name}") for name in peers if name != reference]
    if reference != LOOP:
        return (Target(OURS, DECODE_FLOOR, _DECODE_SHARE, "share of the decode floor", _MOST_OF_FLOOR), *against_peers)
    wanted = _LOOP_TARGETS.get((model, size)) or _LOOP_TARGETS[model]
    return (
        Target(OURS, LOOP, wanted, "times the pipeline loop"),
        Target(OURS, FLOOR, _FLOOR_SHARE, "share of the floor", _MOST_OF_FLOOR),
        *against_peers,
    )


if __name__ == "__main__":
    sys.exit(main())
