"""Energy is read from a counter or not told; it is never estimated."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from labelop.engines.energy import RaplMeter, open_meter


def zone(root: Path, number: str, name: str, energy_uj: int) -> Path:
    """Make one zone as the kernel shows it."""
    folder = root / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text("10000000\n")
    return folder


def test_packages_and_memory_add_up(tmp_path: Path) -> None:
    """Zones inside or around a package are not counted twice, and a counter that starts again is followed."""
    package, memory = zone(tmp_path, "0", "package-0", 9_000_000), zone(tmp_path, "0:1", "dram", 0)
    core, whole = zone(tmp_path, "0:0", "core", 0), zone(tmp_path, "1", "psys", 0)
    meter = RaplMeter(tmp_path)
    assert meter.joules() == 0
    for one, energy_uj in ((package, 500_000), (memory, 250_000), (core, 7_000_000), (whole, 7_000_000)):
        (one / "energy_uj").write_text(str(energy_uj))
    assert meter.joules() == pytest.approx(1.75)
    assert meter.joules() == pytest.approx(1.75)


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    """No figure, and the reason names the place that was looked at."""
    meter = open_meter("cpu", tmp_path / "none")
    assert (meter.source, meter.joules()) == (None, None)
    assert meter.reason == f"not told by this machine: no energy counter of a processor in {tmp_path / 'none'}"


def test_a_counter_without_a_number_is_no_counter(tmp_path: Path) -> None:
    """What cannot be read is not told, and ends nothing."""
    (zone(tmp_path, "0", "package-0", 1) / "energy_uj").write_text("?")
    assert "a counter without a number" in str(open_meter("cpu", tmp_path).reason)


def test_a_gpu_is_asked_through_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Millijoules since the start become joules."""
    readings = iter([1_000, 3_500])
    fake = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=lambda _: next(readings),
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    meter = open_meter("cuda")
    assert (meter.source, meter.joules()) == ("nvml", 2.5)


def test_a_gpu_that_does_not_tell_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library, and without a driver, the reason is told instead of a figure."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "labelop[nvml]" in str(open_meter("cuda").reason)

    def refuse() -> None:
        raise RuntimeError("Driver Not Loaded")

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(NVMLError=RuntimeError, nvmlInit=refuse))
    assert "the GPU's driver says Driver Not Loaded" in str(open_meter("cuda").reason)
