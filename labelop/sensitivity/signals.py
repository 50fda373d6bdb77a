"""Signals: each looks at one kind of evidence and gives findings, never the sensitive text itself.

Declared levels, path rules and position notes inside the file. A finding says what kind of evidence was seen; no
coordinate, no path and no name goes into it. Knows the policy; must not know tables.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from labelop.errors import UnreadableImageError
from labelop.ingest import names
from labelop.ingest.decode import DEFAULT_LIMITS, FORMATS, quiet
from labelop.sensitivity.policy import SIGNAL_VERSIONS, Level, SensitivityPolicy

_GPS_TAG = 0x8825
_PAGED = ("TIFF", "MPO")  # formats whose later frames have notes of their own
_XMP_POSITIONS = (b"GPSLatitude", b"GPSLongitude", b"GPSPosition")


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of evidence for a level."""

    signal: str
    """declared | path | exif."""
    signal_version: str
    """Version of the signal that found it."""
    category: str
    """Kind of evidence, for example `gps`."""
    level: Level
    """Level it stands for."""
    evidence: str
    """What was seen, in words that give nothing away."""


def finding(signal: str, category: str, level: Level, evidence: str) -> Finding:
    """Make a finding with the present version of its signal."""
    return Finding(signal, SIGNAL_VERSIONS[signal], category, level, evidence)


def declared_signal(declared: Sequence[str | None], policy: SensitivityPolicy) -> list[Finding]:
    """Take the owner's word: the highest level declared for any copy; a level that is not known is restricted."""
    given = [Level.from_text(text) for text in declared if text is not None]
    if not given or not policy.trust_declared:
        return []
    return [finding("declared", "declared_level", max(given), f"declared for {len(given)} of {len(declared)} copies")]


def path_signal(paths: Sequence[str], policy: SensitivityPolicy) -> list[Finding]:
    """Apply path rules to percent-encoded paths of all copies; one finding of the highest level, naming the rules."""
    readable = [names.readable(path) for path in paths]
    rules = [rule for rule in policy.path_rules if any(rule.matches(path) for path in readable)]
    if not rules:
        return []
    ids = ", ".join(rule.rule_id for rule in rules)
    return [finding("path", "path_rule", max(rule.level for rule in rules), f"rules {ids}")]


def exif_signal(data: bytes, policy: SensitivityPolicy) -> list[Finding]:
    """Look for a position in EXIF or XMP; also an empty position block counts, since somebody's tool wrote one.

    Raises:
        UnreadableImageError: The notes of the file cannot be read; the caller takes that for restricted.
    """
    try:
        with quiet(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            pages = min(getattr(image, "n_frames", 1), DEFAULT_LIMITS.max_frames) if image.format in _PAGED else 1
            seen = any(_GPS_TAG in _turned(image, page).getexif() for page in range(pages))
            notes = [note for note in _turned(image, 0).info.values() if isinstance(note, str | bytes)]
    except Exception as error:
        # as in decode: hostile notes raise any class, and this is the rim
        raise UnreadableImageError(
            f"Notes inside the image cannot be read: {type(error).__name__}.", code="CORRUPT"
        ) from error
    texts = [data, *(note.encode("utf-8", "replace") if isinstance(note, str) else note for note in notes)]
    with_xmp = any(sign in text for text in texts for sign in _XMP_POSITIONS)
    kinds = ", ".join(kind for kind, there in (("EXIF", seen), ("XMP", with_xmp)) if there)
    return [finding("exif", "gps", policy.gps_level, f"position block in {kinds}")] if kinds else []


def _turned(image: Image.Image, page: int) -> Image.Image:
    if image.tell() != page:
        image.seek(page)
    return image
