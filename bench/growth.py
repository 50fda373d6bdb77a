"""How time and memory grow with the number of images, and a commit with those before it; the engine costs nothing.

Each size of images runs in a process of its own (`python -m bench.growth COUNT FOLDER`), so that its memory is its own.
"""

from __future__ import annotations

import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from bench.measure import peak_mib
from bench.ours import Worker
from bench.photos import ROOT
from bench.ratios import Table
from labelop.catalog.cards import load_card
from labelop.engines.fixed import FixedEngine
from labelop.engines.prelabeller import ArmModels, with_engines
from labelop.ids import sha256_hex
from labelop.landing.store import Store, land
from labelop.prelabel.batch import land_batches
from labelop.schemas import table as schema_of

_BATCH_IMAGES = 256
_SIDE_PX = (48, 32)
_DIGITS = 8
_LAST_COMMITS = 20
"""Commits that a rate is taken over: the log is summed up once in as many, so each rate bears its share of that."""


def growth_table(sizes: tuple[int, ...]) -> Table:
    """Run every size once, each in a fresh process."""
    rates, notes = {}, []
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="labelop-growth-") as folder:
            done = subprocess.run(
                [sys.executable, "-m", "bench.growth", str(count), folder],
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
            )
        found = json.loads(done.stdout.splitlines()[-1])
        rates[f"{count:,} images"] = (count / found["seconds"],)
        notes.append(
            f"{count:,} images: {found['seconds']:.1f} s, {1e3 * found['seconds'] / count:.2f} ms an image, "
            f"resident memory after the first batch {found['first_mib']:.0f} MiB, at most {found['peak_mib']:.0f} MiB."
        )
    reference = f"{sizes[0]:,} images"
    title = "Growth with the fixed engine: read, hash, decode, rows, exactly-once landing"
    return Table("growth", title, "images/s", reference, rates, notes=(*notes, "One run each, no rounds."))


def commits_table(counts: tuple[int, ...]) -> Table:
    """Commit one row after the other to one table and say how fast it went up to each count."""
    blank: dict[str, Any] = dict.fromkeys(schema_of("levels").schema.names)
    walls, busy = [], []
    with tempfile.TemporaryDirectory(prefix="labelop-commits-") as folder:
        for number in range(max(counts)):
            wall, cpu = time.perf_counter(), time.process_time()
            land(Store(folder), "levels", [{**blank, "image_id": f"{number:064x}"}], f"key-{number}")
            walls.append(time.perf_counter() - wall)
            busy.append(time.process_time() - cpu)
    rates, notes = {}, []
    for count in counts:
        last = slice(max(0, count - _LAST_COMMITS), count)
        rates[f"commit {count:,}"] = (1 / statistics.mean(walls[last]),)
        notes.append(f"Commit {count:,}: {1e3 * statistics.mean(busy[last]):.1f} ms of the processor.")
    title = f"Growth of a commit of one row, the {_LAST_COMMITS} commits up to a count"
    return Table("commits", title, "commits/s", f"commit {counts[0]:,}", rates, notes=tuple(notes))


def run(count: int, folder: Path) -> dict[str, float]:
    """Prelabel and land `count` images in batches; gives seconds and MiB."""
    files = _files(count, folder / "images")
    card = load_card(ROOT / "data/sample/models/cells-small.yaml")
    worker = Worker(with_engines(ArmModels(card), {card.id: FixedEngine(card)}), files, _SIDE_PX)
    store = Store(str(folder / "store"))
    names = list(files)
    first = 0.0
    start = time.perf_counter()
    for number, at in enumerate(range(0, count, _BATCH_IMAGES)):
        land_batches(store, [worker.batch(f"b-{number}", tuple(names[at : at + _BATCH_IMAGES]))])
        first = first or peak_mib()
    return {"seconds": time.perf_counter() - start, "first_mib": first, "peak_mib": peak_mib()}


def _files(count: int, folder: Path) -> dict[str, Path]:
    """Write files that differ in their last bytes only, which no decoder reads."""
    folder.mkdir(parents=True)
    out = io.BytesIO()
    Image.linear_gradient("L").resize(_SIDE_PX).convert("RGB").save(out, format="JPEG")
    files = {}
    for number in range(count):
        data = out.getvalue() + number.to_bytes(_DIGITS, "big")
        path = folder / f"{number}.jpg"
        path.write_bytes(data)
        files[sha256_hex(data)] = path
    return files


if __name__ == "__main__":
    target = Path(sys.argv[2])
    print(json.dumps(run(int(sys.argv[1]), target)))
    shutil.rmtree(target / "images")
