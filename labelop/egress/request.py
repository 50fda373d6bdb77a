"""What the gate is asked, and what it asks of a policy. Knows no key, no log and no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from labelop.egress.forms import ReleaseForm
from labelop.sensitivity.levels import Level


class EgressPolicy(Protocol):
    """What the gate asks of a sensitivity policy."""

    @property
    def digest(self) -> str:
        """Names the policy's content."""
        ...

    def allowed_placements(self, level: Level) -> frozenset[str]:
        """List the placements a level may run in."""
        ...


class FormPolicy(Protocol):
    """Says in which other form an image may leave; rules of the policy, asked only below restricted."""

    def __call__(self, policy: Any, level: Level, findings: Sequence[Any], placement: str) -> ReleaseForm | None:
        """Give the form in which an image may go to a placement it may not go to as it is; None when in none."""
        ...


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """One image that wants out."""

    pixels: NDArray[np.uint8]
    """RGB, shape (height, width, 3), upright."""
    image_id: str
    """SHA-256 of the original bytes."""
    level: str
    """Sensitivity level as text."""
    findings: Sequence[Any] = ()
    """What was found in it; asked for only where the policy knows release forms."""
    width_px: int = 0
    """Width of the frame in which regions of findings are given; that of the pixels when 0."""
    height_px: int = 0
    """Height of that frame; that of the pixels when 0."""
