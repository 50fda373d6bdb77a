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
    return _pattern(glob).fullmatch(_plain(text)) is not None


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    """Translate a glob: `**/` any folders or none, `**` anything, `*` and `?` inside one name."""
    tokens = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", _plain(glob))
    return re.compile("".join(tokens.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)


def _plain(text: str) -> str:
    """Bring spellings of one name together: composed and decomposed letters, capitals."""
    return unicodedata.normalize("NFC", text).casefold()
