"""The floor a way is compared with: pure inference and decode, and nothing else. Knows no model and no clock."""

from __future__ import annotations

from collections.abc import Sequence


def floor_rate(forward: float, decode: float) -> float:
    """Images per second when both cores do nothing but pure inference and the fastest decode.

    Each rate is that of all cores together, so the two times of an image add up.

    Args:
        forward: Images per second of the fastest engine, all cores.
        decode: Images per second of the fastest decode to the model's input, all cores.
    """
    if forward <= 0 or decode <= 0:
        raise ValueError(f"rates are {forward} and {decode}, expected more than zero")
    return 1.0 / (1.0 / forward + 1.0 / decode)


def floor_of(forward: Sequence[Sequence[float]], decode: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Compute a floor round by round, so that it has a spread of its own; see `floor_rate`.

    Args:
        forward: Rates of every pure inference, one sequence of rounds each.
        decode: Rates of every decode.
    """
    return tuple(floor_rate(f, d) for f, d in zip(fastest(forward), fastest(decode), strict=False))


def fastest(group: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Give the fastest of each round; slow cases have fewer rounds."""
    longest = max(len(rates) for rates in group)
    return tuple(max(rates[i] for rates in group if i < len(rates)) for i in range(longest))
