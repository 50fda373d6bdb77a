"""The sensitivity policy: a versioned YAML that says what counts as how sensitive and where each level may go.

Fails closed: a policy past its date allows only what restricted allows, a category it does not name is restricted, and
no policy can be written under which a higher level may go further than a lower one. Knows no image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from labelop.forms import StrictForm, read_form
from labelop.ids import digest_of
from labelop.schemas import utc_now
from labelop.sensitivity.levels import Level, join
from labelop.sensitivity.release import ReleaseRule
from labelop.sensitivity.signals import declared, dicom, metadata, paths
from labelop.sensitivity.signals.looking import PIXEL_SIGNALS
from labelop.sensitivity.signals.paths import PathRule

__all__ = ["Level", "OwnerRule", "PathRule", "SensitivityPolicy", "join", "load_policy"]

CHEAP_SIGNALS = {module.NAME: module for module in (declared, paths, metadata, dicom)}
"""Signals that always run."""

JUDGED_CATEGORIES = tuple(
    sorted({name for module in (metadata, dicom, *PIXEL_SIGNALS.values()) for name in module.CATEGORIES})
)
"""Categories whose level is the policy's word."""

_IN_PIXELS = tuple(sorted({name for module in PIXEL_SIGNALS.values() for name in module.CATEGORIES}))
"""Categories with a region that can be painted over."""
_IN_NOTES = tuple(sorted({*metadata.CATEGORIES, *dicom.CATEGORIES} - {"dicom_burned_in"}))
"""Categories that a file's notes hold and its pixels do not, so that they stay behind when only pixels leave."""

_LevelText = Literal["public", "internal", "confidential", "restricted"]
_Category = Literal[JUDGED_CATEGORIES]  # type: ignore[valid-type]
_Placement = Literal["onprem", "cloud"]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
_Glob = Annotated[str, Field(min_length=1, max_length=1000)]


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
    id: _Name
    glob: _Glob = "**"
    source: _Glob = "**"
    level: _LevelText


class _OwnerForm(_Form):
    owner: Annotated[str, Field(min_length=1, max_length=200)]
    level: _LevelText


class _ReleaseForm(_Form):
    id: _Name
    up_to: Literal["public", "internal", "confidential"]
    placements: Annotated[list[_Placement], Field(min_length=1)]
    redact: list[Literal[_IN_PIXELS]] = Field(default_factory=list)  # type: ignore[valid-type]
    strip: list[Literal[_IN_NOTES]] = Field(default_factory=list)  # type: ignore[valid-type]
    downscale_px: Annotated[int, Field(ge=16, le=65_535)] | None = None


_FOR_GOOD = 1 << 31
_When = Literal["open", "always", "never"]


