"""What history would have cost otherwise, held against a night that really ran otherwise."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.small_sample import ROOT, SAMPLE, make_dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Row = dict[str, Any]


def labelop(config: Path, *words: str) -> str:
    """Run a command with a configuration of its own."""
    command = [sys.executable, "-c", "from labelop.cli import main; main()", *words]
    placed = {**os.environ, "LABELOP_CONFIG": str(config)}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400, env=placed
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def configured(folder: Path, *, gpu: str, refused: str | None, home: str = "parcels-small") -> Path:
    """Write a configuration: what the cloud's GPU costs, a placement that is refused, and the detector at home."""
    shutil.copytree(SAMPLE / "config", folder)
    prices = yaml.safe_load((folder / "prices.yaml").read_text())
    prices["version"] = f"gpu at {gpu}"
    prices["items"]["cloud"]["gpu"] |= {"amount": gpu, "low": None, "high": None}
    (folder / "prices.yaml").write_text(yaml.safe_dump(prices))
    routing = yaml.safe_load((folder / "routing.yaml").read_text())
    if refused:
        routing["refusals"] = [{"id": "tried", "placement": refused, "because": "it is tried without it"}]
    [local] = (arm for arm in routing["arms"] if (arm["arm"], arm["ontology"]) == ("local", "parcels"))
    local["detector"] = home
    (folder / "routing.yaml").write_text(yaml.safe_dump(routing))
    return folder


def costs(config: Path, store: Path) -> dict[str, Decimal]:
    """Read what each arm cost, from exported CSV."""
    rows = csv.DictReader(io.StringIO(labelop(config, "query", "arm_cost", "--store", str(store), "--format", "csv")))
    return {row["arm"]: Decimal(row["total_cost"]) for row in rows}


def test_a_dataset_moved_to_the_cloud_costs_what_a_real_run_of_it_does(tmp_path: Path) -> None:
    """From a night on premises that tried the cloud on a share, the whole cloud bill is foretold within 10 %.

    With the inputs in force the record comes out to the last millionth, and the tables are as they were.
    """
    make_dataset("parcels", tmp_path / "parcels", 80)
    night = tmp_path / "night.yaml"
    job = {"dataset": "parcels", "source": str(tmp_path / "parcels"), "source_format": "coco", "simulate_reviews": True}
    night.write_text(yaml.safe_dump([job]))
    here = configured(tmp_path / "here", gpu="900", refused=None)
    there = configured(tmp_path / "there", gpu="1.006", refused="onprem")
    stores = {config: tmp_path / f"store-{config.name}" for config in (here, there)}
    for config, store in stores.items():
        labelop(config, "demo", "--store", str(store), "--night", str(night))
    recorded = costs(here, stores[here])
    ask = ("whatif", "--store", str(stores[here]), "--format", "json")
    same = {row["arm"]: row for row in json.loads(labelop(here, *ask), parse_float=Decimal)}
    assert {arm: row["cost"] for arm, row in same.items()} == recorded
    assert same["local"]["role"] == "public: chosen" != same["cloud"]["role"]
    other = ("--prices", str(there / "prices.yaml"), "--policy", str(there / "routing.yaml"), "--since", "2026-01-01")
    foretold = {row["arm"]: row for row in json.loads(labelop(here, *ask, *other), parse_float=Decimal)}
    assert (foretold["local"]["images"], foretold["local"]["cost"]) == (0, 0)
    real = costs(there, stores[there])
    assert real.keys() == {"cloud"}
    assert float(foretold["cloud"]["cost"]) == pytest.approx(float(real["cloud"]), rel=0.10)
    # other models at home: nothing on record is about them, and the cost was told as it had been
    swapped = configured(tmp_path / "swapped", gpu="900", refused=None, home="parcels-large")
    home = {row["arm"]: row for row in json.loads(labelop(here, *ask, "--policy", str(swapped / "routing.yaml")))}
    assert home["local"]["basis"] == "expected, no record of its models"
    assert home["local"]["cost"] != home["local"]["cost_recorded"]
    assert home["cloud"]["basis"] == "as recorded"
    assert costs(here, stores[here]) == recorded
