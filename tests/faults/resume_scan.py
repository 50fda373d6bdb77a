"""How long a resumed run looks before it knows what is missing, in a store with a large manifest.

`python -m tests.faults.resume_scan` lands 1,000,000 manifest rows, their levels, a plan, and half of its batches, then
asks twice what is left: as `labelop runs` and `labelop resume` do, and as the run that plans only what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from labelop.catalog.cards import load_catalog
from labelop.engines.prelabeller import ArmModels
from labelop.landing.store import Store, land, land_many
from labelop.prelabel.plan import load_plan, pending, plan_dataset
from labelop.queries import run_query
from labelop.recovery import Asked, left_of, plan_to_finish, start
from labelop.runs import INGESTED, PLANNED, PRELABELLED, RunEvent, record
from labelop.schemas import table as declared
from labelop.schemas import utc_now
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings
from tests.faults.results import kept

DATASET, VERSION, RUN = "large", "v-1", "night-1"
_CHUNK = 100_000
_BATCHES_A_COMMIT = 64


def scan(images: int, folder: str) -> dict[str, int | float | str]:
    """Make the store and ask.

    Returns:
        Seconds of each look, and what it found.
    """
    settings, store = load_settings(store=folder), Store(folder)
    policy = load_policy(settings.config / "policy.yaml")
    catalog = load_catalog(settings.catalog)
    arms = {"local": ArmModels(catalog["cells-small"])}
    land_manifest(store, images, policy.digest)
    record(store, RunEvent("ingest-1", DATASET, VERSION, INGESTED, source_uri=folder, policy_digest=policy.digest))
    start(store, RUN, [Asked(DATASET, PRELABELLED, None, VERSION)])
    decision = {"level": "restricted", "role": "chosen", "arm": "local", "placement": "onprem", "allowed": True}
    given: dict[str, Any] = {"decisions": [decision], "arms": arms, "policy": policy, "compare_share": 0.2}
    given |= {"batch_images": 256, "run_id": RUN}
    counts: dict[str, int | float | str] = {"manifest_rows": images}
    with _timed(counts, "seconds_of_the_first_plan"):
        plan = plan_dataset(store, DATASET, VERSION, **given)
    said = {"made_of": "configuration"}
    record(store, RunEvent(RUN, DATASET, VERSION, PLANNED, "complete", plan_id=plan.plan_id, summary=said))
    landed = plan.batches[: len(plan.batches) // 2]
    for first in range(0, len(landed), _BATCHES_A_COMMIT):
        group = landed[first : first + _BATCHES_A_COMMIT]
        land_many(store, "prelabels", [(b.batch_id, _filled("prelabels", b.image_ids, b.batch_id)) for b in group])
    with _timed(counts, "seconds_of_labelop_runs"):
        [row] = run_query(store, "run_states", {"run": RUN}).to_pylist()
    with _timed(counts, "seconds_of_resume_scan"):
        [left] = left_of(store, RUN)
        found = plan_to_finish(store, RUN, DATASET, "configuration")
        assert found is not None
        waiting = pending(store, load_plan(store, found[0]).batches)
    assert left.dataset_version == VERSION
    assert len(waiting) == row["missing_batches_count"] == len(plan.batches) - len(landed)
    return counts | {"batches": len(plan.batches), "batches_landed": len(landed), "batches_missing": len(waiting)}


def land_manifest(store: Store, images: int, policy_digest: str) -> None:
    """Land rows of images and levels of a dataset whose files nobody has."""
    for first in range(0, images, _CHUNK):
        _land_images(store, range(first, min(first + _CHUNK, images)), policy_digest)


def _land_images(store: Store, numbers: range, policy_digest: str) -> None:
    ids = [f"{number * 2654435761 % 2**32:08x}{number:056x}" for number in numbers]
    place = {"dataset": DATASET, "dataset_version": VERSION}
    paths = pa.array([f"images/{number}.jpg" for number in numbers])
    sizes = {"width_px": 640, "height_px": 480, "outcome": "ok", "split": "train", "source_uri": "somewhere"}
    for name, more in (
        ("images", {**place, **sizes, "path": paths}),
        ("levels", {**place, "level": "restricted", "policy_digest": policy_digest}),
    ):
        land(store, name, _columns(name, ids, more), f"{name}-{numbers.start}")


def _filled(name: str, ids: tuple[str, ...], batch_id: str) -> pa.Table:
    more = {"dataset": DATASET, "dataset_version": VERSION, "run_id": RUN, "batch_id": batch_id, "outcome": "empty"}
    return _columns(name, list(ids), more)


def _columns(name: str, ids: list[str], more: dict[str, Any]) -> pa.Table:
    """Make a table whose other columns are null."""
    known = {"image_id": pa.array(ids), "landed_at": pa.scalar(utc_now(), pa.timestamp("us", tz="UTC")), **more}
    columns = []
    for column in declared(name).schema:
        value = known.get(column.name)
        if isinstance(value, pa.Array):
            columns.append(value.cast(column.type))
        elif value is None:
            columns.append(pa.nulls(len(ids), column.type))
        else:
            columns.append(pa.repeat(value, len(ids)).cast(column.type))
    return pa.table(columns, schema=declared(name).schema)


@contextmanager
def _timed(counts: dict[str, int | float | str], name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    counts[name] = round(time.monotonic() - started, 2)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    given = parser.parse_args()
    done = "Ask a store with a large manifest and half of a run landed what is missing."
    with tempfile.TemporaryDirectory(prefix="labelop-scan-") as folder, kept("resume-scan", done) as counts:
        counts.update(scan(given.images, folder))
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main()