class _SignalsForm(_Form):
    codes: _When = "never"
    faces: _When = "never"
    text: _When = "never"
    faces_model: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class _PolicyForm(_Form):
    form: Literal[2] = Field(alias="schema")
    version: Annotated[str, Field(min_length=1, max_length=64)]
    valid_until: date
    placements: _PlacementsForm
    declared: Literal["trust", "verify", "ignore"]
    unknown: Literal["restricted"]
    categories: dict[_Category, _LevelText]
    signals: _SignalsForm = Field(default_factory=_SignalsForm)
    path_rules: list[_RuleForm] = Field(default_factory=list)
    owners: dict[_Name, _OwnerForm] = Field(default_factory=dict)
    release: list[_ReleaseForm] = Field(default_factory=list)
    retention_days: dict[_LevelText, Annotated[int, Field(ge=1, le=36_500)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_between_keys(self) -> _PolicyForm:
        faults = [*self._retention_faults(), *self._id_faults(), *self._release_faults()]
        if faults:
            raise ValueError("; and ".join(faults))
        return self

    def _retention_faults(self) -> Iterator[str]:
        # the highest evidence goes first: what is left never explains more than there was, so it can open nothing
        days = {Level.from_text(text): count for text, count in self.retention_days.items()}
        kept = [days.get(level, _FOR_GOOD) for level in sorted(Level)]
        if kept != sorted(kept, reverse=True):
            yield "retention_days may not keep evidence of a level longer than that of the level below it"

    def _id_faults(self) -> Iterator[str]:
        for name, rules in (("path_rules", self.path_rules), ("release", self.release)):
            ids = [rule.id for rule in rules]
            if len(set(ids)) != len(ids):
                yield f"{name} have ids that are used twice: {sorted({i for i in ids if ids.count(i) > 1})}"

    def _release_faults(self) -> Iterator[str]:
        dead = [rule.id for rule in self.release if not self._opens_something(rule)]
        if dead:
            yield (
                f"release rules {dead} can never let anything out: each needs a category under redact or strip whose "
                "level is at most its up_to and may not go to one of its placements as it is"
            )

    def _opens_something(self, rule: _ReleaseForm) -> bool:
        taken = {Level.from_text(self.categories[one]) for one in (*rule.redact, *rule.strip) if one in self.categories}
        return any(
            level <= Level.from_text(rule.up_to) and place not in getattr(self.placements, level.text)
            for level in taken
            for place in rule.placements
            if place in self.placements.public
        )


@dataclass(frozen=True, slots=True)
class OwnerRule:
    """Whose a dataset is, and the level of its images while nothing else is known of them."""

    owner: str
    """Name of the person or office that answers for it."""
    level: Level
    """Least level of its images."""


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
    declared: Literal["trust", "verify", "ignore"]
    """What the owner's word counts for: trust settles the level, verify counts it and looks all the same."""
    categories: Mapping[str, Level]
    """Level by category; a category that is not in it is restricted."""
    signals: Mapping[str, Literal["open", "always", "never"]]
    """When each signal that looks at pixels runs: open is while no evidence has settled the level."""
    faces_model: str | None
    """Id of the detector card that finds faces; None for the cascades."""
    path_rules: tuple[PathRule, ...]
    """Rules in the order of the file."""
    owners: Mapping[str, OwnerRule]
    """Owner by dataset."""
    release_rules: tuple[ReleaseRule, ...]
    """What may leave after redaction, in the order of the file."""
    retention_days: Mapping[Level, int]
    """Days for which evidence of a level is kept; a level that is not in it is kept for good."""

    def allowed_placements(self, level: Level) -> frozenset[str]:
        """Give the placements where images of this level may be; under a stale policy those of restricted."""
        return self.placements[Level.RESTRICTED if self.stale else level]

    def level_of(self, category: str) -> Level:
        """Give the level of a category; restricted where the policy does not name it."""
        return self.categories.get(category, Level.RESTRICTED)


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
    # how long evidence is kept changes no level: images need not be classified again
    content = form.model_dump(mode="json", by_alias=True, exclude={"retention_days"})
    used = {name: getattr(form.signals, name) for name in PIXEL_SIGNALS}
    versions = {name: module.VERSION for name, module in CHEAP_SIGNALS.items()} | {
        name: module.VERSION for name, module in PIXEL_SIGNALS.items() if used[name] != "never"
    }
    return SensitivityPolicy(
        version=form.version,
        digest=digest_of({"policy": content, "signals": versions, "stale": stale}),
        valid_until=form.valid_until,
        stale=stale,
        placements={level: frozenset(getattr(form.placements, level.text)) for level in Level},
        declared=form.declared,
        categories={name: Level.from_text(text) for name, text in form.categories.items()},
        signals=used,
        faces_model=form.signals.faces_model,
        path_rules=tuple(PathRule(r.id, r.glob, Level.from_text(r.level), r.source) for r in form.path_rules),
        owners={name: OwnerRule(one.owner, Level.from_text(one.level)) for name, one in form.owners.items()},
        release_rules=tuple(
            ReleaseRule(
                rule_id=r.id,
                up_to=Level.from_text(r.up_to),
                placements=frozenset(r.placements),
                redact=frozenset(r.redact),
                strip=frozenset(r.strip),
                downscale_px=r.downscale_px,
            )
            for r in form.release
        ),
        retention_days={Level.from_text(text): days for text, days in form.retention_days.items()},
    )
