"""What every signal gives: observations without the sensitive text, and how a run of a signal ended.

A signal says what is there; what that means is the policy's word, so that results stay right when the policy changes.
Knows no policy, no table and no library.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from labelop.sensitivity.levels import Level

SIGNAL_ERROR = "signal_error"
SIGNAL_TIMEOUT = "signal_timeout"
SIGNAL_MISSING = "signal_missing"
FAULTS = (SIGNAL_ERROR, SIGNAL_TIMEOUT, SIGNAL_MISSING)
"""Categories of a signal that could not speak; always restricted."""

_TOKEN_DIGITS = 24
_EDGES = 4

Region = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the upright image."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing a signal saw."""

    category: str
    """Kind of thing, for example `gps`."""
    evidence: str
    """What was seen, in words that give nothing away."""
    region: Region | None = None
    """Where in the upright image, pixels; None where it is in no place."""
    score: float | None = None
    """How sure the signal is, 0..1; None where it does not say."""
    token: str | None = None
    """Keyed hash of what was read, so that equal texts can be told without the text; None where nothing was read."""


@dataclass(frozen=True, slots=True)
class SignalResult:
    """How one signal ended on one image."""

    signal: str
    """Name of the signal."""
    signal_version: str
    """Its version."""
    outcome: str
    """ok | error | timeout | missing."""
    observations: tuple[Observation, ...] = ()
    """What it saw; empty unless ok."""
    reason: str = ""
    """Kind of the fault, empty when ok."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of evidence for a level."""

    signal: str
    """Which signal: declared, path, metadata, dicom, codes, faces, text."""
    signal_version: str
    """Version of the signal that found it."""
    category: str
    """Kind of evidence, for example `gps`."""
    level: Level
    """Level it stands for under the policy."""
    evidence: str
    """What was seen, in words that give nothing away."""
    region: Region | None = None
    """Where in the upright image, pixels; None where it is in no place."""
    score: float | None = None
    """How sure the signal is, 0..1."""
    token: str | None = None
    """Keyed hash of what was read."""


def keyed_token(key: str, kind: str, text: str) -> str | None:
    """Hash a text that was read, without regard to case, spaces and punctuation; None without a key.

    Args:
        key: The store's key, hex.
        kind: Category, so that equal digits of two kinds give two tokens.
        text: What was read; it goes no further.
    """
    if not key:
        return None
    plain = "".join(sign for sign in text.casefold() if sign.isalnum())
    return hmac.new(bytes.fromhex(key), f"{kind}:{plain}".encode(), hashlib.sha256).hexdigest()[:_TOKEN_DIGITS]


def to_json(observations: Sequence[Observation]) -> list[dict[str, Any]]:
    """Give observations as plain values."""
    return [asdict(one) for one in observations]


def from_json(rows: object) -> tuple[Observation, ...]:
    """Read observations that came from a child process or a table.

    Raises:
        ValueError: This is no list of observations: a score is no share, a region no box, or a text is missing.
    """
    if not isinstance(rows, list):
        # an empty dict or text would read as "saw nothing", which is what a clean image says
        raise ValueError("the answer is no list of observations")  # noqa: TRY004 - foreign values, one class
    return tuple(_checked(row) for row in rows)


def _checked(row: Mapping[str, Any]) -> Observation:
    region, score, token = row.get("region"), row.get("score"), row.get("token")
    if not isinstance(row.get("category"), str) or not isinstance(row.get("evidence"), str):
        raise ValueError("an observation has no category or no evidence")  # noqa: TRY004 - foreign values, one class
    if score is not None and not (isinstance(score, int | float) and 0.0 <= score <= 1.0):  # NaN is in no range
        raise ValueError("a score is not a number between 0 and 1")
    if region is not None and (len(region) != _EDGES or not all(math.isfinite(edge) for edge in region)):
        raise ValueError("a region is not four finite edges")
    if region is not None and not (region[0] <= region[2] and region[1] <= region[3]):
        raise ValueError("a region ends before it begins")  # painting it over would hide nothing
    if token is not None and not isinstance(token, str):
        raise ValueError("a token is no text")
    box = None if region is None else tuple(float(edge) for edge in region)
    return Observation(row["category"], row["evidence"], box, score, token)  # type: ignore[arg-type]
