"""What Prefect costs per image: the same shards as plain function calls and as flow runs against a real local server.

Each run is a process of its own with a store of its own, in turn: `python -m bench.orchestration --images 10000`.
Planning is not counted; the process' end is, since Prefect sends its last logs and events there. Wall time says what
one waits; processor time, of the process and of the server, says it also on a busy machine. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image

from bench.photos import PHOTOGRAPHS, ROOT, SAMPLE
from deployments.stack import free_port
from flows.prelabel_batches import prelabel_batches
from labelop.catalog.cards import load_catalog
from labelop.engines.fixed import FixedEngine
from labelop.engines.prelabeller import ArmModels, Prelabeller, with_engines
from labelop.ids import sha256_hex
from labelop.landing.store import Store, land
from labelop.prelabel import shard as sharding
from labelop.prelabel.plan import plan_dataset
from labelop.schemas import table, utc_now
from labelop.sensitivity.policy import load_policy
from labelop.settings import Settings, load_settings

WAYS = ("embedded", "flow")
ENGINES = ("cells-small", "fixed")

_DATASET = {"dataset": "bench", "dataset_version": "v-1"}
_DRAWN_PX = (48, 32)
_START_SECONDS = 180.0


def main() -> None:
    """Measure every way in turn and print, or, with `--way`, run one way once."""
    given = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    given.add_argument("--images", type=int, default=10_000)
    given.add_argument("--batch-images", type=int, default=256)
    given.add_argument("--shard-batches", type=int, default=0, help="batches of a shard; all in one when 0")
    given.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    given.add_argument("--rounds", type=int, default=1)
    given.add_argument("--folder", type=Path, help="where the image files are kept; a temporary folder when left out")
    given.add_argument("--way", choices=WAYS, help="for the inner process")
    args = given.parse_args()
    if args.way:
        print(json.dumps(_shards(args)), flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="labelop-orchestration-", dir=_build()) as folder:
        args.folder = args.folder or Path(folder)
        _files(args.folder, args.images, args.engine)
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        with _server(Path(folder)) as (api, pid):
            for _ in range(args.rounds):
                for way in WAYS:
                    found[way].append(_run(args, way, api, pid))
    print(json.dumps({"images": args.images, "engine": args.engine, **_said(found, args.images)}, indent=2))


def _said(found: dict[str, list[dict[str, float]]], images: int) -> dict[str, Any]:
    middle = {way: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for way, runs in found.items()}
    plain, flow = middle["embedded"], middle["flow"]
    spent = flow["cpu_seconds"] + flow["server_cpu_seconds"] - plain["cpu_seconds"]
    return {
        "overhead_ms_per_image": round(1e3 * (flow["seconds"] - plain["seconds"]) / images, 4),
        "overhead_share": round(flow["seconds"] / plain["seconds"] - 1, 4),
        "overhead_cpu_ms_per_image": round(1e3 * spent / images, 4),
        "overhead_cpu_share": round(spent / plain["cpu_seconds"], 4),
        "load": [round(value, 2) for value in os.getloadavg()],
        "runs": found,
    }


def _run(args: argparse.Namespace, way: str, api: str, server: int) -> dict[str, float]:
    """Run one way in a process of its own; its seconds go on until it has ended."""
    inner = ["--images", str(args.images), "--batch-images", str(args.batch_images), "--engine", args.engine]
    inner += ["--shard-batches", str(args.shard_batches), "--folder", str(args.folder), "--way", way]
    before = _cpu_seconds(server)
    # the flows made this process quiet when they were imported
    environment = {**os.environ, "PREFECT_API_URL": api, "PREFECT_LOGGING_TO_CONSOLE_LEVEL": "WARNING"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.orchestration", *inner],
        cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    ended = time.monotonic()
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    found["seconds"] = ended - found.pop("started")
    found["server_cpu_seconds"] = _cpu_seconds(server) - before
    return {key: round(value, 3) for key, value in found.items()}


def _shards(args: argparse.Namespace) -> dict[str, float]:
    """Prelabel everything as shards of one placement; gives when the work began and what it took."""
    with tempfile.TemporaryDirectory(prefix="labelop-orchestration-", dir=_build()) as folder:
        settings = load_settings(store=f"{folder}/store", config=ROOT / "data/sample/config")
        store = Store(settings.store)
        model = ENGINES[0]
        arms = {"local": ArmModels(load_catalog(settings.catalog)[model])}
        vars(sharding)["arm_models"] = lambda *_: arms
        if args.engine == "fixed":
            vars(sharding)["open_local"] = _fixed
        # whoever plans is another process than a worker: what that took is no memory of the worker's
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            plan = pool.submit(_plan, store, settings, arms, args).result()
        step = args.shard_batches or len(plan)
        run = prelabel_batches if args.way == "flow" else prelabel_batches.fn
        os.environ["LABELOP_CONFIG"] = str(settings.config)
        started, cpu = time.monotonic(), time.process_time()
        for first in range(0, len(plan), step):
            run(plan[0], "onprem", first, min(first + step, len(plan)) - 1, "cells", settings.store)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"started": started, "cpu_seconds": time.process_time() - cpu, "peak_mib": peak}


def _fixed(models: ArmModels, _: Settings) -> Prelabeller:
    return with_engines(models, {models.detector.id: FixedEngine(models.detector)})


def _plan(store: Store, settings: Settings, arms: dict[str, ArmModels], args: argparse.Namespace) -> list[str]:
    """Land images and levels as ingest leaves them, and a plan; gives its id once per batch."""
    policy = load_policy(settings.config / "policy.yaml")
    size = _DRAWN_PX if args.engine == "fixed" else (640, 480)
    names = json.loads((args.folder / _INDEX).read_text())[: args.images]
    common = {**_DATASET, "run_id": "bench", "landed_at": utc_now()}
    place = {"source_uri": str(args.folder), "outcome": "ok", "width_px": size[0], "height_px": size[1]}
    images = [{"image_id": key, "path": name, **place} for key, name in names]
    levels = [{"image_id": key, "level": "public", "policy_digest": policy.digest} for key, _ in names]
    for name, rows in (("images", images), ("levels", levels)):
        empty = dict.fromkeys(table(name).schema.names) | common
        land(store, name, [empty | row for row in rows], name)
    decision = {"level": "public", "role": "chosen", "arm": "local", "placement": "onprem", "allowed": True}
    plan = plan_dataset(
        store, *_DATASET.values(), decisions=[decision], arms=arms, policy=policy, compare_share=0.0,
        batch_images=args.batch_images, run_id="bench",
    )  # fmt: skip
    return [plan.plan_id] * len(plan.batches)


_INDEX = "index.json"


def _files(folder: Path, count: int, engine: str) -> None:
    """Write files that differ in their last bytes only, which no decoder reads, and an index of their ids."""
    folder.mkdir(parents=True, exist_ok=True)
    if engine == "fixed":
        out = io.BytesIO()
        Image.linear_gradient("L").resize(_DRAWN_PX).convert("RGB").save(out, format="JPEG")
        sources = [out.getvalue()]
    else:
        photos = sorted((PHOTOGRAPHS if PHOTOGRAPHS.is_dir() else SAMPLE).glob("*.jpg"))
        sources = [path.read_bytes() for path in photos]
    index = []
    for number in range(count):
        data = sources[number % len(sources)] + number.to_bytes(8, "big")
        name = f"{number}.jpg"
        if not (folder / name).exists():
            (folder / name).write_bytes(data)
        index.append([sha256_hex(data), name])
    (folder / _INDEX).write_text(json.dumps(index))


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, int]]:
    """Start a Prefect server with a database of its own; gives its address and process id."""
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect")}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(f"{api}/health"):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"the Prefect server does not answer at {api}")
            time.sleep(0.3)
        yield api, process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def _cpu_seconds(pid: int) -> float:
    """Read what a process and its children that ended have used, by proc(5); fields 14 to 17 are clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _build() -> Path:
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main()
