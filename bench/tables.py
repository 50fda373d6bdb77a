"""One table per model and size: peers, ours, the floor, their targets, and where our time goes when one is missed."""

from __future__ import annotations

import statistics
from pathlib import Path

from bench import ours
from bench.engines import BATCH, CORES, Peers, decode_pool, forward_only, pillow_pool, plain_loop
from bench.measure import Pace, Work, load_now, measure
from bench.photos import ROOT, SIZES, photos
from bench.ratios import Table, Target, explained, floor_rate
from bench.stages import stages
from bench.with_ray import CASE as RAY
from bench.with_ray import ray_case
from labelop.catalog.cards import ModelCard, load_card
from labelop.engines.base import OUTPUTS, Engine

LOOP = "transformers pipeline, loop"
BATCHED = "transformers pipeline, batch"
LOADER = "torch DataLoader bf16, batch 8"
COMPILED = "torch DataLoader bf16 compiled, batch 8"
PLAIN = "onnxruntime fp32, loop"
OURS = "ours, fastest engine present"
FLOOR = "floor"
DECODE_FLOOR = "decode floor"

MADE: list[object] = []
"""Cases of this process, kept as long as it lives: where they were freed after a table of ResNet-50, two runs of two
ended in a segmentation fault. Which library's it is was not found."""

_LOOP_TARGETS = {
    ("resnet50", "640x480"): 14.0,
    ("resnet50", "1920x1080"): 11.0,
    "detr-r50": 13.0,
    "rtdetr-r18": 8.0,
    "rtdetr-r50": 8.0,
}
_LOOP_IMAGES = 3
_PIPELINE_BATCH = {"rt_detr": 3}
_MOST_OF_FLOOR = 1.05
"""Above this share of a floor the floor was measured in a bad moment."""
_FLOOR_SHARE, _DECODE_SHARE = 0.90, 0.85
_RAY_SECONDS = 8.0


def shipped(name: str, size: str, pace: Pace) -> Table:
    """Measure a model of the sample against a plain loop and the decode floor."""
    card = load_card(ROOT / f"data/sample/models/{name}.yaml")
    cases: dict[str, Work] = {PLAIN: plain_loop(card, photos(size, pace.work))}
    return _table(card, size, pace, cases, [])


def built(name: str, size: str, pace: Pace) -> Table:
    """Measure a public architecture with random weights against everything a user would write."""
    from bench.models import folder_of  # noqa: PLC0415 - torch is needed by these tables only

    folder, paths = folder_of(name, pace.work / "models"), photos(size, pace.work)
    card = load_card(folder / "card.yaml")
    together = _PIPELINE_BATCH.get(card.family, BATCH)
    peers = Peers(folder / "hf", card, paths, together)
    cases: dict[str, Work] = {LOOP: peers.loop, f"{BATCHED} {together}": peers.batched, LOADER: peers.bf16}
    notes = ["torch.compile and Ray Data: left out of the quick form."] if pace.quick else []
    if together != BATCH:
        notes.append(
            f"{BATCHED} {together}: the pipeline takes no more of this family. It cuts a batch by indexing every "
            "output, also the list of feature levels, and ends in an IndexError beyond its length."
        )
    cases |= ({} if pace.quick else {COMPILED: peers.compiled}) | {PLAIN: plain_loop(card, paths)}
    return _table(card, size, pace, cases, notes)


def _table(card: ModelCard, size: str, pace: Pace, peers: dict[str, Work], notes: list[str]) -> Table:
    paths, frame = photos(size, pace.work), (card.width_px, card.height_px)
    engines: dict[str, Engine] = {}
    for name in ours.ENGINES:
        opened = ours.open_named(card, name)
        if opened is None:
            notes.append(f"ours, {name}: not installed.")
        else:
            engines[f"ours, {opened.name}"] = opened
    own = {name: ours.work(card, engine, paths, SIZES[size]) for name, engine in engines.items()}
    forward = forward_only(card)
    decode = {
        "decode, simplejpeg scaled": decode_pool(paths, frame),
        "decode, Pillow scaled": pillow_pool(paths, frame),
    }
    alone = (LOOP, PLAIN)
    batched = [name for name in (*peers, *own, *decode) if name not in alone]
    steps = dict.fromkeys((*batched, *(name for name in forward if name.endswith("8"))), BATCH)
    steps |= {name: _LOOP_IMAGES for name in peers if name in alone or name == f"{BATCHED} {_LOOP_IMAGES}"}
    cases = {**peers, **own, **forward, **decode}
    MADE.append(cases)
    rates = measure(cases, pace.rounds, pace.seconds, steps, notes=notes)
    if LOOP in peers and not pace.quick:
        _add_ray(card, paths, rates, notes)
    best = max((name for name in own if name in rates), key=lambda name: statistics.median(rates[name]))
    rates[OURS] = rates[best]
    fastest = [_fastest([rates[name] for name in group if name in rates]) for group in (forward, decode)]
    # round by round, so that the floor has a spread of its own
    rates[FLOOR] = tuple(floor_rate(f, d) for f, d in zip(*fastest, strict=False))
    rates[DECODE_FLOOR] = fastest[1]
    reference = LOOP if LOOP in peers else PLAIN
    against = tuple(name for name in (*peers, RAY) if name in rates)
    notes += [f"{OURS}: {best}.", f"{load_now().capitalize()}."]
    targets = _targets(card.id, size, reference, against)
    table = Table(f"{card.id}-{size}", f"{card.id}, {size}", "images/s", reference, rates, targets, tuple(notes))
    if all(verdict.reached for verdict in table.verdicts()):
        return table
    return explained(table, stages(engines[best], paths, SIZES[size]), CORES)


def _fastest(group: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Give the fastest of each round; slow cases have fewer rounds."""
    longest = max(len(rates) for rates in group)
    return tuple(max(rates[i] for rates in group if i < len(rates)) for i in range(longest))


def _add_ray(card: ModelCard, paths: list[Path], rates: dict[str, tuple[float, ...]], notes: list[str]) -> None:
    count = int(_RAY_SECONDS * max(statistics.median(rates[PLAIN]), 1.0))
    try:
        found = ray_case(card.files["model"], (card.width_px, card.height_px), list(OUTPUTS[card.task]), paths, count)
    except RuntimeError as error:
        notes.append(f"{RAY}: did not run: {error}.")
    else:
        rates[RAY] = tuple(found["rounds"])
        notes.append(
            f"{RAY}: in a process of its own after the others; its first batch came after "
            f"{found['start_seconds']:.1f} s, which the rates leave out."
        )


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
