"""The keeper of the fault figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults import results


def test_a_fault_is_kept_beside_the_others_and_only_when_its_program_ended_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts of a program that failed half way are not kept, those of other faults stay."""
    monkeypatch.setattr(results, "RESULT", tmp_path / "faults.json")
    with results.kept("disk-full", "filled a disk") as counts:
        counts["lost_count"] = 0
    with pytest.raises(AssertionError), results.kept("kills", "killed"):
        raise AssertionError
    found = json.loads((tmp_path / "faults.json").read_text())
    assert list(found) == ["disk-full"]
    assert found["disk-full"]["counts"] == {"lost_count": 0}
    assert "lost count" in results.table(found)
