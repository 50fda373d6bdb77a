"""Why a pilot has to stop before its end: what it does to reviewers and to images, whatever it may prove.

Knows estimates, no table and no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelop.effort.estimates import Estimate
from labelop.pilot.protocol import Protocol


@dataclass(frozen=True, slots=True)
class Harm:
    """Why a pilot has to stop now."""

    rule: str
    """catch | policy | saving."""
    said: str
    """One sentence."""


def harms(
    protocol: Protocol,
    savings_of: Mapping[str, Estimate],
    catches: Mapping[str, Estimate],
    breaches: Sequence[str],
) -> list[Harm]:
    """Say why a pilot must stop before its end.

    Args:
        protocol: What was declared.
        savings_of: Saving against the blind arm, by arm.
        catches: Share of seeded errors each reviewer caught.
        breaches: Sentences about broken policy.

    Returns:
        Reasons; empty when it may go on. Rules: `measures.md` section 3.
    """
    found = [Harm("policy", one) for one in breaches]
    failing = [
        name for name, one in sorted(catches.items()) if one.high is not None and one.high < protocol.catch_target
    ]
    if catches and 2 * len(failing) >= len(catches):
        told = (
            f"{len(failing)} of {len(catches)} reviewers catch less than {protocol.catch_target:.0%} of seeded errors"
        )
        found.append(Harm("catch", f"{told}: drafts are waved through."))
    for arm, one in sorted(savings_of.items()):
        if one.high is not None and one.high < 0:
            found.append(
                Harm("saving", f"Drafts of {arm} cost reviewers time: saving {one.value:.1%} at most {one.high:.1%}.")
            )
    return found
