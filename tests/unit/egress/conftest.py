"""What the egress path logs is heard, whatever libraries did to logging in tests before."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loggers under test speak up to the root."""
    for name in ("labelop", "labelop.egress", "labelop.egress.far_end", "labelop.egress.keys"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
