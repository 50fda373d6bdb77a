"""Whole nights that want to send everything to the cloud: what servers, pages, tools and the orchestrator see."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from labelop.egress.audit import entries
from labelop.egress.environment import ONPREM, QUIET, child_environment
from labelop.landing.store import read_rows
from tests.canary.attempts import Battery
from tests.canary.capture import inference_server, review_server, sink
from tests.canary.world import RESTRICTED, World, make_world
from tests.small_sample import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LABELOP = [sys.executable, "-c", "from labelop.cli import main; main()"]
QUERIES = ("arm_cost", "arm_summary", "arm_effort", "arm_speed", "cost_lines", "decisions", "model_quality", "outcomes")
"""Tables that people pass on; lists of files are asked for by name and stay at home."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Make a world that nothing was done with yet."""
    return make_world(tmp_path)


def run(command: list[str], environment: dict[str, str], *, ends_with: int = 0, folder: Path = ROOT) -> bytes:
    """Run a command in the repository or another folder; give all it said."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=300)
    assert done.returncode == ends_with, (done.stdout + done.stderr).decode()[-3000:]
    return done.stdout + done.stderr


def night_of(world: World) -> Path:
    """Write the file of a night over both datasets."""
    path = world.folder / "night.yaml"
    path.write_text(yaml.safe_dump(world.night()))
    return path


def elsewhere(world: World, url: str, away: str, **more: str) -> dict[str, str]:
    """Make an environment in which everything that could be elsewhere is."""
    mine = {name: value for name, value in os.environ.items() if name not in QUIET and "PREFECT" not in name}
    proxies = {"HTTP_PROXY": away, "HTTPS_PROXY": away, "NO_PROXY": "127.0.0.1", "HF_ENDPOINT": away}
    named = world.environment(CLOUD_URL=url, OPENLINEAGE=away, S3_ENDPOINT=away, S3_KEY="key", S3_SECRET="secret")
    return mine | proxies | {"AWS_ENDPOINT_URL": away, "PYTHONPATH": str(ROOT)} | named | more


def push_to(
    world: World, environment: dict[str, str], host: str, *datasets: str, ends_with: int = 0
) -> tuple[list[bytes], bytes]:
    """Push the drafts of datasets to a review server; give what it received, and what was said about it."""
    with review_server(host) as (url, kept):
        more = {"URL": url, "TOKEN_FILE": str(world.token_file()), "ROOT": str(world.folder)}
        named = environment | {f"LABELOP_LABEL_STUDIO_{name}": value for name, value in more.items()}
        push = [*LABELOP, "review", "push", "--dataset"]
        said = [run([*push, dataset], named, ends_with=ends_with) for dataset in datasets]
        return kept.all(), b"".join(said)


def test_a_night_that_prefers_the_cloud_keeps_restricted_at_home(world: World) -> None:
    """Routing prefers the cloud and passes fail at times: nothing restricted in any capture, page, table or output."""
    report, review = world.folder / "report.html", world.folder / "review"
    with (
        inference_server(world.catalog, world.settings, world.far_end(), fails_every=3) as (url, kept),
        sink() as (away, sunk),
    ):
        environment = elsewhere(world, url, away)
        night = ["nightly", "--night", str(night_of(world)), "--report", str(report), "--batch-images", "4"]
        said = [run([*LABELOP, *night], environment)]
        # a plan made anew reads the forged decisions: its batches are for the cloud, and its images stay all the same
        Battery(world, url).forged_decisions()
        said.append(run([*LABELOP, "prelabel", "--dataset", RESTRICTED, "--batch-images", "3"], environment))
        for job in world.night():
            export = [
                "review",
                "export",
                "--dataset",
                str(job["dataset"]),
                "--output",
                str(review / str(job["dataset"])),
            ]
            said.append(run([*LABELOP, *export, "--prefix", "https://review.example/images/"], environment))
        said += [run([*LABELOP, "query", name, "--format", "csv"], environment) for name in QUERIES]
        at_home, _ = push_to(world, environment, "127.0.0.1", RESTRICTED)
        # folders here cannot be shown there, so that nothing is asked of such a server at all
        pushed, refused = push_to(world, environment, "127.0.0.2", RESTRICTED, ends_with=1)
        arrived, told = kept.all(), sunk.all()
    imported = [file.read_bytes() for file in sorted(review.rglob("*.*")) if file.is_file()]
    assert {hit.picture for hit in world.control.hits(arrived)} == {f"public {number}" for number in range(4)}
    assert world.search.hits([*arrived, *told]) == set()
    assert world.secret.hits([*imported, report.read_bytes(), *said]) == set()
    # reviewers here see names and words; no picture and no note goes through labelop
    assert {hit.where for hit in world.search.hits(at_home)} == {"file", "folder", "label"}
    assert pushed == []
    assert b"is elsewhere" in refused
    assert any(b"COMPLETE" in one for one in told), "lineage was not told, so its capture proves nothing"
    by_themselves = [one[:300] for one in told if b"lineage" not in one]
    assert by_themselves == [], "a library sent something by itself"
    rows = [row for row in read_rows(world.store, "prelabels") if row["dataset"] == RESTRICTED]
    at_cloud = {row["outcome"] for row in rows if row["placement"] == "cloud"}
    assert at_cloud == {"withheld"}
    assert {row["outcome"] for row in rows if row["placement"] == "onprem"} <= {"ok", "empty"}
    for image_id in world.image_ids(RESTRICTED):
        lines = list(entries(world.settings.audit_path, image_id=image_id))
        assert {(line["event"], line["answer"]) for line in lines} == {
            ("kept_by_routing", "deny"),
            ("kept_at_the_door", "deny"),
            ("named_elsewhere", "deny"),
        }


def test_on_premises_nothing_needs_a_network(world: World) -> None:
    """In a namespace without a network, loopback included, a night over restricted data is done and misses nothing."""
    allowed = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
    assert allowed.returncode == 0, f"network namespaces are not allowed here: {allowed.stderr.decode()}"
    night = world.folder / "night.yaml"
    night.write_text(yaml.safe_dump([world.night()[0]]))
    environment = child_environment(ONPREM, dict(os.environ), world.environment() | {"PYTHONPATH": str(ROOT)})
    counted = "import sys, socket; socket.getaddrinfo('labelop.example', 443)"
    proof = subprocess.run(["unshare", "-rn", sys.executable, "-c", counted], capture_output=True, check=False)
    assert proof.returncode != 0, "this namespace has a way out"
    report = world.folder / "report.html"
    said = run(
        ["unshare", "-rn", *LABELOP, "nightly", "--night", str(night), "--report", str(report)], environment
    ).decode()
    for word in ("socket", "unreachable", "gaierror", "ConnectError", "Connection", "resolve", "Errno"):
        assert word.lower() not in said.lower(), said[-2000:]
    rows = read_rows(world.store, "prelabels")
    assert len({row["image_id"] for row in rows}) == len(world.sources[RESTRICTED].pictures)
    assert {row["outcome"] for row in rows} <= {"ok", "empty"}
    assert report.stat().st_size > 10_000


@contextmanager
def orchestrator(folder: Path) -> Iterator[str]:
    """Run a real Prefect server over a database of its own; what it keeps lies in the folder afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = child_environment("far-end", os.environ, {"PREFECT_HOME": str(folder), **QUIET})
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    folder.mkdir()
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    api = f"http://127.0.0.1:{port}/api"
    try:
        for _ in range(600):
            try:
                if httpx.get(f"{api}/health", timeout=1).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield api
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def logs_of(api: str) -> Iterator[dict[str, Any]]:
    """Read all that a server has in its logs; it gives at most 200 at once."""
    offset = 0
    while page := httpx.post(f"{api}/logs/filter", json={"limit": 200, "offset": offset}, timeout=30).json():
        yield from page
        offset += len(page)


