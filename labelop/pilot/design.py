"""Which images a pilot takes, and who reviews which of them under which arm.

`measures.md` section 3: strata with weights, a Latin square of blocks, groups and arms, and nobody sees an image twice.
Knows no table and no clock; the same seed gives the same pilot.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labelop.errors import EmptyArmError, PilotError
from labelop.routing.strata import SIZE, SOURCE, Split

BLIND = "blind"
"""The arm whose reviewers are shown no draft."""

LEAST_PER_STRATUM = 20
"""Images a stratum has in the sample, unless it has fewer at all."""

_LEAST_ARMS = 2
_LEAST_STRATA = 2
_QUANTILES = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """One image that a pilot may take."""

    image_id: str
    """SHA-256 of the original bytes."""
    objects_count: int
    """Objects it is expected to hold."""
    area_px: int
    """Width times height."""
    source: str
    """Where it comes from, for example the folder."""
    rare: bool
    """Whether a rare class is expected in it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Images of a pilot with the strata they stand for."""

    stratum_of: Mapping[str, str]
    """Stratum by image id, in the order of the sample."""
    weights: Mapping[str, float]
    """Share of all candidates by stratum; they sum to 1."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One review that a pilot asks for."""

    image_id: str
    """The image."""
    stratum: str
    """Its stratum."""
    arm: str
    """Arm whose draft is shown; `blind` for none."""
    reviewer: str
    """Pseudonym of who reviews it."""
    period: int
    """Which part of the pilot, from 0: the image's block, so all reviews of an image are in one period."""
    position: int
    """Place in the reviewer's own order, from 0."""


