"""What a path or the root of a source (a folder, a bucket) says about its images. Knows no pixel and no table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from labelop.ingest import names
from labelop.sensitivity.levels import Level
from labelop.sensitivity.signals.base import Finding

NAME = "path"
VERSION = "2"
CATEGORIES = ("path_rule",)

_MAY_BE_EMPTY = ("**/", "**", "*")


@dataclass(frozen=True, slots=True)
class PathRule:
    """What a path says about its image."""

    rule_id: str
    """Name of the rule, unique in its policy."""
    glob: str
    """Pattern for the readable path relative to the source, without regard to case."""
    level: Level
    """Level of the images it matches."""
    source: str = "**"
    """Pattern for the root of the source, for example `s3://clinic-*/**`."""

    def matches(self, path: str, source: str = "") -> bool:
        """Say whether a readable path below a root matches."""
        return _fits(self.glob, path) and _fits(self.source, source)


def path_findings(paths: Sequence[str], source: str, rules: Sequence[PathRule]) -> list[Finding]:
    """Apply path rules to percent-encoded paths of all copies; one finding of the highest level, naming the rules."""
    readable = [names.readable(path) for path in paths]
    matching = [rule for rule in rules if any(rule.matches(path, source) for path in readable)]
    if not matching:
        return []
    ids = ", ".join(rule.rule_id for rule in matching)
    return [Finding(NAME, VERSION, "path_rule", max(rule.level for rule in matching), f"rules {ids}")]


def _fits(glob: str, text: str) -> bool:
    """Match a glob: `**/` any folders or none, `**` anything, `*` and `?` inside one name.

    All places of the glob that fit so far are followed side by side, so the time grows with the text and not with the
    ways to share it among wildcards, as it does where a regular expression tries one after another.
    """
    places = _entered(glob, 0)
    for sign in _plain(text):
        places = _after(glob, places, sign)
    return len(_tokens(glob)) in places


@lru_cache(maxsize=1024)
def _tokens(glob: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\*\*/|\*\*|.", _plain(glob), re.DOTALL))


@lru_cache(maxsize=1 << 14)
def _entered(glob: str, place: int) -> frozenset[int]:
    """Give a place and those behind it that are reached without a sign."""
    tokens, places = _tokens(glob), {place}
    while place < len(tokens) and tokens[place] in _MAY_BE_EMPTY:
        place += 1
        places.add(place)
    return frozenset(places)


@lru_cache(maxsize=1 << 14)
def _after(glob: str, places: frozenset[int], sign: str) -> frozenset[int]:
    """Give the places that are reached from these with one sign."""
    tokens, found = _tokens(glob), set[int]()
    for place in places:
        piece = tokens[place] if place < len(tokens) else ""
        if piece == "**" or (piece == "*" and sign != "/"):
            found |= _entered(glob, place)
        elif piece == "**/":
            # inside a folder's name only its end leads on
            found |= {place} if sign != "/" else {place} | _entered(glob, place + 1)
        elif piece == sign or (piece == "?" and sign != "/"):
            found |= _entered(glob, place + 1)
    return frozenset(found)


def _plain(text: str) -> str:
    """Bring spellings of one name together: composed and decomposed letters, capitals."""
    return unicodedata.normalize("NFC", text).casefold()
