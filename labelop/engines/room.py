"""How much memory is left for a pass, and what passes took: so that measuring never ends the machine it measures.

A system that lends more memory than it has refuses nothing: the pass that is too large is killed, and others with it.
So a larger pass is tried only where smaller ones say that it fits. Knows no engine and no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_STEP = 8
"""A pass is at most so many times the largest one that was seen."""
_PART = 2
"""A pass may take this part of what is free."""


@dataclass(slots=True)
class Appetite:
    """What the passes of one way to run a model take, side by side."""

    image_bytes: float
    """Bytes an image of a pass takes in all lanes together; its pixels as long as nothing was seen."""
    images: int = 0
    """Largest pass that was seen."""
    start_bytes: int | None = None
    """Resident memory of the process before the first of them, or None where nobody tells."""

    def begin(self) -> None:
        """Note where the first pass starts; later engines and what is left of earlier ones count as the passes'."""
        if self.start_bytes is None:
            self.start_bytes = status("VmRSS")

    def note(self, images: int, peak_bytes: int | None) -> None:
        """Learn from passes of a size that ran."""
        self.images = max(self.images, images)
        if peak_bytes is not None and self.start_bytes is not None:
            self.image_bytes = max(1.0, (peak_bytes - self.start_bytes) / images)

    def next_images(self, wanted: int) -> int:
        """Say how many images the next pass may have on the way to the wanted number."""
        return min(wanted, max(1, self.images * _STEP))

    def affordable(self, wanted: int, room_bytes: float) -> int:
        """Halve a number of images until their passes fit; at least 1."""
        while wanted > 1 and wanted * self.image_bytes > room_bytes:
            wanted //= 2
        return wanted


def room() -> float:
    """Give the bytes that passes may take: half of the memory that is free; no bound where nobody tells."""
    known = [free for free in (status("MemAvailable", Path("/proc/meminfo")), *_left_of_groups()) if free is not None]
    return max(0, min(known)) / _PART if known else float("inf")


def _left_of_groups(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """Tell what each control group around this process has left, in either version of them.

    Source: the kernel's documentation, admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. Inside a container the path
    may be the host's: what is not there is passed over up to the root, which is the container's own.
    """
    found = []
    for line in _text(groups).splitlines():
        _, kinds, path = [*line.split(":", 2), "", ""][:3]
        if kinds not in ("", "memory"):
            continue
        top = root / "memory" if kinds else root
        limit, used = ("memory.limit_in_bytes", "memory.usage_in_bytes") if kinds else ("memory.max", "memory.current")
        place = top / path.strip("/")
        for folder in (place, *(parent for parent in place.parents if parent.is_relative_to(top))):
            most, now = _text(folder / limit).strip(), _text(folder / used).strip()
            if most.isdecimal() and now.isdecimal():
                # pages of files that nobody uses are given back before anybody is killed
                spare = dict(row.split() for row in _text(folder / "memory.stat").splitlines()).get("inactive_file", 0)
                found.append(int(most) - int(now) + int(spare))
    return found


def reset_peak() -> int | None:
    """Forget the process' peak of resident memory, where the system can, and tell the present size."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return status("VmRSS")


def status(name: str, where: Path = Path("/proc/self/status")) -> int | None:
    """Read one size of a file of the system, bytes; None where it does not tell."""
    return next((int(row.split()[1]) * 1024 for row in _text(where).splitlines() if row.startswith(name + ":")), None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
