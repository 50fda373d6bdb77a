"""What a pilot promises before its first review, under a hash: who changes it later may explore, not conclude.

`measures.md` section 3 and the defaults of section 9. Knows no table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from labelop.errors import PilotError
from labelop.ids import digest_of, row_id
from labelop.pilot.design import BLIND
from labelop.strict_text import require_words

PILOT_IMAGES = 120
"""Images of a pilot; finds a difference of 15 % (`measures.md` section 3)."""

_MOST_LOOKS = 2
_MOST_CHARACTERS = 200


def require_line(what: str, text: str) -> None:
    """Hold a person's words about a pilot to one printable line; see `labelop.strict_text.require_words`.

    Args:
        what: What they are, for the error.
        text: The words.

    Raises:
        PilotError: They are no such line.
    """
    try:
        require_words(text, _MOST_CHARACTERS)
    except ValueError as reason:
        raise PilotError(f"{what} is {text[:_MOST_CHARACTERS]!r} ({len(text)} characters); {reason}.") from None


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks of a pilot."""

    name: str
    """What people call it."""
    arms: tuple[str, ...]
    """Arms, `blind` among them or not."""
    reference: str
    """Arm that the others are compared with."""
    reviewers: tuple[str, ...]
    """Pseudonyms."""
    images_count: int = PILOT_IMAGES
    """Images."""
    seed: int = 0
    """Of everything that is drawn."""
    declared: Mapping[str, Any] = field(default_factory=dict)
    """Margins, level, looks and exclusions that differ from the defaults of `Protocol`."""
    verdict_by: str = ""
    """source | size: strata that get a verdict of their own; empty for one verdict over all."""

    def __post_init__(self) -> None:
        require_line("The name of a pilot", self.name)
        if self.seed < 0:
            raise PilotError(f"The seed of pilot {self.name} is {self.seed}; expected 0 or more.")

    @property
    def design(self) -> dict[str, Any]:
        """What decides who reviews what; it cannot change once it is drawn."""
        told = {
            "arms": list(self.arms),
            "reviewers": sorted(self.reviewers),
            "images_count": self.images_count,
            "seed": self.seed,
        }
        return {**told, "verdict_by": self.verdict_by} if self.verdict_by else told


@dataclass(frozen=True, slots=True)
class Protocol:
    """A pilot as it was declared."""

    name: str
    """What people call it."""
    dataset: str
    """Dataset name."""
    dataset_version: str
    """Dataset version."""
    task: str
    """detection | classification | segmentation."""
    arms: tuple[str, ...]
    """Arms that are compared, `blind` among them where drafts are compared with none."""
    models: tuple[str, ...]
    """Digest of each arm's detector in the order of `arms`; empty for `blind`."""
    reference: str
    """Arm that the others are compared with."""
    reviewers: tuple[str, ...]
    """Pseudonyms."""
    seed: int
    """Of everything that is drawn."""
    sample_digest: str
    """Names the sampled images with their strata, and the assignments."""
    images_count: int = PILOT_IMAGES
    """Images in the sample."""
    alpha: float = 0.05
    """Share of false winners that is accepted, over all models together."""
    power: float = 0.80
    """Chance to find a difference as large as the margin that a sample size is advised for."""
    time_margin: float = 0.10
    """Relative difference of seconds below which two arms count as equal."""
    residual_margin: float = 0.01
    """Share of errors left in accepted labels that an arm may have more."""
    cost_margin: float = 0.05
    """Relative difference of cost per accepted label below which two arms count as equal."""
    catch_target: float = 0.80
    """Share of seeded errors that reviewers should catch."""
    looks: int = 1
    """1: the verdict at the end; 2: one look at half of the images as well (O'Brien-Fleming)."""
    exclusions: tuple[str, ...] = ()
    """Rules by which reviews are left out, each as a sentence."""
    verdict_by: str = ""
    """source | size: each such stratum gets a verdict of its own beside the one over all; empty for that one only."""

    def __post_init__(self) -> None:
        if self.reference not in self.arms or self.reference == BLIND:
            raise PilotError(f"Reference {self.reference!r} is no arm with drafts of {list(self.arms)}.")
        if len(self.models) != len(self.arms):
            raise PilotError(f"{len(self.models)} models for {len(self.arms)} arms; expected one each.")
        shares = (self.alpha, self.power, self.time_margin, self.residual_margin, self.cost_margin, self.catch_target)
        if not all(0 < share < 1 for share in shares):
            raise PilotError(f"Level, power, margins and target are {shares}; expected each between 0 and 1.")
        if not 1 <= self.looks <= _MOST_LOOKS:
            raise PilotError(f"{self.looks} looks are asked for; expected 1 or {_MOST_LOOKS}.")

    @property
    def pairs_count(self) -> int:
        """Images that get a review under each arm with drafts: all, or two thirds where only two reviewers do it."""
        crossed = len(self.reviewers) >= len(self.arms)
        return self.images_count if crossed else self.images_count - self.images_count // len(self.arms)

    @property
    def pilot_id(self) -> str:
        """Content-derived id; a changed protocol of the same name keeps it."""
        return row_id("pilot", self.dataset, self.dataset_version, self.name)

    @property
    def digest(self) -> str:
        """SHA-256 of everything it says, 64 hex digits; what it says by strata only where it does."""
        said = asdict(self)
        return digest_of(said if self.verdict_by else {name: said[name] for name in said if name != "verdict_by"})


def is_exploratory(registered: Iterable[datetime], first_review: datetime | None) -> bool:
    """Say whether a pilot may only be explored: its protocol was made, or changed, after its first review.

    Args:
        registered: When each of its protocols was registered; one that says the same as before is not registered again.
        first_review: When its first review was submitted; None before it.
    """
    return first_review is not None and any(at > first_review for at in registered)
