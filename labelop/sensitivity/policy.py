"""The sensitivity policy: a versioned YAML that says what counts as how sensitive and where each level may go.

Fails closed: a policy past its date allows only what restricted allows, and no policy can be written under which a
higher level may go further than a lower one. Knows no image.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from labelop.forms import StrictForm, read_form
from labelop.ids import digest_of
from labelop.schemas import utc_now
from labelop.sensitivity.levels import Level, join

__all__ = ["SIGNAL_VERSIONS", "Level", "PathRule", "SensitivityPolicy", "join", "load_policy"]

SIGNAL_VERSIONS = {"declared": "1", "path": "1", "exif": "1"}
"""Version of each signal; part of the policy digest, so that a better signal classifies every image again."""

_LevelText = Literal["public", "internal", "confidential", "restricted"]
_Placement = Literal["onprem", "cloud"]


class _Form(StrictForm):
    model_config = ConfigDict(strict=True)


class _PlacementsForm(_Form):
    public: list[_Placement]
    internal: list[_Placement]
    confidential: list[_Placement]
    restricted: list[Literal["onprem"]]

    @model_validator(mode="after")
    def _check_order(self) -> _PlacementsForm:
        ordered: list[Sequence[str]] = [self.public, self.internal, self.confidential, self.restricted]
        for lower, higher, name in zip(ordered, ordered[1:], ("internal", "confidential", "restricted"), strict=False):
            if not set(higher) <= set(lower):
                raise ValueError(f"{name} may not allow more than the level below it ({lower})")
        return self


class _RuleForm(_Form):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    glob: Annotated[str, Field(min_length=1, max_length=1000)]
    level: _LevelText


class _PolicyForm(_Form):
    form: Literal[1] = Field(alias="schema")
    version: Annotated[str, Field(min_length=1, max_length=64)]
    valid_until: date
    placements: _PlacementsForm
    declared: Literal["trust", "ignore"]
    exif_gps: _LevelText
    unknown: Literal["restricted"]
    path_rules: list[_RuleForm] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_ids(self) -> _PolicyForm:
        ids = [rule.id for rule in self.path_rules]
        if len(set(ids)) != len(ids):
            raise ValueError(f"path_rules have ids that are used twice: {sorted({i for i in ids if ids.count(i) > 1})}")
        return self


@dataclass(frozen=True, slots=True)
class PathRule:
    """What a path says about its image."""

    rule_id: str
    """Name of the rule, unique in its policy."""
    glob: str
    """Pattern for the readable path relative to the source, without regard to case."""
    level: Level
    """Level of the images it matches."""

    def matches(self, path: str) -> bool:
        """Say whether a readable path matches."""
        return _pattern(self.glob).fullmatch(_plain(path)) is not None


@dataclass(frozen=True, slots=True)
class SensitivityPolicy:
    """A policy in force."""

    version: str
    """The operator's name for it."""
    digest: str
    """SHA-256 of its content, the versions of the signals and whether it is stale."""
    valid_until: date
    """Last day on which it counts."""
    stale: bool
    """Whether that day is over; then every image is restricted."""
    placements: Mapping[Level, frozenset[str]]
    """Placements that each level allows."""
    trust_declared: bool
    """Whether the owner's word counts."""
    gps_level: Level
    """Level of an image that carries a position."""
    path_rules: tuple[PathRule, ...]
    """Rules in the order of the file."""

    def allowed_placements(self, level: Level) -> frozenset[str]:
        """Give the placements where images of this level may be; under a stale policy those of restricted."""
        return self.placements[Level.RESTRICTED if self.stale else level]


def load_policy(path: Path, *, today: date | None = None) -> SensitivityPolicy:
    """Read a policy file.

    Args:
        path: YAML file.
        today: Day on which it is to count; the present day in UTC when None.

    Raises:
        PolicyError: The file cannot be read or breaks its form; names file, key, value found and values allowed.
    """
    form = read_form(path, _PolicyForm)
    stale = (today or utc_now().date()) > form.valid_until
    content = form.model_dump(mode="json", by_alias=True)
    return SensitivityPolicy(
        version=form.version,
        digest=digest_of({"policy": content, "signals": SIGNAL_VERSIONS, "stale": stale}),
        valid_until=form.valid_until,
        stale=stale,
        placements={level: frozenset(getattr(form.placements, level.text)) for level in Level},
        trust_declared=form.declared == "trust",
        gps_level=Level.from_text(form.exif_gps),
        path_rules=tuple(PathRule(r.id, r.glob, Level.from_text(r.level)) for r in form.path_rules),
    )


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    """Translate a glob: `**/` any folders or none, `**` anything, `*` and `?` inside one name."""
    tokens = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", _plain(glob))
    return re.compile("".join(tokens.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)


def _plain(text: str) -> str:
    """Bring spellings of one name together: composed and decomposed letters, capitals."""
    return unicodedata.normalize("NFC", text).casefold()
