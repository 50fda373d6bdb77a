"""A cut network costs a site time and nothing else; the programs of `make faults` in a small size."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.site_cut import MOST_ITEMS, cut_for_real, cut_simulated


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_six_simulated_hours_with_three_crashes(tmp_path: Path, seed: int) -> None:
    """Nothing lost, nothing doubled, order and quota kept; no item is sent more than twice in the mean."""
    counts = cut_simulated(tmp_path, hours=6, crashes=3, seed=seed)
    assert counts["items"] == 361


def test_an_outbox_that_fills_stops_the_nights_and_loses_nothing(tmp_path: Path) -> None:
    """Away for longer than the quota lasts: nights stop, and go on when there is room."""
    counts = cut_simulated(tmp_path, hours=9, crashes=3, seed=4)
    assert counts["nights_stopped_by_a_full_outbox"]
    assert counts["items"] == MOST_ITEMS


@pytest.mark.slow
def test_a_cut_wire_before_s3(tmp_path: Path) -> None:
    """Calls are never answered, nights go on meanwhile, and all is drained in order when the wire is mended."""
    counts = cut_for_real(tmp_path, minutes=0.15, nights_per_second=4)
    assert counts["connections_never_answered"]
