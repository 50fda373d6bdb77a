"""A real Prefect server with a worker on premises, the stack's deployments, and a dataset that has been taken in."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from deployments.automations import FILE, install
from deployments.stack import POOLS, free_port
from labelop.egress.environment import FAR_END, ONPREM, child_environment
from tests.small_sample import ROOT, make_dataset

BATCH_IMAGES = 2
RUN_SECONDS = 300.0
"""Longest wait for a run or a command of ours."""
HEARTBEAT_SECONDS = 30
"""Time between two heartbeats, the shortest that the orchestrator takes."""
_START_SECONDS = 180.0
_TRIES = 30
_LABELOP = [sys.executable, "-c", "from labelop.cli import main; main()"]


@dataclass
class Rig:
    """A server, a worker of the premises, the deployments of the stack, and a dataset that has been taken in."""

    folder: Path
    """Where database, logs and stores are."""
    images: int
    """Images of the dataset; all restricted, so that all of them stay on premises."""
    shard_batches: int
    """Batches of a shard: what lands in the middle of a run is mostly a shard."""
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def api(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}/api"

    def start_server(self) -> None:
        """Start the server, or start it again with the database it had."""
        command = ["server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        waits = {"PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2"}
        self._start("server", command, FAR_END, waits)
        self.until(lambda: _answers(f"{self.api}/health"), _START_SECONDS)

    def start_worker(self) -> None:
        """Start a worker of the pool on premises."""
        self._start("worker", ["worker", "start", "--pool", POOLS[ONPREM], "--type", "process"], ONPREM, {})

    def set_up(self, zombie_seconds: int) -> None:
        """Start everything, deploy, install the automation, take the dataset in and prelabel a copy undisturbed."""
        self.start_server()
        environment = self.environment(ONPREM, {})
        for pool in POOLS.values():
            self.post("/work_pools/", {"name": pool, "type": "process"})
        deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy"]
        deploy += ["--prefect-file", "deployments/prefect.yaml", "--all"]
        with ExitStack() as both:
            both.callback(self._done, self.begun(deploy, environment))
            [automation] = yaml.safe_load(FILE.read_text())["automations"]
            automation["trigger"]["within"] = zombie_seconds
            install(self.api, [automation])
            make_dataset("smears", self.folder / "smears", self.images)
            source = [str(self.folder / "smears"), "--dataset", "smears", "--source-format", "coco"]
            self.labelop("ingest", *source, "--sensitivity", "restricted", store=self.folder / "prepared")
        self.start_worker()
        shutil.copytree(self.folder / "prepared", self.folder / "quiet")
        self.labelop(
            "prelabel", "--dataset", "smears", "--batch-images", str(BATCH_IMAGES), store=self.folder / "quiet"
        )

    def labelop(self, *arguments: str, store: Path) -> None:
        """Run a command of ours, without the server."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._done(self.begun([*_LABELOP, *arguments, "--store", str(store)], environment))

    def kill(self, name: str, *, with_children: bool = True) -> None:
        """End a process of the rig as kill -9 does, with all that it started or alone."""
        process = self.processes.pop(name)
        family = descendants(process.pid) if with_children else []
        for pid in [process.pid, *family]:
            _signal(pid, signal.SIGKILL)
        process.wait(30)

    def post(self, path: str, body: Any) -> Any:
        """Ask the server, and again while its database is locked."""
        for _ in range(_TRIES):
            answer = httpx.post(self.api + path, json=body, timeout=60)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def begin(self, store: Path) -> str:
        """Start a run of prelabel-dataset on a fresh copy of the prepared store; gives its flow run."""
        shutil.copytree(self.folder / "prepared", store)
        wanted = {"deployments": {"name": {"any_": [ONPREM]}}, "flows": {"name": {"any_": ["prelabel-dataset"]}}}
        [deployment] = self.post("/deployments/filter", wanted)
        sizes = {"batch_images": BATCH_IMAGES, "shard_batches": self.shard_batches}
        parameters = {"dataset": "smears", "store": str(store), **sizes}
        path = f"/deployments/{deployment['id']}/create_flow_run"
        return str(self.post(path, {"parameters": parameters, "state": {"type": "SCHEDULED"}})["id"])

    def state(self, flow_run: str) -> str:
        """Say what the server takes a flow run for; empty while it does not answer."""
        try:
            answer = httpx.get(f"{self.api}/flow_runs/{flow_run}", timeout=10)
            answer.raise_for_status()
        except httpx.HTTPError:
            return ""
        return str(answer.json()["state_type"])

    def until(self, true: Callable[[], bool], seconds: float = RUN_SECONDS) -> bool:
        """Wait until something holds; False when it did not in time."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def close(self) -> None:
        """Kill whatever is left."""
        for name in sorted(self.processes, reverse=True):
            self.kill(name)

    def _start(self, name: str, command: list[str], placement: str, more: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "prefect", *command],
                cwd=ROOT, env=self.environment(placement, more), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def environment(self, placement: str, more: dict[str, str]) -> dict[str, str]:
        """Make the environment of a process of a placement."""
        ours = {
            "PYTHONPATH": str(ROOT),
            "LABELOP_HOME": str(ROOT),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        address = {} if placement == FAR_END else {"PREFECT_API_URL": self.api}
        return child_environment(placement, os.environ, ours | address | more)

    def begun(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start a command whose words go to a file."""
        with (self.folder / "commands.log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def _done(self, process: subprocess.Popen[bytes]) -> None:
        if process.wait(RUN_SECONDS):
            raise RuntimeError(f"{process.args!r} failed:\n{(self.folder / 'commands.log').read_text()[-3000:]}")


@contextmanager
def rig(images: int, zombie_seconds: int, shard_batches: int = 20) -> Iterator[Rig]:
    """Give a rig that is set up, and end it whatever happens."""
    with tempfile.TemporaryDirectory(prefix="labelop-faults-") as folder:
        made = Rig(Path(folder), images, shard_batches)
        try:
            made.set_up(zombie_seconds)
            yield made
        finally:
            made.close()


def descendants(pid: int) -> list[int]:
    """List the processes that a process started, and those that they started, by proc(5)."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False