@pytest.mark.parametrize("fault", ["", "file", "label"])
def test_the_orchestrator_learns_ids_only(world: World, fault: str) -> None:
    """All that a real server keeps of a night: parameters, names, logs, states, artifacts, events; failures as well."""
    home, local = world.folder / "orchestrator", world.folder / "worker.log"
    with (
        inference_server(world.catalog, world.settings, world.far_end()) as (url, _),
        sink() as (away, sunk),
        orchestrator(home) as api,
    ):
        more = {"PREFECT_API_URL": api, "PREFECT_HOME": str(world.folder / "client"), "CANARY_FAULT": fault}
        more |= {"PREFECT_LOGGING_LEVEL": "DEBUG", "PREFECT_LOGGING_EXTRA_LOGGERS": "labelop"}
        environment = elsewhere(world, url, away, **more)
        command = [sys.executable, "-m", "tests.canary.orchestrated", str(night_of(world))]
        local.write_bytes(run(command, environment, ends_with=1 if fault else 0))
        logs = list(logs_of(api))
        runs = httpx.post(f"{api}/flow_runs/filter", json={}, timeout=30).json()
        artifacts = httpx.post(f"{api}/artifacts/filter", json={}, timeout=30).json()
    kept = [file.read_bytes() for file in sorted(home.rglob("*")) if file.is_file()]
    kept += [json.dumps(part).encode() for part in (logs, runs, artifacts)]
    assert world.search.hits([*kept, *sunk.all()]) == set()
    assert b"ingest-dataset" in b"".join(kept), "the server kept nothing, so its capture proves nothing"
    assert logs
    if fault:
        assert "stays on premises" in json.dumps(logs) or "UnexpectedError" in json.dumps(logs)
        assert world.search.hits([local.read_bytes()]), "the worker's own log has the words"
    else:
        assert artifacts
