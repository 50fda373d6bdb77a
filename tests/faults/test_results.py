"""The keeper of the fault figures."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.faults import __main__ as parts
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
    assert found["disk-full"]["day"]
    assert found["disk-full"]["commit"]
    assert "lost count" in results.table(found)


def test_every_part_is_a_program_and_only_what_lacks_figures_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part names an importable module; a run that goes on leaves out parts whose figures are all there."""
    assert all(find_spec(f"tests.faults.{name}") for name in parts.PARTS)
    kept = {one for name, part in parts.PARTS.items() for one in part.keeps if name != "full_disk"}
    assert parts.chosen([], kept, is_resumed=True) == ["full_disk"]
    assert parts.chosen([], kept, is_resumed=False) == [*parts.PARTS]
    assert parts.chosen(["kills"], kept, is_resumed=True) == []
