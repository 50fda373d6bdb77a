"""The whole way of a folder, from its files to landed predictions, with an engine that needs no model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.ingest_dataset import ingest_dataset
from labelop.engines.prelabeller import ArmModels
from labelop.landing.store import open_store, read_rows
from labelop.prelabel.plan import load_plan, plan_dataset
from labelop.runs import dataset_version_of
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings
from tests.faults.world import World, prelabel
from tests.unit.prelabel.conftest import CONFIG, make_card, make_row

DATASET = "way"


def go(environment: Mapping[str, str], source: Path, batch_images: int, source_format: str = "folder") -> World:
    """Take a folder in, classify it, plan it and prelabel it, as a night does; what is done is not done again."""
    os.environ.update({**environment, "LABELOP_CONFIG": str(CONFIG)})
    settings = load_settings()
    store, run = open_store(settings), f"night-{os.getpid()}"
    job = {"dataset": DATASET, "source": str(source), "source_format": source_format, "ontology": "cells"}
    ingest_dataset.fn({**job, "sensitivity": "public"}, settings.store, run)
    version = dataset_version_of(store, run, DATASET)
    placed = {"level": "public", "role": "chosen", "arm": "local", "placement": "onprem", "allowed": True}
    decision = make_row("decisions", dataset=DATASET, dataset_version=version, model_id="toy-small", **placed)
    plan = plan_dataset(
        store, DATASET, version, decisions=[decision], arms={"local": ArmModels(make_card())},
        policy=load_policy(CONFIG / "policy.yaml"), compare_share=0.0, batch_images=batch_images, run_id=run,
    )  # fmt: skip
    world = planned(environment, source, plan.plan_id)
    prelabel(world, batch_images)
    return world


def planned(environment: Mapping[str, str], source: Path, plan_id: str) -> World:
    """Read what a plan that has landed wants."""
    os.environ.update(environment)
    plan = load_plan(open_store(load_settings()), plan_id)
    return World(environment, source, plan_id, {one.batch_id: one.image_ids for one in plan.batches})


def taken_in_once(world: World) -> dict[str, int]:
    """Count files and images that are missing in the manifest or the levels, or are in there twice."""
    images, levels = (read_rows(world.store, name) for name in ("images", "levels"))
    files = Counter((row["dataset_version"], row["path"]) for row in images)
    known = Counter((row["dataset_version"], row["image_id"]) for row in levels)
    wanted = {path.name for path in world.source.iterdir()}
    ids = {row["image_id"] for row in images if row["outcome"] == "ok"}
    return {
        "lost_files_count": len(wanted ^ {path for _, path in files}) + len(ids ^ {image_id for _, image_id in known}),
        "doubled_files_count": files.total() - len(files) + known.total() - len(known),
    }


def rows_of(world: World, name: str, columns: tuple[str, ...]) -> dict[str, list[Any]]:
    """Give what the rows of a table say of each image, without what names the version or the run."""
    found: dict[str, list[Any]] = {}
    for row in read_rows(world.store, name):
        found.setdefault(str(row["image_id"]), []).append([row[column] for column in columns])
    return {key: sorted(rows, key=repr) for key, rows in found.items()}
