"""What every test may rely on: no setting of the shell leaks in."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the developer's shell must not decide a test."""
    for name in [key for key in os.environ if key.startswith("LABELOP_")]:
        monkeypatch.delenv(name)
