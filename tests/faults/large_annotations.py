"""How much memory the largest annotation file takes in the process that ingests it.

`python -m tests.faults.large_annotations` writes a COCO file at both limits of `labelop.streamed_text`, its size and
its records, and takes it in by `labelop ingest`. Most of it are words that nobody reads: what is kept are the labels.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from labelop.landing.store import Store, read_rows
from labelop.streamed_text import MAX_FILE_BYTES, MAX_RECORDS
from tests.faults.results import Count, kept
from tests.faults.test_hostile_files import fill
from tests.small_sample import ROOT

_IMAGES = 900
_LABELOP = [sys.executable, "-c", "from labelop.cli import main; main()"]


def write(root: Path, records: int, size_bytes: int) -> int:
    """Write a source of so many records in an annotation file of nearly so many bytes; gives its size."""
    (root / "images").mkdir(parents=True)
    fill(root / "images", _IMAGES)
    images = [{"id": at, "file_name": path.name} for at, path in enumerate(sorted((root / "images").iterdir()))]
    head = json.dumps({"categories": [{"id": 7, "name": "rbc"}], "images": images})
    boxes = records - len(images) - 1
    words = "x" * (size_bytes // boxes - 116)
    with (root / "annotations.json").open("w") as file:
        file.write(head[:-1] + ', "annotations": [')
        for at in range(boxes):
            place = at // _IMAGES  # of each image no two alike, which would be one object
            box = [1 + place % 11 / 16, 1 + place // 11 % 11 / 32, 3.25 + place // 121 / 32, 2.125]
            record = {"id": at, "image_id": at % _IMAGES, "category_id": 7, "bbox": box, "words": words}
            file.write(("," if at else "") + json.dumps(record))
        file.write("]}")
        return file.tell()


def take_in(folder: Path, records: int, size_bytes: int) -> dict[str, Count]:
    """Ingest such a file; gives what was counted, asserts that every label has landed."""
    root, store = folder / "source", folder / "store"
    size = write(root, records, size_bytes)
    assert size <= size_bytes
    command = [*_LABELOP, "ingest", str(root), "--dataset", "large", "--source-format", "coco", "--store", str(store)]
    command += ["--sensitivity", "public", "--ontology", "cells"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (folder / "log").read_text()[-3000:]
    labels = sum(len(row["labels"]) for row in read_rows(Store(str(store)), "reviews", columns=["labels"]))
    assert labels == records - _IMAGES - 1
    return {
        "file_mib": round(size / (1 << 20), 1),
        "labels_count": labels,
        "peak_mib_of_the_largest_process": round(used.ru_maxrss / 1024, 1),
    }


def main() -> None:
    """Run it in the size that is asked for."""
    given = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    given.add_argument("--records", type=int, default=MAX_RECORDS)
    given.add_argument("--bytes", type=int, default=MAX_FILE_BYTES)
    size = given.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="labelop-large-") as folder,
        kept("large-annotations", "A COCO file with as many bytes and records as are read was ingested") as counts,
    ):
        counts.update(take_in(Path(folder), size.records, size.bytes))


if __name__ == "__main__":
    main()
