"""Images per second of the worker itself: originals on disk to rows of `prelabels`, ready to land.

Prints one JSON object. Every round runs each case once, in turn, so that a busy machine slows all of them alike; run it
with another checkout first on PYTHONPATH to measure that one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from labelop import ids
from labelop.catalog.cards import load_catalog
from labelop.engines.prelabeller import ArmModels, open_local
from labelop.prelabel.batch import BatchContext, ImageRef, run_batch
from labelop.prelabel.plan import Plan, PlannedBatch
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure and print."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--images", type=Path, default=ROOT.parent / "shared/data/bccd/images")
    given.add_argument("--names", type=Path, default=ROOT.parent / "shared/data/bccd/val.txt")
    given.add_argument("--detector", default="cells-small")
    given.add_argument("--segmenter", default="boxes-to-masks")
    given.add_argument("--rounds", type=int, default=5)
    given.add_argument("--width-px", type=int, default=640, help="what the files' size is said to be")
    given.add_argument("--height-px", type=int, default=480)
    args = given.parse_args()
    settings = load_settings(config=ROOT / "data/sample/config")
    catalog = load_catalog(settings.catalog)
    policy = load_policy(settings.config / "policy.yaml")
    paths = [args.images / f"{name}.jpg" for name in args.names.read_text().split()]
    root = f"file://{args.images.resolve()}"
    refs = {ids.sha256_hex(path.read_bytes()): (path.name, root) for path in paths}
    known = {
        key: ImageRef(key, place, name, args.width_px, args.height_px, "public") for key, (name, place) in refs.items()
    }
    plan = Plan("p", "bccd", "v", ())
    context = BatchContext(plan, known, policy, settings, "r")
    cases = {
        "detector": ArmModels(catalog[args.detector]),
        "detector and segmenter": ArmModels(catalog[args.detector], catalog[args.segmenter]),
    }
    opened = {name: open_local(models, settings) for name, models in cases.items()}
    batch = PlannedBatch("b", "local", "chosen", "onprem", args.detector, 0, tuple(known))
    rates: dict[str, list[float]] = {name: [] for name in cases}
    infer: dict[str, list[float]] = {name: [] for name in cases}
    spent: dict[str, list[float]] = {name: [] for name in cases}
    digests: dict[str, str] = {}
    for number in range(args.rounds + 1):
        for name, prelabeller in opened.items():
            started, cpu = time.perf_counter(), time.process_time()
            result = run_batch(context, batch, prelabeller)
            wall = time.perf_counter() - started
            digests[name] = ids.digest_of(
                [[row["image_id"], row["outcome"], row["predictions"]] for row in result.rows]
            )
            if number:  # the first round warms up
                rates[name].append(len(known) / wall)
                spent[name].append((time.process_time() - cpu) / len(known))
                infer[name].append(result.usage["infer_seconds"] / wall)
    report = {
        name: {
            "images_per_wall_second": round(statistics.median(rates[name]), 1),
            "rounds": [round(rate, 1) for rate in rates[name]],
            "cpu_seconds_per_image": round(statistics.median(spent[name]), 5),
            "infer_share_of_wall": round(statistics.median(infer[name]), 3),
            "rows_digest": digests[name][:16],
        }
        for name in cases
    }
    print(json.dumps({"images": len(known), "cases": report}, indent=2))


if __name__ == "__main__":
    main()
