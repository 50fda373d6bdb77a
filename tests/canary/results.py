"""Keeps what the rig counted in `build/canary.json` and prints it: `python -m tests.canary.results`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RESULT = Path(__file__).resolve().parents[2] / "build" / "canary.json"


def keep(part: str, found: Any) -> None:
    """Write one part of the results; the others stay."""
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {"command": "make canary"}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({**kept, part: found}, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Print what was kept as two tables."""
    kept = json.loads(RESULT.read_text())
    out = [f"{'attempted sends':<48}{'':>8}"]
    sends = kept["attempts"]
    out += [f"  {way:<46}{count:>8}" for way, count in sorted(sends["by_way"].items())]
    out += [
        f"  {'in all':<46}{sum(sends['by_way'].values()):>8}",
        f"  {'canaries found':<46}{sends['canaries_found']:>8}",
        "",
    ]
    out.append(f"{'layers taken away':<48}{'canaries found':>16}")
    out += [f"  {' and '.join(row['without']) or 'none':<46}{row['canaries_found']:>16}" for row in kept["layers"]]
    sys.stdout.write("\n".join(out) + f"\n\n{RESULT}\n")


if __name__ == "__main__":
    main()
