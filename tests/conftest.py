"""What every test may rely on: helper modules beside this file can be imported, and no setting leaks in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the developer's shell must not decide a test."""
    for name in [key for key in os.environ if key.startswith("LABELOP_")]:
        monkeypatch.delenv(name)
