"""What a piece of work costs in energy, read from counters the machine has, or why it does not tell.

Nothing is estimated: without a counter there is no figure. A counter is of the whole package or GPU, so other work on
the machine at that time is in it. Knows no engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

RAPL_ROOT = Path("/sys/class/powercap")
"""Where Linux shows the energy counters of Intel and AMD processors."""

_COUNTED = ("package", "dram")
"""Zones that add up; `core` and `uncore` are parts of a package, `psys` holds it."""


class Meter(Protocol):
    """A counter of energy."""

    @property
    def source(self) -> str | None:
        """Rapl | nvml; None where nothing is counted."""
        ...

    @property
    def reason(self) -> str | None:
        """Why nothing is counted, else None."""
        ...

    def joules(self) -> float | None:
        """Give joules since the meter was opened; None where nothing is counted."""
        ...


class NoMeter:
    """A machine that does not tell.

    Args:
        reason: Why.
    """

    source = None

    def __init__(self, reason: str) -> None:
        self.reason = f"not told by this machine: {reason}"

    def joules(self) -> None:
        """Give nothing."""


class RaplMeter:
    """Packages and memory of the processors (running average power limit); counters that start again are followed.

    Args:
        root: Folder of the zones.

    Raises:
        OSError: There is no zone, or this user may not read one.
        ValueError: A counter holds no number.
    """

    source = "rapl"
    reason = None

    def __init__(self, root: Path = RAPL_ROOT) -> None:
        zones = [
            zone
            for zone in sorted(root.glob("intel-rapl:*"))
            if (zone / "name").read_text(encoding="ascii").startswith(_COUNTED)
        ]
        if not zones:
            raise FileNotFoundError(2, "no energy counter of a processor", str(root))
        self._last = {zone: _number(zone / "energy_uj") for zone in zones}
        self._range = {zone: _number(zone / "max_energy_range_uj") for zone in zones}
        self._total = 0

    def joules(self) -> float:
        """Give joules since the meter was opened."""
        for zone, last in self._last.items():
            now = _number(zone / "energy_uj")
            self._total += now - last if now >= last else now + self._range[zone] - last
            self._last[zone] = now
        return self._total / 1e6


class NvmlMeter:
    """The first GPU.

    Args:
        library: The module pynvml.
    """

    source = "nvml"
    reason = None

    def __init__(self, library: Any) -> None:
        self._library = library
        library.nvmlInit()
        self._gpu = library.nvmlDeviceGetHandleByIndex(0)
        self._first: int = self._millijoules()

    def joules(self) -> float:
        """Give joules since the meter was opened."""
        return (self._millijoules() - self._first) / 1e3

    def _millijoules(self) -> int:
        return int(self._library.nvmlDeviceGetTotalEnergyConsumption(self._gpu))


def open_meter(device: str, root: Path = RAPL_ROOT) -> Meter:
    """Open the counter of a device; one that gives nothing, with its reason, where there is none.

    Args:
        device: cpu | cuda | tensorrt.
        root: Folder of the processors' counters.
    """
    if device == "cpu":
        try:
            return RaplMeter(root)
        except (OSError, ValueError) as error:
            said = (error.strerror if isinstance(error, OSError) else None) or "a counter without a number"
            return NoMeter(f"{said} in {root}")
    try:
        import pynvml  # noqa: PLC0415 - an extra, of use beside a GPU only
    except ImportError:
        return NoMeter("pynvml is not installed; pip install 'labelop[nvml]'")
    try:
        return NvmlMeter(pynvml)
    except pynvml.NVMLError as error:
        return NoMeter(f"the GPU's driver says {error}")


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))
