"""The fault programs of `make faults` in a small size: the same code, a few seconds each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.deaths import WHY_NOT
from tests.small_sample import ROOT

pytestmark = pytest.mark.slow

_START = """
import runpy, sys
from pathlib import Path
from tests.faults import results
results.RESULT = Path(sys.argv.pop(1))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def counted(program: str, kept: Path, *size: str) -> dict[str, Any]:
    """Run a program and give what it kept; it asserts by itself what must hold."""
    command = [sys.executable, "-c", _START, str(kept), program, *size]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(kept.read_text())
    return {fault: one["counts"] for fault, one in found.items()}


@pytest.mark.parametrize("way", ["random-kills", "random-kills-s3", "random-kills-ingest"])
def test_random_kills_lose_and_double_nothing(tmp_path: Path, way: str) -> None:
    """Killed at random moments and started again a run lands whole; a reader never saw a part of a batch."""
    kills = "5" if way == "random-kills" else "30"  # of which the other ways have a tenth
    found = counted("tests.faults.kills", tmp_path / "kept.json", way, "--images", "320", "--kills", kills)[way]
    assert found["kills_count"] >= 1
    assert found["views_count"] >= found["versions_count"] >= 1
    assert found["lost_count"] == found["doubled_count"] == found["partial_views_count"] == 0


def test_a_busy_store_refuses_and_breaks_off_and_the_tables_are_equal(tmp_path: Path) -> None:
    """With 503, 409 to conditional writes and broken bodies, each counted, the tables are those of a quiet store."""
    found = counted("tests.faults.bad_store", tmp_path / "kept.json", "--images", "64")["bad-store"]
    assert min(found[f"{name}_requests_count"] for name in ("unavailable", "conflict", "truncated")) >= 1
    assert found["tables_that_differ_count"] == found["lost_count"] == found["doubled_count"] == 0


def test_a_store_that_ignores_conditions_is_refused(tmp_path: Path) -> None:
    """Racing writers find it out before a run begins, and a store that keeps conditions is taken."""
    found = counted("tests.faults.unsafe_store", tmp_path / "kept.json")["unsafe-store"]
    assert found["rounds_with_two_winners_count"] == found["rounds_count"] >= 1
    assert found["rounds_of_a_safe_store_count"] >= 1


def test_a_worker_can_die_at_any_change_of_its_store(tmp_path: Path) -> None:
    """Killed before or after it changes a file or an object, the next worker finishes: nothing lost or doubled."""
    found = counted("tests.faults.failpoints", tmp_path / "kept.json", "--every", "61")
    assert found["failpoints-s3"]["changes_count"] > 20
    if not WHY_NOT:
        assert found["failpoints-folder"]["changes_count"] > 50
        assert found["failpoints-folder"]["deaths_count"] >= 2
    assert all(one["lost_count"] == one["doubled_count"] == 0 for one in found.values())


def test_a_full_disk_is_an_error_and_no_half_batch(tmp_path: Path) -> None:
    """A landing error says that no space is left, nothing half is seen, and with space the next worker finishes."""
    found = counted("tests.faults.full_disk", tmp_path / "kept.json")["disk-full"]
    if why := found.get("skipped"):
        pytest.skip(why)
    assert found["landed_when_full_count"] < found["batches_count"]
    assert found["lost_count"] == found["doubled_count"] == found["partial_views_count"] == 0


def test_hostile_files_change_no_good_row_on_the_whole_way(tmp_path: Path) -> None:
    """From files to landed rows each hostile one is quarantined with a right code, and good rows are as without."""
    size = ("--images", "120", "--bad", "60", "--large", "2")
    found = counted("tests.faults.hostile", tmp_path / "kept.json", *size)["hostile-files"]
    assert found["hostile_files_count"] >= 50
    assert found["good_rows_that_differ_count"] == found["wrong_codes_count"] == 0
    assert found["peak_mib_of_any_process"] < 1024
