"""A night as real flow runs of one process, reported to the Prefect server of the environment: `orchestrated.py NIGHT`.

`CANARY_FAULT` makes the first dataset fail with words that must stay at home: `file` raises an error of the system that
names a file, `label` one of ours that names a label.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from flows.ingest_dataset import ingest_dataset
from flows.nightly import nightly
from flows.prelabel_batches import prelabel_batches
from flows.prelabel_dataset import prelabel_dataset
from labelop.errors import AnnotationError
from tasks import ingest
from tasks.dispatch import FlowFunction, embedded


def main(night: Path) -> None:
    """Run the night, every child as a flow run of its own."""
    jobs: list[dict[str, Any]] = yaml.safe_load(night.read_text())
    if os.environ.get("CANARY_FAULT"):
        ingest.classify_dataset.fn = _failing(Path(jobs[0]["source"]))
    flows: dict[str, FlowFunction] = {
        "ingest-dataset/onprem": ingest_dataset,
        "prelabel-dataset/onprem": prelabel_dataset,
        "prelabel-batches/onprem": prelabel_batches,
        "prelabel-batches/cloud": prelabel_batches,
    }
    with embedded(flows):
        nightly(jobs)


def _failing(source: Path) -> Any:
    file = next(source.rglob("*.jpg"))

    def classify(*_: object, **__: object) -> dict[str, int]:
        try:
            (file / "below a file").read_bytes()
        except OSError as error:
            if os.environ["CANARY_FAULT"] == "file":
                raise
            raise AnnotationError(f"File {file.name} has labels of {file.parent.name}.") from error
        return {}

    return classify


if __name__ == "__main__":
    main(Path(sys.argv[1]))
