"""One table per model and size: peers, ours, the floor, their targets, and where our time goes when one is missed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from bench import ours
from bench.engines import BATCH, CORES, INT8, Peers, decode_pool, forward_only, pillow_pool, plain_loop
from bench.floor import fastest, floor_of
from bench.int8 import int8_of, pictures_of
from bench.measure import Pace, Work, load_now, measure
from bench.photos import ROOT, SIZES, photos
from bench.ratios import Table, Target, explained
from bench.stages import stages
from bench.with_ray import CASE as RAY
from bench.with_ray import ray_case
from labelop.catalog.cards import ModelCard, load_card
from labelop.engines.base import OUTPUTS, ImageArray

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
    "Random weights have no answers to judge, so bf16 and int8 are measured for their speed only, and count; a trained "
    "model runs bf16 where `labelop models profile` finds that it agrees, and int8 where `labelop models quantize` "
    "writes it. int8: the scope is that command's own choice: layers of a classifier, what "
    "convolutions depend on of a detector."
)
_INT8_ENGINE = "openvino"
_PIPELINE_BATCH = {"rt_detr": 3}
_MOST_OF_FLOOR = 1.05
"""Above this share of a floor the floor was measured in a bad moment."""
_FLOOR_SHARE, _DECODE_SHARE = 0.90, 0.85
_JUDGED = 24
"""Pictures by which a shipped model's ways are judged: with 8 a single draft is more than the tolerance."""
_RAY_SECONDS = 8.0
_WORKER_BATCH = 256
"""Images of a worker's batch, where the model is quick enough to measure whole ones."""


def shipped(name: str, size: str, pace: Pace) -> Table:
    """Measure a model of the sample against a plain loop and the decode floor."""
    card = load_card(ROOT / f"data/sample/models/{name}.yaml")
    paths = photos(size, pace.work, _WORKER_BATCH)
    cases: dict[str, Work] = {PLAIN: plain_loop(card, paths)}
    int8, refused = int8_of(card, pace.work)
    pictures = pictures_of(card, pace.work, _JUDGED)
    ways = ours.open_ways(card, pictures) | _int8_way(int8, pictures, refused)
    said = "would refuse it" if refused else "would write it"
    notes = [f"int8: `labelop models quantize` {said}.", *ours.listed_only(ways)]
    return _table(card, int8, size, pace, cases, notes, paths, _WORKER_BATCH, ways)


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
    ways = ours.open_ways(card) | _int8_way(int8)
    return _table(card, int8, size, pace, cases, notes, paths, BATCH * CORES, ways)


def _int8_way(
    int8: ModelCard, pictures: Sequence[ImageArray] = (), refused: str | None = None
) -> dict[str, ours.Opened]:
    """Open the int8 model on the engine that is quick with it, in the fastest precision that counts."""
    of_engine = [one for name, one in ours.open_ways(int8, pictures).items() if _INT8_ENGINE in name]
    counting = [one for one in of_engine if one.refused is None] or of_engine
    return {f"ours, {_INT8_ENGINE} {INT8}": ours.Opened(one.engine, refused or one.refused) for one in counting[-1:]}


def _table(  # noqa: PLR0917 - two callers, who have all of it
    card: ModelCard,
    int8: ModelCard,
    size: str,
    pace: Pace,
    peers: dict[str, Work],
    notes: list[str],
    paths: list[Path],
    own_step: int,
    ways: dict[str, ours.Opened],
) -> Table:
    frame = (card.width_px, card.height_px)
    notes += [f"{name}: not installed." for name in ours.ENGINES if not any(name in way for way in ways)]
    own = {name: ours.work(one.engine.card, one.engine, paths, SIZES[size]) for name, one in ways.items()}
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
    exact = {name: one for name, one in ways.items() if not name.endswith(INT8)}
    best = {row: ours.fastest_that_counts(some, rates) for row, some in ((OURS, ways), (EXACT, exact))}
    rates |= {row: rates[name] for row, name in best.items()}
    decoded = [rates[name] for name in decode]
    for row, names in {FLOOR: list(forward), EXACT_FLOOR: [name for name in forward if INT8 not in name]}.items():
        rates[row] = floor_of([rates[name] for name in names if name in rates], decoded)
    rates[DECODE_FLOOR] = fastest(decoded)
    reference = LOOP if LOOP in peers else PLAIN
    against = tuple(name for name in (*peers, RAY) if name in rates)
    notes += [f"{OURS}: {best[OURS]}. {EXACT}: {best[EXACT]}.", f"{load_now().capitalize()}."]
    targets = _targets(card.id, size, reference, against)
    table = Table(f"{card.id}-{size}", f"{card.id}, {size}", "images/s", reference, rates, targets, tuple(notes))
    if all(verdict.reached for verdict in table.verdicts()):
        return table
    return explained(table, stages(ways[best[OURS]].engine, paths, SIZES[size]), CORES)


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
