"""Which of several cheapest scripts is taken, so that there is one answer. Plain numbers, also for the compiler."""

from __future__ import annotations

OVERLAP_SECONDS = 1e-6
"""Of two scripts that cost the same, the one whose pairs overlap more is taken: a whole IoU weighs a microsecond."""

_TIE_SECONDS = 1e-10


def tie_seconds(i: int, j: int) -> float:
    """Tell pairs apart that cost the same and overlap the same.

    Args:
        i: Position of the draft among those of its image that may be paired, by id.
        j: Position of the label, by id.

    Returns:
        Seconds, below a tenth of a nanosecond; the same for the same positions.
    """
    return ((i * 73856093) ^ (j * 19349663)) % 1009 / 1009 * _TIE_SECONDS