def stratify(candidates: Sequence[Candidate], images_count: int) -> dict[str, str]:
    """Put candidates into strata by object count, rare class, source and size.

    A stratum is split further only while each part has enough images and the sample enough for all strata.

    Args:
        candidates: Images with what is known of them.
        images_count: Size of the sample to come.

    Returns:
        Stratum by image id.
    """
    most = max(1, images_count // LEAST_PER_STRATUM)
    counts = np.array([one.objects_count for one in candidates])
    edges = np.unique(np.quantile(counts, np.arange(1, _QUANTILES) / _QUANTILES)) if len(counts) else counts
    middle = float(np.median([one.area_px for one in candidates])) if candidates else 0.0
    splits: tuple[Callable[[Candidate], str], ...] = (
        lambda one: f"objects{int(np.searchsorted(edges, one.objects_count, side='right'))}",
        lambda one: "rare" if one.rare else "usual",
        lambda one: one.source,
        lambda one: "large" if one.area_px > middle else "small",
    )
    strata: dict[str, list[Candidate]] = {"all": list(candidates)}
    for split in splits:
        for name, members in sorted(strata.items()):
            parts: dict[str, list[Candidate]] = defaultdict(list)
            for one in members:
                parts[split(one)].append(one)
            fits = len(strata) - 1 + len(parts) <= most and min(map(len, parts.values()), default=0)
            if len(parts) > 1 and fits >= LEAST_PER_STRATUM:
                del strata[name]
                prefix = "" if name == "all" else f"{name} "
                strata |= {f"{prefix}{part}": found for part, found in parts.items()}
    return {one.image_id: name for name, members in sorted(strata.items()) for one in members}


def split(candidates: Sequence[Candidate], by: str) -> dict[str, str]:
    """Put candidates into the strata that get a verdict of their own; they are not split any further.

    Args:
        candidates: Images with what is known of them before anything is drafted.
        by: source | size; the limit of sizes is the median, or the size below it where no image is larger.

    Returns:
        Stratum by image id.

    Raises:
        PilotError: It is neither, or all candidates are in one stratum.
    """
    if by not in {SOURCE, SIZE}:
        raise PilotError(f"Verdicts by {by!r} cannot be given; expected {SOURCE} or {SIZE}.")
    areas = sorted(one.area_px for one in candidates)
    middle = areas[(len(areas) - 1) // 2] if areas else 0
    limit_px = max((area for area in areas if area < areas[-1] and area <= middle), default=middle)
    told = Split(by, limit_px if by == SIZE else 0)
    found = {one.image_id: told.stratum_of(one.source, one.area_px) for one in candidates}
    if candidates and len(set(found.values())) < _LEAST_STRATA:
        raise PilotError(
            f"Verdicts by {by} need two strata, all {len(found)} candidates are in {sorted(set(found.values()))}.",
            hint=f"Leave out --verdict-by, or tell images apart by {SOURCE if by == SIZE else SIZE}.",
        )
    return found


def draw_sample(stratum_of: Mapping[str, str], images_count: int, seed: int) -> Sample:
    """Draw images from every stratum: at least `LEAST_PER_STRATUM`, the rest in proportion.

    Raises:
        PilotError: There are no candidates, or fewer images are wanted than one stratum needs.
    """
    if not stratum_of or images_count < 1:
        raise PilotError(
            f"A pilot of {images_count} images cannot be drawn from {len(stratum_of)} candidates.",
            hint="A candidate is an image of the newest version that every arm may see, nobody has reviewed yet, and "
            "neither `labelop bias plan` nor another pilot took; `labelop pilot stop` frees those of a pilot.",
        )
    members: dict[str, list[str]] = defaultdict(list)
    for image_id in sorted(stratum_of):
        members[stratum_of[image_id]].append(image_id)
    sizes = _allocate({name: len(ids) for name, ids in sorted(members.items())}, min(images_count, len(stratum_of)))
    draw = np.random.default_rng(seed)
    drawn = {
        str(image_id): name
        for name, size in sizes.items()
        for image_id in draw.permutation(np.array(members[name]))[:size]
    }
    return Sample(drawn, {name: len(members[name]) / len(stratum_of) for name in sizes})


def _allocate(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """Share images out: first what each stratum needs, then to the one furthest below its share."""
    total = sum(sizes.values())
    given = {name: min(size, LEAST_PER_STRATUM, wanted // len(sizes)) for name, size in sizes.items()}
    while sum(given.values()) < wanted:
        open_names = [name for name in sizes if given[name] < sizes[name]]
        given[max(open_names, key=lambda name: (sizes[name] / total * wanted - given[name], name))] += 1
    return given


def assign(sample: Sample, arms: Sequence[str], reviewers: Iterable[str], seed: int) -> list[Assignment]:
    """Give each image one reviewer per arm by a Latin square: group g reviews block k under arm (g + k) mod n.

    In period k every group is at block k, so that what changes with time cancels within each image, and each group
    comes to each arm once. Two reviewers cannot cross three arms without seeing an image twice: then the two arms with
    drafts are crossed and the blind one has a third of the images of its own.

    Args:
        sample: Images and strata; each stratum is spread evenly over the blocks.
        arms: Names of the arms; `blind` for the one without drafts.
        reviewers: Pseudonyms; who is in which group is drawn.
        seed: Of all that is drawn.

    Returns:
        Assignments ordered by reviewer and position.

    Raises:
        PilotError: Fewer than two arms, an arm twice, or fewer reviewers than the arms need.
        EmptyArmError: There are fewer images than blocks, so that an arm would have none.
    """
    names, people = list(arms), sorted(set(reviewers))
    crossed = _crossed(names, len(people))
    if len(sample.stratum_of) < len(names):
        raise EmptyArmError(f"{len(sample.stratum_of)} images for {len(names)} arms: an arm would have none.")
    draw = np.random.default_rng([seed, 1])
    people = [str(name) for name in draw.permutation(np.array(people))]
    groups = [people[at :: len(crossed)] for at in range(len(crossed))]
    by_stratum = sorted(sample.stratum_of, key=lambda image_id: (sample.stratum_of[image_id], draw.random()))
    tasks: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for block in range(len(names)):
        for number, image_id in enumerate(by_stratum[block :: len(names)]):
            if block < len(crossed):
                for g, group in enumerate(groups):
                    arm = crossed[(g + block) % len(crossed)]
                    tasks[group[number % len(group)]].append((block, image_id, arm))
            else:
                tasks[people[number % len(people)]].append((block, image_id, BLIND))
    return [
        Assignment(image_id, sample.stratum_of[image_id], arm, reviewer, block, position)
        for reviewer, own in sorted(tasks.items())
        for position, (block, image_id, arm) in enumerate(sorted(own, key=lambda task: (task[0], draw.random())))
    ]


def _crossed(names: Sequence[str], people_count: int) -> list[str]:
    """Say which arms every image gets; the blind one stays apart where only two reviewers are there."""
    if len(names) < _LEAST_ARMS or len(set(names)) < len(names):
        raise PilotError(f"A pilot of the arms {list(names)} compares nothing; expected at least two different ones.")
    crossed = list(names)
    if people_count == _LEAST_ARMS and len(names) == _LEAST_ARMS + 1 and BLIND in names:
        crossed.remove(BLIND)
    if people_count < len(crossed):
        raise PilotError(
            f"A pilot of {len(names)} arms needs at least {len(crossed)} reviewers, got {people_count}.",
            hint="Nobody may see an image twice: name more reviewers or fewer arms.",
        )
    return crossed


def check_strata(stratum_of: Mapping[str, str], drawn: Iterable[Assignment], least: int) -> None:
    """Check that every stratum that is to get a verdict of its own is large enough for any.

    Args:
        stratum_of: Stratum of each candidate.
        drawn: Reviews of one arm with drafts: as many as there will be pairs.
        least: Pairs that a verdict needs.

    Raises:
        PilotError: A stratum has fewer; names it with how many it has.
    """
    sizes, pairs = Counter(stratum_of.values()), Counter(one.stratum for one in drawn)
    few = [f"{name!r} {pairs[name]} (of {sizes[name]} candidates)" for name in sorted(sizes) if pairs[name] < least]
    if few:
        raise PilotError(
            f"Of {len(sizes)} strata these would have too few images with a review under each arm for any verdict: "
            f"{', '.join(few)}; at least {least} of each are needed.",
            hint="Ask for more --images, leave out --verdict-by, or name fewer reviewers.",
        )


def check_once(seen: Iterable[tuple[str, str]]) -> None:
    """Check that nobody saw an image twice.

    Args:
        seen: Reviewer and image id of each review.

    Raises:
        PilotError: Somebody reviewed an image under two arms: the second look remembers the first.
    """
    twice = [pair for pair, count in Counter(seen).items() if count > 1]
    if twice:
        reviewer, image_id = min(twice)
        raise PilotError(
            f"Reviewer {reviewer} reviewed image {image_id[:12]} more than once, one of {len(twice)} such cases; "
            "a pilot shows each image once to a reviewer.",
            hint="The second look remembers the first; withdraw the later reviews.",
        )
