"""Ray Data as a user would write it: paths, decode, `map_batches` with a model per core; a peer, in its own process.

Ray starts servers and actors; a process of its own ends them all, and nothing else is measured meanwhile.
"""

from __future__ import annotations

import itertools
import json
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
        `rounds`, images per second of three parts of the run, and `start_seconds`, until the first batch was there.

    Raises:
        RuntimeError: Ray is not installed or failed; the message is its last line.
    """
    given = {"model": str(model), "size": size, "outputs": outputs, "paths": [str(path) for path in paths]}
    asked = json.dumps(given | {"count": max(count, BATCH * (_PARTS + 1))})
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
        """Run one batch."""
        return dict(zip(self._outputs, self._session.run(self._outputs, {"images": batch["image"]}), strict=True))


def main() -> None:
    """Measure what standard input asks for and print it."""
    import ray  # noqa: PLC0415 - an extra
    from ray.data import ActorPoolStrategy, DataContext, from_items  # noqa: PLC0415

    asked = json.loads(sys.stdin.read())
    size: tuple[int, int] = tuple(asked["size"])
    began = time.perf_counter()
    ray.init(num_cpus=CORES, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
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
    first = asked["outputs"][0]
    arrived = [(len(batch[first]), time.perf_counter()) for batch in data.iter_batches(batch_size=None)]
    marks = np.linspace(0, len(arrived) - 1, _PARTS + 1).astype(int)
    rounds = [
        sum(count for count, _ in arrived[start + 1 : end + 1]) / (arrived[end][1] - arrived[start][1])
        for start, end in itertools.pairwise(marks)
    ]
    print(json.dumps({"rounds": rounds, "start_seconds": arrived[0][1] - began}))


if __name__ == "__main__":
    main()
