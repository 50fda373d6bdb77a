"""Fault programs, one after the other: all of them in full size is `make faults`. The tests run the same code, small.

Each part keeps its own figures in bench/results/faults.json as soon as it ends well, so parts can be run alone and on
different days; `--missing` goes on where an interrupted run stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Container, Sequence
from dataclasses import dataclass

from tests.faults.results import RESULT, RESULT_SETTING, table

_QUICK = RESULT.parents[2] / "build" / "faults-quick.json"


@dataclass(frozen=True, slots=True)
class Part:
    """One program; it asserts what must hold and keeps its counts by `results.kept`."""

    about: str
    """What it does, for the help."""
    keeps: tuple[str, ...]
    """Names of its figures."""
    quick: tuple[str, ...] = ()
    """Arguments of the small form; the full one needs none."""


_ORCHESTRATOR = (
    *("worker-killed", "worker-and-child-killed", "slot-leaked", "server-down", "sqlite-locked"),
    *("executed-twice", "crashed-comes-back", "cancelled", "cancelled-in-prefect"),
)

PARTS: dict[str, Part] = {
    "kills": Part(
        "500 random kill -9, and 50 each on S3 and from the files on; readers poll every 50 ms",
        ("random-kills", "random-kills-ingest", "random-kills-s3"),
        ("--images", "640", "--kills", "12"),
    ),
    "failpoints": Part(
        "a kill at every change of the store, in a folder and on S3",
        ("failpoints-folder", "failpoints-s3"),
        ("--every", "17"),
    ),
    "bad_store": Part("S3 that answers 503, 409 and breaks off", ("bad-store",), ("--images", "64")),
    "unsafe_store": Part("S3 that ignores the condition of a write is refused before a run", ("unsafe-store",)),
    "full_disk": Part("a disk that runs full in mid-write", ("disk-full",)),
    "hostile": Part(
        "hostile files among good ones, from the files to the landed rows",
        ("hostile-files",),
        ("--images", "120", "--bad", "60", "--large", "2"),
    ),
    "large_annotations": Part(
        "the memory that the largest annotation file takes",
        ("large-annotations",),
        ("--records", "20000", "--bytes", "8000000"),
    ),
    "site_cut": Part(
        "a site without its network: 30 minutes, and 6 simulated hours",
        ("site-offline-simulated", "site-network-cut"),
        ("--minutes", "0.5"),
    ),
    "orchestrator": Part(
        "a real Prefect server and its worker: killed, away, locked, twice, cancelled",
        _ORCHESTRATOR,
        ("--images", "24", "--away-seconds", "20", "slot-leaked", "server-down", "cancelled"),
    ),
    "resume_scan": Part("how long a resumed run looks at 1,000,000 rows", ("resume-scan",), ("--images", "50000")),
    "growth": Part(
        "memory of a worker over 100,000 images", ("memory-growth",), ("--images", "20000", "--others", "20000")
    ),
}
"""Every part by the name of its module."""


def main() -> int:
    """Run the parts that are asked for, also after one that failed; says at the end which did."""
    listed = "\n".join(f"  {name:<14}{part.about}" for name, part in PARTS.items())
    given = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        epilog=f"parts:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    given.add_argument("part", nargs="*", choices=[*PARTS, []], help="all when left out", metavar="part")
    given.add_argument(
        "--quick", action="store_true", help="a small form of each, minutes in all, kept in build/faults-quick.json"
    )
    given.add_argument("--missing", action="store_true", help="only parts that lack figures")
    asked = given.parse_args()
    kept = _QUICK if asked.quick else RESULT
    kept.parent.mkdir(exist_ok=True)
    found = json.loads(kept.read_text()) if kept.exists() else {}
    names = chosen(asked.part, found, is_resumed=asked.missing)
    failed = [name for name in names if _run(name, is_quick=asked.quick)]
    if kept.exists():
        sys.stdout.write(table(json.loads(kept.read_text())))
    for name in failed:
        sys.stderr.write(f"failed: {name}\n")
    return len(failed)


def chosen(asked: Sequence[str], found: Container[str], *, is_resumed: bool) -> list[str]:
    """Name the parts to run: those asked for, or all; without those that have their figures where a run goes on."""
    return [name for name in asked or PARTS if not is_resumed or any(one not in found for one in PARTS[name].keeps)]


def _run(name: str, *, is_quick: bool) -> int:
    part = PARTS[name]
    sys.stdout.write(f"{name}: {part.about}\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", f"tests.faults.{name}", *(part.quick if is_quick else ())]
    kept = {RESULT_SETTING: str(_QUICK)} if is_quick else {}
    return subprocess.run(command, env={**os.environ, **kept}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
