"""What holds pixels and keys leaves nothing of them behind when it crashes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.small_sample import ROOT


@pytest.mark.parametrize("started", ["import flows", "from labelop import cli; cli.app = lambda: 0; cli.main()"])
def test_a_crash_leaves_no_core_file(started: str) -> None:
    """A worker and a command hold pixels and the release key: both take the right to write a core file from themselves.

    Before, only the children that decode did.
    """
    asked = "import atexit, os, resource; asked = []; resource.setrlimit = lambda *limit: asked.append(limit)\n"
    told = "os._exit = lambda code: None\n"
    ended = "\nassert (resource.RLIMIT_CORE, 0) in [(kind, limit[0]) for kind, limit in asked], asked; print('none')"
    begun = f"{asked}{told}try:\n    {started}\nexcept SystemExit: pass{ended}"
    done = subprocess.run([sys.executable, "-c", begun], cwd=ROOT, capture_output=True, check=False, text=True)
    assert done.stdout.strip() == "none", done.stderr[-2000:]
