"""Keeps what the fault programs counted in `bench/results/faults.json` and prints it: one object per fault."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

RESULT = Path(__file__).resolve().parents[2] / "bench" / "results" / "faults.json"

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
    started = time.monotonic()
    yield counts
    seconds = round(time.monotonic() - started, 1)
    command = f"python -m {_module()} {' '.join(sys.argv[1:])}".strip()
    found = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    found[fault] = {"done": done, "counts": counts, "seconds": seconds, "command": command}
    RESULT.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")


def table(found: Mapping[str, Mapping[str, object]]) -> str:
    """Lay the results out for a terminal."""
    lines = []
    for fault, one in sorted(found.items()):
        lines += [f"{fault} ({one['seconds']} s): {one['done']}"]
        counts = one["counts"]
        assert isinstance(counts, Mapping)
        lines += [f"  {name.replace('_', ' '):<44}{value:>14}" for name, value in counts.items()]
    return "\n".join(lines) + f"\n\n{RESULT}\n"


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else "tests.faults"


if __name__ == "__main__":
    sys.stdout.write(table(json.loads(RESULT.read_text())))
