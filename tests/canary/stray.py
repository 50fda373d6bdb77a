"""A process that knows nothing of the library and sends every picture of a folder to every address it finds."""

from __future__ import annotations

import os
import sys
import urllib.request
from pathlib import Path


def main(folder: Path) -> int:
    """Send; says 3 when something could not be sent."""
    bodies = [path.read_bytes() for path in folder.rglob("*.jpg")]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    failed = 0
    for target in [value for value in os.environ.values() if value.startswith("http")]:
        for body in bodies:
            try:
                opener.open(urllib.request.Request(f"{target}/v2/models/x/infer", body), timeout=5).close()
            except OSError:
                failed += 1
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
