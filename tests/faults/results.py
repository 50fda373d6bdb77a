"""Keeps what the fault programs counted in `bench/results/faults.json` and prints it: one object per fault.

Each has the day, the commit and the load it was counted under, so that parts may be run on different days.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

RESULT_SETTING = "LABELOP_FAULTS_RESULT"
"""Environment variable that names another file, for a small form that is no figure."""
RESULT = Path(os.environ.get(RESULT_SETTING) or Path(__file__).resolve().parents[2] / "bench/results/faults.json")

Count = int | float | str


@contextmanager
def kept(fault: str, done: str) -> Iterator[dict[str, Count]]:
    """Keep what the block counts, with its seconds; nothing where it ends with an error.

    Args:
        fault: Name of the fault, words with dashes; an earlier result of this name is replaced.
        done: What was done to whom, one sentence.

    Yields:
        Counts by name, to be filled.
    """
    counts: dict[str, Count] = {}
    started, commit = time.monotonic(), _commit()
    yield counts
    seconds = round(time.monotonic() - started, 1)
    command = f"python -m {_module()} {' '.join(sys.argv[1:])}".strip()
    found = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    when = {"day": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit, "load": round(os.getloadavg()[0], 1)}
    found[fault] = {"done": done, "counts": counts, "seconds": seconds, "command": command, **when}
    RESULT.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")


def table(found: Mapping[str, Mapping[str, object]]) -> str:
    """Lay the results out for a terminal."""
    lines = []
    for fault, one in sorted(found.items()):
        when = f"{one.get('day')}, {one.get('commit')}, load {one.get('load')}"
        lines += [f"{fault} ({one['seconds']} s; {when}): {one['done']}"]
        counts = one["counts"]
        assert isinstance(counts, Mapping)
        lines += [f"  {name.replace('_', ' '):<44}{value:>14}" for name, value in counts.items()]
    return "\n".join(lines) + "\n"


def _commit() -> str:
    """Name the commit that is at work, with a plus where other files than results differ from it."""
    name = _git("rev-parse", "--short", "HEAD").stdout.strip()
    changed = name and _git("diff", "--quiet", "HEAD", "--", ":/", ":(top,exclude)bench/results").returncode
    return f"{name}{'+' if changed else ''}" or "unknown"


def _git(*given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *given], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else "tests.faults"


if __name__ == "__main__":
    sys.stdout.write(table(json.loads(RESULT.read_text())))
