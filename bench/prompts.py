"""Time to mask: from a click or a box in the editor to the brush's run lengths, for a new image and a known one.

What the ML backend does for a request, without HTTP and the editor. A new image is read, checked against its id,
decoded and encoded first.
"""

from __future__ import annotations

import itertools
import statistics
from functools import partial

import numpy as np

from bench.measure import Pace, Work, load_now, measure
from bench.photos import ROOT, SIZES, photos
from bench.ratios import Table
from labelop.catalog.cards import load_card
from labelop.engines.base import open_engine
from labelop.engines.embeddings import EmbeddingCache
from labelop.engines.prompted import Clicks, Prompter
from labelop.geometry import Box
from labelop.ids import sha256_hex
from labelop.ingest.originals import read_pixels
from labelop.review import brush
from labelop.settings import load_settings

_PROMPTS = 64


def prompts_table(size: str, pace: Pace) -> Table:
    """Measure the sample's segmenter as the backend uses it."""
    card = load_card(ROOT / "data/sample/models/boxes-to-masks.yaml")
    settings = load_settings(store=str(pace.work / "prompts-store"))
    engine = open_engine(card, settings)
    new, known = Prompter(engine, EmbeddingCache(most_bytes=0)), Prompter(engine, EmbeddingCache())
    images = [(sha256_hex(path.read_bytes()), path) for path in photos(size, pace.work)]
    width, height = SIZES[size]
    draw = np.random.default_rng(5)
    places = (draw.uniform(0.3, 0.7, (_PROMPTS, 2)) * (width, height)).tolist()
    half = 0.08 * min(width, height)
    prompts: dict[str, list[Box | Clicks]] = {
        "box": [Box(x - half, y - half, x + half, y + half) for x, y in places],
        "click": [Clicks(((x, y),)) for x, y in places],
        "three clicks": [Clicks(((x, y), (x + half / 2, y)), ((x, y + half),)) for x, y in places],
    }

    def asking(prompter: Prompter, some: list[Box | Clicks]) -> Work:
        turns = itertools.cycle(list(zip(itertools.cycle(images), some)))

        def work(count: int) -> None:
            for (image_id, path), prompt in itertools.islice(turns, count):
                pixels = partial(read_pixels, image_id, str(path.parent.absolute()), path.name, settings)
                found = prompter.mask(image_id, (width, height), prompt, pixels)
                if found is not None:
                    brush.encode(brush.from_counts(found.counts, width, height))

        return work

    cases = {f"new image, {name}": asking(new, some) for name, some in prompts.items()}
    cases |= {f"known image, {name}": asking(known, some) for name, some in prompts.items()}
    rates = measure(cases, pace.rounds, pace.seconds, _PROMPTS)
    said = "; ".join(f"{name} {1e3 / statistics.median(found):.1f}" for name, found in rates.items())
    notes = (f"Milliseconds to the mask, {engine.name}: {said}.", f"{load_now().capitalize()}.")
    return Table(f"time-to-mask-{size}", f"Time to mask, {size}", "masks/s", "new image, click", rates, notes=notes)
