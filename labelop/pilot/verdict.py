"""What a pilot proves: superior, equivalent or inconclusive, with the interval and what would settle it.

Wins are declared by interval and by permutation together, never by a mean. Knows statistics, no table.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from labelop.effort.estimates import RESAMPLES, Estimate
from labelop.errors import EmptyArmError
from labelop.pilot.design import BLIND
from labelop.pilot.protocol import Protocol
from labelop.pilot.sides import by_reviewer
from labelop.pilot.statistics import UNKNOWN, Contrast, Timed, contrast, holm, paired
from labelop.routing.strata import ALL_STRATA

Word = Literal["superior", "equivalent", "inconclusive", "running"]

Look = Literal["half", "end"]

FEW_REVIEWERS = 6
"""Below this many reviewers effects are told for each of them, and nothing is claimed of reviewers in general."""

MOST_MISSING = 0.2
"""Share of planned pairs of reviews that may be missing at a verdict: what is missing is seldom missing by chance."""

_LOOK_LEVELS: Mapping[Look, float] = {
    "half": 0.005158,
    "end": 0.048042,
}  # O'Brien-Fleming, z = 2.797 at half and 1.977 at the end, for alpha 0.05
_ALPHA = 0.05
_HALF = 0.5
_LATE = " Exploratory only: the protocol was made or changed after the first review."
_TAKEN = " Exploratory only: this look was taken before, with other reviews; what it said then stands."


@dataclass(frozen=True, slots=True)
class Finding:
    """What a pilot says about one arm against the reference, over all images or in one stratum."""

    contrast: Contrast
    """The figures."""
    ratio: Estimate
    """Seconds under the arm / under the reference, with the interval of the level in force."""
    p_holm: float | None
    """p of no difference, adjusted for several arms and strata."""
    p_equal: float | None
    """p of a difference beyond the margin, adjusted likewise."""
    verdict: Word
    """superior (see `winner`), equivalent, inconclusive, or running before a look is due."""
    winner: str | None
    """The arm that takes less time, of a superior one."""
    images_to_settle: int | None
    """Images in all that would settle it; None where it is settled or nothing is known."""
    exploratory: bool
    """Whether nothing may be concluded from it: the protocol is late, or its look was taken before."""
    by_reviewer: Mapping[str, Estimate]
    """The ratio for each reviewer, where they are few."""
    said: str
    """The sentence a person reads."""
    pairs_count: int
    """Pairs of reviews that were asked for."""
    stratum: str = ALL_STRATA
    """Images it is about."""

    @property
    def done_share(self) -> float:
        """Share of the pairs that have both reviews."""
        return self.contrast.images_count / self.pairs_count


def judge(
    protocol: Protocol,
    reviews: Sequence[Timed],
    weights: Mapping[str, float],
    *,
    strata: Mapping[str, int] | None = None,
    over: bool = False,
    late: bool = False,
    taken: Collection[Look] = (),
    resamples: int = RESAMPLES,
) -> list[Finding]:
    """Judge every arm with drafts against the reference, all with one error rate and at one look.

    Args:
        protocol: What was declared.
        reviews: Approved reviews with measured seconds.
        weights: Share of all candidates by stratum.
        strata: Pairs of reviews planned in each stratum that gets a verdict of its own.
        over: Whether reviews that are missing will not come.
        late: Whether the protocol was made or changed after the first review; then nothing is concluded.
        taken: Looks that were taken before with other reviews; what they say again is exploratory.
        resamples: Draws of permutation and bootstrap.

    Returns:
        One finding for each arm that is neither the reference nor blind, over all images, and one in each of `strata`.

    Raises:
        EmptyArmError: An arm has no review at all.
        PilotError: Somebody reviewed an image twice.
    """
    reviewed = {one.arm for one in reviews}
    if empty := [arm for arm in protocol.arms if arm not in reviewed]:
        raise EmptyArmError(
            f"Pilot {protocol.name} has no measured review under {', '.join(empty)}; "
            f"expected {protocol.images_count} images under each arm.",
            hint="A review without a measured time does not count.",
        )
    others = [arm for arm in protocol.arms if arm not in {protocol.reference, BLIND}]
    planned = {ALL_STRATA: protocol.pairs_count, **(strata or {})}
    own = {name: of_stratum(reviews, name) for name in planned}
    pairs = {(name, arm): paired(own[name], arm, protocol.reference) for name in planned for arm in others}
    done_share = min((len(both) / planned[name] for (name, _), both in pairs.items()), default=0.0)
    look = look_due(protocol, done_share, over=over)
    if look is None or (look == "half" and look in taken):
        return [_awaited(protocol, arm, both, planned[name], name) for (name, arm), both in pairs.items()]
    made = {
        (name, arm): contrast(own[name], arm, protocol.reference, weights, seed=protocol.seed, resamples=resamples)
        for name, arm in pairs
    }
    adjusted = _adjusted(protocol, made)
    caution = _LATE if late else _TAKEN if look in taken else ""
    return [
        _finding(
            protocol,
            one,
            adjusted.get((name, arm), (None, None)),
            own[name],
            look=look,
            wanted=planned[name],
            stratum=name,
            caution=caution,
        )
        for (name, arm), one in made.items()
    ]


def of_stratum(reviews: Sequence[Timed], stratum: str) -> Sequence[Timed]:
    """Keep the reviews of a stratum; all of them where it is no single one."""
    return reviews if stratum == ALL_STRATA else [one for one in reviews if one.stratum == stratum]


def look_due(protocol: Protocol, done_share: float, *, over: bool = False) -> Look | None:
    """Say which look is due; None between them.

    Args:
        protocol: What was declared.
        done_share: Share of the planned pairs that have both reviews, of the arm with the fewest.
        over: Whether those that are missing will not come.
    """
    if done_share >= 1 or (over and done_share >= 1 - MOST_MISSING):
        return "end"
    return "half" if protocol.looks > 1 and _HALF <= done_share < 1 - MOST_MISSING else None


def level_of(protocol: Protocol, look: Look) -> float:
    """Give the level at which a look decides, so that all looks together keep the declared one."""
    return protocol.alpha if protocol.looks == 1 else _LOOK_LEVELS[look] * protocol.alpha / _ALPHA


def _adjusted(
    protocol: Protocol, made: Mapping[tuple[str, str], Contrast]
) -> dict[tuple[str, str], tuple[float, float]]:
    """Adjust p of no difference and p of a difference beyond the margin of all contrasts together.

    Of the two hypotheses about one contrast at most one is true, so a single one needs no adjustment.
    """
    known = {key: (one.p_value, one.p_equal(protocol.time_margin)) for key, one in made.items()}
    both = {key: (p, equal) for key, (p, equal) in known.items() if p is not None and equal is not None}
    adjusted = iter(holm([p for pair in both.values() for p in pair], true_count=len(both)))
    return dict(zip(both, zip(adjusted, adjusted, strict=True), strict=True))


def _awaited(protocol: Protocol, arm: str, both: Sequence[tuple[Timed, Timed]], wanted: int, stratum: str) -> Finding:
    """Say what is missing, and no figure: who sees one may end a pilot when he likes it."""
    told = f"The pilot is running: {len(both)} of {wanted} images have both reviews"
    early = wanted - int(wanted * MOST_MISSING)
    when = f"figures come with the last of them, or with --over from {early} on"
    if protocol.looks > 1 and len(both) < wanted * _HALF:
        when += f", and for one look from {math.ceil(wanted * _HALF)} on"
    people = {one.reviewer for pair in both for one in pair}
    made = Contrast(arm, protocol.reference, len(both), len(people), reason="it is no time to look")
    said = f"{_where(stratum)}{told}; {when}."
    return Finding(made, UNKNOWN, None, None, "running", None, None, False, {}, said, wanted, stratum)


def _finding(
    protocol: Protocol,
    made: Contrast,
    adjusted: tuple[float | None, float | None],
    reviews: Sequence[Timed],
    *,
    look: Look,
    wanted: int,
    stratum: str,
    caution: str,
) -> Finding:
    level = level_of(protocol, look)
    ratio = made.interval(1 - level)
    p_holm, p_equal = adjusted
    judged = _word(protocol, made, p_holm, p_equal, level)
    word, winner, more = judged
    few = made.reviewers_count < FEW_REVIEWERS
    return Finding(
        contrast=made,
        ratio=ratio,
        p_holm=p_holm,
        p_equal=p_equal,
        verdict=word,
        winner=winner,
        images_to_settle=more,
        exploratory=bool(caution),
        by_reviewer=by_reviewer(reviews, made.arm, made.reference) if few else {},
        said=_where(stratum) + _said(protocol, made, ratio, judged) + caution,
        pairs_count=wanted,
        stratum=stratum,
    )


def _where(stratum: str) -> str:
    return "" if stratum == ALL_STRATA else f"In stratum {stratum!r}: "


def _word(
    protocol: Protocol, made: Contrast, p_holm: float | None, p_equal: float | None, level: float
) -> tuple[Word, str | None, int | None]:
    if made.reason or p_holm is None or p_equal is None or made.p_permutation is None:
        return "inconclusive", None, None
    if p_equal < level:
        return "equivalent", None, None
    if p_holm < level and made.p_permutation < level:
        return "superior", made.arm if made.log_ratio < 0 else made.reference, None
    advised = made.images_to_settle(protocol.time_margin, alpha=protocol.alpha, power=protocol.power)
    return "inconclusive", None, advised


def _said(
    protocol: Protocol,
    made: Contrast,
    ratio: Estimate,
    judged: tuple[Word, str | None, int | None],
) -> str:
    word, winner, more = judged
    if made.reason:
        return f"{made.arm} and {made.reference} cannot be compared: {made.reason}."
    other = made.reference if winner != made.reference else made.arm
    figures = (
        f"reviews of {made.arm} drafts take {ratio.value:.2f} times as long as those of {made.reference} drafts "
        f"({ratio.low:.2f} to {ratio.high:.2f}, {made.images_count} images, {made.reviewers_count} reviewers)"
    )
    told = {
        "superior": f"{winner} is superior to {other}",
        "equivalent": f"{made.arm} and {made.reference} are equivalent within {protocol.time_margin:.0%}",
        "inconclusive": f"Between {made.arm} and {made.reference} it is open",
    }[word]
    said = f"{told[0].upper()}{told[1:]}: {figures}."
    if word == "inconclusive" and more is not None:
        said += f" About {max(1, more - made.images_count)} more images would settle it."
    return said
