"""How well the signals find what a set of labelled pictures holds: recall and precision by category, and by level.

Every picture is taken as declared public, so that only the signals can keep it at home. Knows no table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from labelop.errors import ManifestError
from labelop.forms import StrictForm, check_form
from labelop.sensitivity.cascade import classify_image
from labelop.sensitivity.levels import Level
from labelop.sensitivity.policy import SensitivityPolicy
from labelop.sensitivity.signals.base import FAULTS, Finding
from labelop.sensitivity.signals.looking import Looker
from labelop.strict_text import MAX_BYTES, read_json, read_regular

_PRESENT = {"declared_level", "owner_level"}
"""Categories that say nothing about the picture."""


class _Row(StrictForm):
    file: str
    holds: list[str]
    kind: str


class _Rows(StrictForm):
    pictures: list[_Row]


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture, what it holds, and what was found."""

    file: str
    """Path below the folder of images."""
    kind: str
    """What was drawn."""
    holds: frozenset[str]
    """Categories it holds; empty for a clean look-alike."""
    wanted: Level
    """Level that these categories have."""
    findings: tuple[Finding, ...]
    """What the signals found."""
    level: Level
    """Level they came to."""

    @property
    def found(self) -> frozenset[str]:
        """Categories that were found."""
        return frozenset(found.category for found in self.findings) - _PRESENT


@dataclass(frozen=True, slots=True)
class CategoryScore:
    """How one category fared."""

    category: str
    """The category."""
    holding_count: int
    """Pictures that hold it."""
    found_count: int
    """Pictures in which it was found."""
    both_count: int
    """Pictures in which it was found and that hold it."""
    kept_count: int
    """Pictures that hold it and came to at least its level, for whatever reason."""

    @property
    def recall(self) -> float | None:
        """Share of the pictures holding it in which it was found."""
        return self.both_count / self.holding_count if self.holding_count else None

    @property
    def precision(self) -> float | None:
        """Share of its findings that were right."""
        return self.both_count / self.found_count if self.found_count else None


def judge(folder: Path, policy: SensitivityPolicy, looker: Looker, threads: int = 1) -> list[Judged]:
    """Classify every picture of a labelled set.

    Args:
        folder: Holds `labels.json` and `images`.
        policy: The rules.
        looker: Looks into files.
        threads: Pictures at once.

    Raises:
        ManifestError: The labels are missing or broken.
    """
    rows = _labels(folder)

    def one(row: _Row) -> Judged:
        findings, level, _ = classify_image(
            declared=["public"],
            paths=[quote(row.file)],
            read=(folder / "images" / row.file).read_bytes,
            policy=policy,
            look=looker.look,
        )
        wanted = max((_level_of(name, policy, findings) for name in row.holds), default=Level.PUBLIC)
        return Judged(row.file, row.kind, frozenset(row.holds), wanted, tuple(findings), level)

    with ThreadPoolExecutor(threads, thread_name_prefix="evaluate") as pool:
        return list(pool.map(one, rows))


def scores(judged: Sequence[Judged], policy: SensitivityPolicy) -> list[CategoryScore]:
    """Count by category, in the order of their names; faults of signals are categories too."""
    names = sorted({name for one in judged for name in one.holds | one.found})
    return [
        CategoryScore(
            category=name,
            holding_count=sum(name in one.holds for one in judged),
            found_count=sum(name in one.found for one in judged),
            both_count=sum(name in one.holds & one.found for one in judged),
            kept_count=sum(name in one.holds and one.level >= _level_of(name, policy, one.findings) for one in judged),
        )
        for name in names
    ]


def restricted_recall(judged: Sequence[Judged]) -> float:
    """Share of the pictures that ought to be restricted and are; 1 when there is none."""
    wanted = [one for one in judged if one.wanted is Level.RESTRICTED]
    return sum(one.level is Level.RESTRICTED for one in wanted) / len(wanted) if wanted else 1.0


def level_recall(judged: Sequence[Judged]) -> float:
    """Share of the pictures holding anything that came to at least the level the policy gives it; 1 when none does."""
    holding = [one for one in judged if one.holds]
    return sum(one.level >= one.wanted for one in holding) / len(holding) if holding else 1.0


def needless_share(judged: Sequence[Judged], policy: SensitivityPolicy, placement: str = "cloud") -> float:
    """Share of the clean look-alikes that may not go to a placement which public images may go to."""
    clean = [one for one in judged if not one.holds]
    kept = [one for one in clean if placement not in policy.allowed_placements(one.level)]
    return len(kept) / len(clean) if clean else 0.0


def misses(judged: Sequence[Judged]) -> Iterator[Judged]:
    """Give the pictures whose level came out lower than what they hold."""
    return (one for one in judged if one.level < one.wanted)


def _level_of(category: str, policy: SensitivityPolicy, findings: Sequence[Finding]) -> Level:
    if category == "path_rule":  # its level is that of the rule, which only a finding tells
        return max((f.level for f in findings if f.category == category), default=Level.RESTRICTED)
    return Level.RESTRICTED if category in FAULTS else policy.level_of(category)


def _labels(folder: Path) -> list[_Row]:
    path = folder / "labels.json"
    try:
        content = read_json(read_regular(path, MAX_BYTES))
    except (OSError, ValueError) as error:
        raise ManifestError(
            f"{path} cannot be read: {type(error).__name__}.", hint="See data/sample/sensitivity."
        ) from error
    rows = check_form({"pictures": content}, _Rows, name=str(path), hint="See data/sample/sensitivity.").pictures
    for row in rows:
        if not (folder / "images" / row.file).resolve().is_relative_to((folder / "images").resolve()):
            raise ManifestError(f"{path} names {row.file!r}, which does not stay below its folder.")
    return rows
