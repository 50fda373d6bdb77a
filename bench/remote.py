"""What an inference server costs beside the engine in this process: one request of eight images at a time, in turn.

`python -m bench.remote URL ...` with the addresses of running servers; each is measured against the same engine here.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from labelop.catalog.cards import load_catalog
from labelop.egress.audit import AuditLog
from labelop.egress.gate import Gate
from labelop.engines.base import ModelInputs, open_engine
from labelop.engines.payload import decode
from labelop.engines.remote import RemoteEngine
from labelop.engines.samples import load_samples
from labelop.sensitivity.levels import Level
from labelop.settings import load_settings

_IMAGES = 8
_MODEL = "cells-small"
_SAMPLES = Path("data/sample/smears/images")


class _Open:
    """Lets drawn images out."""

    digest = "o" * 64

    def allowed_placements(self, level: Level) -> frozenset[str]:
        return frozenset({"cloud"}) if level is Level.PUBLIC else frozenset()


def main() -> None:
    """Print the median seconds of a request and its ratio to the engine here."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("urls", nargs="+", metavar="URL", help="http:// or grpc:// address of a running server")
    parser.add_argument("--runs", type=int, default=15, help="requests of each, in turn (default: 15)")
    given = parser.parse_args()
    settings = load_settings()
    card = load_catalog(settings.catalog)[_MODEL]
    engine = open_engine(card, settings)
    with tempfile.TemporaryDirectory() as folder:
        gate = Gate(_Open(), AuditLog(Path(folder) / "audit.jsonl"), "cloud")
        sent = [gate.release(one, "i", "public", "bench") for one in load_samples(_SAMPLES, most=_IMAGES)]

        def here() -> object:
            images = np.stack([engine.preprocess(decode(one.payload)) for one in sent])
            return engine.forward(ModelInputs(images))

        cases: dict[str, Callable[[], object]] = {"in this process": here}
        clients = [RemoteEngine(url) for url in given.urls]
        for client in clients:
            cases[client.endpoint] = partial(client.forward, card, sent)
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        for run in range(given.runs + 2):
            for name, case in cases.items():
                started = time.perf_counter()
                case()
                if run > 1:  # the first two open models and connections
                    seconds[name].append(time.perf_counter() - started)
        for client in clients:
            client.close()
    base = statistics.median(seconds["in this process"])
    for name, found in seconds.items():
        median = statistics.median(found)
        print(f"{name:32} {1000 * median:8.1f} ms  {median / base:5.2f} x  {_IMAGES / median:8.1f} images/s")


if __name__ == "__main__":
    main()
