"""How the memory of a worker grows over many images, with an engine that costs nothing.

`python -m tests.faults.growth` lands a plan of 100,000 images in another process, in a store whose manifest has 900,000
rows of another dataset; does its shards one after the other in this one, as a worker would that never ends, and fits a
line through what is resident after each shard. In the end it asks what is left, as a resumed run does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bench import orchestration
from bench.photos import ROOT
from flows.prelabel_batches import prelabel_batches
from labelop.catalog.cards import load_catalog
from labelop.engines.prelabeller import ArmModels
from labelop.landing.store import Store, read
from labelop.prelabel import shard as sharding
from labelop.prelabel.plan import load_plan, pending
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings
from tests.faults.results import kept
from tests.faults.resume_scan import land_manifest

_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
_WARM_SHARE = 0.2
"""Part of the shards that is left out of the line: pools and caches fill once."""


def grow(images: int, shard_batches: int, others: int) -> dict[str, int | float | str]:
    """Prelabel that many images in a store that knows so many others.

    Returns:
        Counts, the memory at begin and end, and the slope of the line in MiB for 10,000 images.
    """
    with tempfile.TemporaryDirectory(prefix="labelop-growth-") as folder:
        settings = load_settings(store=f"{folder}/store")
        store = Store(settings.store)
        arms = {"local": ArmModels(load_catalog(settings.catalog)[orchestration.ENGINES[0]])}
        vars(sharding)["arm_models"] = lambda *_: arms
        vars(sharding)["open_local"] = orchestration._fixed
        given = argparse.Namespace(images=images, batch_images=256, engine="fixed", folder=Path(folder) / "images")
        orchestration._files(given.folder, images, "fixed")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            digest = load_policy(settings.config / "policy.yaml").digest
            pool.submit(land_manifest, store, others, digest).result()
            plan = pool.submit(orchestration._plan, store, settings, arms, given).result()
        os.environ["LABELOP_CONFIG"] = str(ROOT / "data/sample/config")
        done, resident = [], []
        started = time.monotonic()
        for first in range(0, len(plan), shard_batches):
            last = min(first + shard_batches, len(plan)) - 1
            prelabel_batches.fn(plan[0], "onprem", first, last, "cells", settings.store)
            done.append(min(images, (last + 1) * 256))
            resident.append(_resident_mib())
            took = time.monotonic() - started
            sys.stderr.write(f"{done[-1]} of {images} images, {resident[-1]:.0f} MiB resident, {took:.0f} s\n")
        seconds = time.monotonic() - started
        landed = read(store, "prelabels", columns=["image_id"])["image_id"]
        assert len(landed) == len(landed.unique()) == images
        started = time.monotonic()
        assert pending(store, load_plan(store, plan[0]).batches) == []
        scan_seconds = time.monotonic() - started
    warm = int(len(done) * _WARM_SHARE)
    slope = float(np.polyfit(np.array(done[warm:]) / 10_000, resident[warm:], 1)[0])
    return {
        "manifest_rows": images + others,
        "images": images,
        "shards": len(done),
        "mib_after_the_first_shard": round(resident[0], 1),
        "mib_at_the_end": round(resident[-1], 1),
        "mib_at_most": round(max(resident), 1),
        "mib_for_10_000_images": round(slope, 3),
        "ms_an_image": round(1e3 * seconds / images, 2),
        "seconds_of_resume_scan": round(scan_seconds, 2),
    }


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MIB


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--shard-batches", type=int, default=16)
    parser.add_argument("--others", type=int, default=900_000)
    given = parser.parse_args()
    done = "Prelabel many images in one process, in a large store, with an engine that costs nothing."
    with kept("memory-growth", done) as counts:
        counts.update(grow(given.images, given.shard_batches, given.others))
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main()
