"""Kill the demo with SIGKILL at a random moment, run it again: the tables must equal an undisturbed run's."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labelop.landing.store import Store
from labelop.queries import run_checks
from tests.same_tables import meaning_differs
from tests.small_sample import ROOT, make_night

ROUNDS = 6
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def _demo(store: Path, night: Path) -> list[str]:
    command = [sys.executable, "-c", "from labelop.cli import main; main()", "demo", "--store", str(store)]
    return [*command, "--night", str(night), "--batch-images", "4", "--format", "json"]


def _run(store: Path, night: Path) -> None:
    done = subprocess.run(_demo(store, night), cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def _killed_and_repeated(store: Path, night: Path, after_seconds: float) -> bool:
    """Kill one run after a while, repeat it to its end; says whether the kill hit a running process."""
    process = subprocess.Popen(_demo(store, night), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=after_seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    hit = process.wait() == -signal.SIGKILL
    _run(store, night)
    return hit


def test_a_killed_demo_repeated_equals_an_undisturbed_one(tmp_path: Path) -> None:
    """Kills at random moments: each repeated run's tables equal the undisturbed run's, and all checks pass."""
    night = make_night(tmp_path / "sample")
    started = time.monotonic()
    _run(tmp_path / "quiet", night)
    quiet_seconds = time.monotonic() - started
    undisturbed = Store(str(tmp_path / "quiet"))
    seed = random.SystemRandom().randrange(10**6)
    draw = random.Random(seed)
    # two run side by side, so each is slower than the quiet run: moments up to 1.5 times as late still hit
    moments = [draw.uniform(0.2, 1.5) * quiet_seconds for _ in range(ROUNDS)]
    stores = [tmp_path / f"killed-{number}" for number in range(ROUNDS)]
    with ThreadPoolExecutor(2) as pool:
        hits = list(pool.map(_killed_and_repeated, stores, [night] * ROUNDS, moments))
    for store, moment in zip(stores, moments, strict=True):
        tables = Store(str(store))
        assert meaning_differs(undisturbed, tables) == [], f"seed {seed}, killed after {moment:.2f} s"
        assert [c.name for c in run_checks(tables) if c.severity == "fail" and not c.passed] == []
    assert sum(hits) >= ROUNDS // 2, f"only {sum(hits)} of {ROUNDS} kills hit a running process (seed {seed})"
