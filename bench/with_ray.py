"""Ray Data as a user would write it: paths, decode, `map_batches` with a model per core; a peer, in its own process.

Ray starts servers and actors; a process of its own ends them all, and nothing else is measured meanwhile.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.engines import BATCH, CORES, cycle, full_decode
from bench.photos import ROOT

CASE = "Ray Data map_batches, onnxruntime fp32, batch 8"
_PARTS = 3
_LIMIT_SECONDS = 240


def ray_case(model: Path, size: tuple[int, int], outputs: list[str], paths: list[Path], count: int) -> dict[str, Any]:
    """Run the case elsewhere.

    Args:
        model: ONNX graph that takes uint8 images.
        size: Width and height of its input, pixels.
        outputs: Tensors asked for.
        paths: Photographs.
        count: Images, about.

    Returns:
        `rounds`, images per second of up to three parts, and `start_seconds`, until the first batch was there.

    Raises:
        RuntimeError: Ray is not installed or failed; the message is its last line.
    """
    given = {"model": str(model), "size": size, "outputs": outputs, "paths": [str(path) for path in paths]}
    asked = json.dumps(given | {"count": max(count, BATCH * CORES * _PARTS)})
    # nothing is reported to anybody, and nothing outside this machine is asked
    alone = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "RAY_DEDUP_LOGS": "0"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.with_ray"],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            input=asked,
            env=os.environ | alone,
            timeout=_LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"no end after {_LIMIT_SECONDS} s") from error
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return dict(json.loads(done.stdout.splitlines()[-1]))


class Model:
    """The callable class that Ray keeps in an actor: one session of one thread."""

    def __init__(self, model: str, outputs: list[str]) -> None:
        import onnxruntime  # noqa: PLC0415 - lives in the actor

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._outputs = outputs

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Run one batch; its answer says who did it and when."""
        begun, count = time.perf_counter(), len(batch["image"])
        found = dict(zip(self._outputs, self._session.run(self._outputs, {"images": batch["image"]}), strict=True))
        said = {"actor": os.getpid(), "begun": begun, "ended": time.perf_counter()}
        return found | {name: np.full(count, value) for name, value in said.items()}


def main() -> None:
    """Measure what standard input asks for and print it."""
    import ray  # noqa: PLC0415 - an extra
    from ray.data import ActorPoolStrategy, DataContext, from_items  # noqa: PLC0415

    asked = json.loads(sys.stdin.read())
    size: tuple[int, int] = tuple(asked["size"])
    began = time.perf_counter()
    ray.init(num_cpus=CORES, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    DataContext.get_current().enable_progress_bars = False
    paths = cycle([Path(path) for path in asked["paths"]], asked["count"] // BATCH * BATCH)
    data = (
        from_items([{"path": str(path)} for path in paths], override_num_blocks=len(paths) // BATCH)
        .map(lambda row: {"image": full_decode(Path(row["path"]), size)})
        .map_batches(
            Model,
            fn_constructor_args=(asked["model"], asked["outputs"]),
            batch_size=BATCH,
            compute=ActorPoolStrategy(size=CORES),
            num_cpus=1,
        )
    )
    # Ray hands several batches over at once, so the actors themselves say when they were at work
    spans: dict[int, list[tuple[float, float]]] = {}
    first = 0.0
    for batch in data.iter_batches(batch_size=BATCH):
        first = first or time.perf_counter() - began
        spans.setdefault(int(batch["actor"][0]), []).append((float(batch["begun"][0]), float(batch["ended"][0])))
    print(json.dumps({"rounds": rounds_of(list(spans.values())), "start_seconds": first}))


def rounds_of(actors: list[list[tuple[float, float]]]) -> list[float]:
    """Give images per second of all actors together, in parts of their work.

    Args:
        actors: Begin and end of each full batch, by actor, on that actor's clock.

    Returns:
        One rate for each part; as many parts as the actor with the fewest batches has, at most three.
    """
    parts = min(_PARTS, *(len(spans) for spans in actors)) if len(actors) > 1 else min(_PARTS, len(actors[0]))
    rates = [0.0] * parts
    for spans in actors:
        ordered = sorted(spans)
        edges = [ordered[0][0], *(end for _, end in ordered)]
        marks = np.linspace(0, len(ordered), parts + 1).astype(int)
        for part, (start, end) in enumerate(itertools.pairwise(marks)):
            rates[part] += float(BATCH * (end - start) / (edges[end] - edges[start]))
    return rates


if __name__ == "__main__":
    main()
