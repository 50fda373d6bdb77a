"""One table per model and size: peers, ours, the floor, their targets, and where our time goes when one is missed."""

from __future__ import annotations

import statistics
from pathlib import Path

from bench import ours
from bench.engines import BATCH, CORES, INT8, Peers, decode_pool, forward_only, pillow_pool, plain_loop
from bench.int8 import int8_of
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
EXACT = "ours, without int8"
FLOOR = "floor"
EXACT_FLOOR = "floor, without int8"
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
_SPEED_ONLY = (
    "int8: random weights have no answers to judge, so it is measured for its speed only; a trained model runs it "
    "where `labelop models quantize` writes it. The scope is that command's own choice: layers of a classifier, what "
    "convolutions depend on of a detector."
)
_INT8_ENGINE = "openvino"
_PIPELINE_BATCH = {"rt_detr": 3}
_MOST_OF_FLOOR = 1.05
"""Above this share of a floor the floor was measured in a bad moment."""
_FLOOR_SHARE, _DECODE_SHARE = 0.90, 0.85
_RAY_SECONDS = 8.0
_WORKER_BATCH = 256
"""Images of a worker's batch, where the model is quick enough to measure whole ones."""


def shipped(name: str, size: str, pace: Pace) -> Table:
    """Measure a model of the sample against a plain loop and the decode floor."""
    card = load_card(ROOT / f"data/sample/models/{name}.yaml")
    paths = photos(size, pace.work, _WORKER_BATCH)
    cases: dict[str, Work] = {PLAIN: plain_loop(card, paths)}
    int8, refused = int8_of(card, pace.work)
    said = f"would refuse it, as it {refused}: listed only" if refused else "would write it: it counts as ours"
    notes = [f"int8: `labelop models quantize` {said}."]
    return _table(card, int8, size, pace, cases, notes, paths, _WORKER_BATCH, counts=refused is None)


def built(name: str, size: str, pace: Pace) -> Table:
    """Measure a public architecture with random weights against everything a user would write."""
    from bench.models import folder_of  # noqa: PLC0415 - torch is needed by these tables only

    folder, paths = folder_of(name, pace.work / "models"), photos(size, pace.work)
    card = load_card(folder / "card.yaml")
    # of a few images: their ranges change no speed, and a large model takes long
    int8, _ = int8_of(card, pace.work, 4, 1)
    together = _PIPELINE_BATCH.get(card.family, BATCH)
    peers = Peers(folder / "hf", card, paths, together=together)
    cases: dict[str, Work] = {LOOP: peers.loop, LOADER: peers.bf16, PLAIN: plain_loop(card, paths)}
    notes = [_SPEED_ONLY]
    if together != BATCH:
        notes.append(
            f"{BATCHED} {together}: the pipeline takes no more of this family. It cuts a batch by indexing every "
            "output, also the list of feature levels, and ends in an IndexError beyond its length."
        )
    # a detector's input is as large whatever the photograph, and its model is nearly all of the time
    whole = card.task == "classification" or size == next(iter(SIZES))
    if whole:
        cases[f"{BATCHED} {together}"] = peers.batched
    if whole and not pace.quick:
        cases[COMPILED] = peers.compiled
    left = [
        name for name, here in ((BATCHED, whole), (COMPILED, COMPILED in cases), (RAY, COMPILED in cases)) if not here
    ]
    if left:
        notes.append(f"Left out of the {'quick form' if pace.quick else 'larger photographs'}: {'; '.join(left)}.")
    # a worker's two passes side by side: a whole batch of such a model would take minutes
    return _table(card, int8, size, pace, cases, notes, paths, BATCH * CORES, counts=True)


def _table(  # noqa: PLR0917 - two callers, who have all of it
    card: ModelCard,
    int8: ModelCard,
    size: str,
    pace: Pace,
    peers: dict[str, Work],
    notes: list[str],
    paths: list[Path],
    own_step: int,
    *,
    counts: bool,
) -> Table:
    frame = (card.width_px, card.height_px)
    engines: dict[str, Engine] = {}
    for name, one in (*((name, card) for name in ours.ENGINES), (_INT8_ENGINE, int8)):
        opened = ours.open_named(one, name)
        if opened is None:
            notes.append(f"ours, {name}: not installed.")
        else:
            engines[f"ours, {opened.name}" if one is card else f"ours, {name} {INT8}"] = opened
    own = {name: ours.work(engine.card, engine, paths, SIZES[size]) for name, engine in engines.items()}
    forward = forward_only(card, int8)
    decode = {
        "decode, simplejpeg scaled": decode_pool(paths, frame),
        "decode, Pillow scaled": pillow_pool(paths, frame),
    }
    batched = [name for name in (*peers, *own, *decode) if name not in (LOOP, PLAIN)]
    steps = dict.fromkeys((*batched, *(name for name in forward if name.endswith("8"))), BATCH)
    steps |= dict.fromkeys(own, own_step)
    steps |= {name: int(name.rsplit(" ", 1)[1]) for name in peers if name.startswith(BATCHED)}
    cases = {**peers, **own, **forward, **decode}
    MADE.append(cases)
    rates = measure(cases, pace.rounds, pace.seconds, steps, notes=notes)
    if COMPILED in peers:
        _add_ray(card, paths, rates, notes)
    exact = [name for name in own if name in rates and not name.endswith(INT8)]
    judged = {OURS: [name for name in own if name in rates] if counts else exact, EXACT: exact}
    best = {row: max(names, key=lambda name: statistics.median(rates[name])) for row, names in judged.items()}
    rates |= {row: rates[name] for row, name in best.items()}
    fastest = _fastest([rates[name] for name in decode])
    for row, names in {FLOOR: list(forward), EXACT_FLOOR: [name for name in forward if INT8 not in name]}.items():
        # round by round, so that the floor has a spread of its own
        found = _fastest([rates[name] for name in names if name in rates])
        rates[row] = tuple(floor_rate(f, d) for f, d in zip(found, fastest, strict=False))
    rates[DECODE_FLOOR] = fastest
    reference = LOOP if LOOP in peers else PLAIN
    against = tuple(name for name in (*peers, RAY) if name in rates)
    notes += [f"{OURS}: {best[OURS]}. {EXACT}: {best[EXACT]}.", f"{load_now().capitalize()}."]
    targets = _targets(card.id, size, reference, against)
    table = Table(f"{card.id}-{size}", f"{card.id}, {size}", "images/s", reference, rates, targets, tuple(notes))
    if all(verdict.reached for verdict in table.verdicts()):
        return table
    return explained(table, stages(engines[best[OURS]], paths, SIZES[size]), CORES)


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
    # int8 needs a model that bears it: peers are compared with what every model may run
    against_peers = [
        Target(EXACT, name, 1.0, f"{EXACT}: never slower than {name}") for name in peers if name != reference
    ]
    if reference != LOOP:
        return (Target(OURS, DECODE_FLOOR, _DECODE_SHARE, "share of the decode floor", _MOST_OF_FLOOR), *against_peers)
    wanted = _LOOP_TARGETS.get((model, size)) or _LOOP_TARGETS[model]
    return (
        Target(OURS, LOOP, wanted, "times the pipeline loop"),
        Target(EXACT, LOOP, wanted, f"{EXACT}: times the pipeline loop"),
        Target(OURS, FLOOR, _FLOOR_SHARE, "share of the floor", _MOST_OF_FLOOR),
        Target(EXACT, EXACT_FLOOR, _FLOOR_SHARE, f"{EXACT}: share of the floor without it", _MOST_OF_FLOOR),
        *against_peers,
    )
