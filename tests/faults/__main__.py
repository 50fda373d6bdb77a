"""All fault programs in full size, one after the other: `make faults`. The tests run the same code in a small size."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.faults.results import RESULT, table

PROGRAMS: tuple[tuple[str, ...], ...] = (
    ("tests.faults.kills",),
    ("tests.faults.failpoints",),
    ("tests.faults.bad_store",),
    ("tests.faults.full_disk",),
    ("tests.faults.site_cut",),
    ("tests.faults.orchestrator",),
    ("tests.faults.resume_scan",),
    ("tests.faults.growth",),
)
"""Module and arguments of each program; a program asserts what must hold and keeps its counts by `results.kept`."""


def main() -> int:
    """Run every program, also after one that failed; says at the end which did."""
    failed = [" ".join(one) for one in PROGRAMS if subprocess.run([sys.executable, "-m", *one], check=False).returncode]
    if RESULT.exists():
        sys.stdout.write(table(json.loads(RESULT.read_text())))
    for one in failed:
        sys.stderr.write(f"failed: {one}\n")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
