"""The real stack on free loopback ports: server, two pools with a worker each, deployments, inference server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from labelop.landing.store import Store, read_rows
from labelop.pilot.capacity import Team
from tasks.belt import take
from tests.same_tables import meaning_differs
from tests.small_sample import ROOT, make_night

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Stack:
    """A started stack."""

    api: str
    store: str
    folder: Path


def _stack(action: str, folder: Path, *more: str) -> None:
    command = [sys.executable, "deployments/stack.py", action, "--folder", str(folder), *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start the stack and stop it again, whatever happens."""
    folder = tmp_path_factory.mktemp("stack")
    try:
        _stack("up", folder, "--port", "0", "--model-port", "0")
        state = json.loads((folder / "stack.json").read_text())
        yield Stack(state["api"], state["store"], folder)
    finally:
        _stack("down", folder)


def _post(stack: Stack, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = httpx.post(f"{stack.api}{path}", json=body, timeout=30)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def test_nightly_fans_out_to_both_pools_and_lands_what_the_embedded_run_lands(stack: Stack, tmp_path: Path) -> None:
    """A nightly deployment run makes both pools' workers run child runs, and its tables equal the embedded run's."""
    night = make_night(tmp_path / "sample")
    parameters = {"night": yaml.safe_load(night.read_text()), "batch_images": 4, "shard_batches": 4}
    environment = {**os.environ, "PREFECT_API_URL": stack.api, "PREFECT_HOME": str(tmp_path / "prefect")}
    run = [sys.executable, "-m", "prefect", "deployment", "run", "nightly/onprem", "--watch"]
    started = subprocess.run(
        [*run, "--params", json.dumps(parameters)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=800,
    )  # fmt: skip
    logs = "\n".join(path.read_text()[-3000:] for path in sorted((stack.folder / "logs").glob("worker-*.log")))
    assert started.returncode == 0, started.stdout[-1500:] + logs
    children = _post(stack, "/flow_runs/filter", {"flows": {"name": {"any_": ["prelabel-batches"]}}})
    pools = {child["work_pool_name"] for child in children if child["state_type"] == "COMPLETED"}
    assert pools == {"onprem-gpu", "cloud-batch"}
    workers = {row["worker"] for row in read_rows(Store(stack.store), "usage")}
    assert len(workers) >= len(children) - 1, "each child run is a process of its own"
    embedded = tmp_path / "embedded"
    demo = [sys.executable, "-c", "from labelop.cli import main; main()", "demo", "--store", str(embedded)]
    done = subprocess.run(
        [*demo, "--night", str(night), "--batch-images", "4"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert meaning_differs(Store(str(embedded)), Store(stack.store)) == []


def test_progress_and_tables_are_shown_as_artifacts(stack: Stack) -> None:
    """Ops see progress artifacts of the children and the summary tables of the night in Prefect."""
    artifacts = _post(stack, "/artifacts/filter", {})
    kinds = {artifact["type"] for artifact in artifacts}
    assert {"progress", "table"} <= kinds
    assert any("effort" in (artifact["key"] or "") for artifact in artifacts)


def test_deployments_have_the_nightly_schedule(stack: Stack) -> None:
    """Night and maintenance run by cron; both pools have their own deployment of the child."""
    deployments = _post(stack, "/deployments/filter", {})
    schedules = [s["schedule"].get("cron") for d in deployments for s in d["schedules"]]
    assert {"0 2 * * *", "0 14 * * 0"} <= set(schedules)
    children = {d["work_pool_name"] for d in deployments if d["entrypoint"].startswith("flows/prelabel_batches.py")}
    assert children == {"onprem-gpu", "cloud-batch"}


def test_reviewers_are_given_once_by_the_server(stack: Stack) -> None:
    """The limit is made by the first run that asks, counts across runs, and grows with the team."""
    team = Team(1, 1.0, utilisation=1.0, shrinkage=0.0)
    with temporary_settings({PREFECT_API_URL: stack.api}):
        assert [take(team, [1500.0] * 3), take(team, [1500.0])] == [2, 0]
        assert take(replace(team, reviewers=2), [1500.0] * 3) == 2
