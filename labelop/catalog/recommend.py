"""Which model to take for a kind of work, and why: from cards, profiles of this machine, and measured corrections.

Explains, never decides: routing has its own rules. Knows no engine and opens no weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import EngineChoice, pick
from labelop.catalog.profile import WAY, host_facts, newest_figures
from labelop.errors import CatalogError
from labelop.landing.store import Store
from labelop.queries import run_query
from labelop.settings import Settings

DENSITIES: dict[str, int] = {"low": 3, "medium": 15, "high": 50}
"""Objects of an image that each word stands for."""

_ROOM = 2
"""A detector must be able to give so many times the objects: drafts are only a part of what it predicts."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model, weighed."""

    model_id: str
    """The model."""
    ontology: str
    """Labels it speaks."""
    fits: bool
    """Whether it can do the work at all."""
    engine: str | None
    """Engine it would run on, or None when nothing was measured."""
    images_per_second: float | None
    """Measured speed on this machine, or None."""
    review_seconds: float | None
    """Measured correction seconds per label times the objects of an image; None when nobody corrected its drafts."""
    effort_source: str | None
    """measured | calibrated | literature, the best that any dataset has, with `simulated` where the reviewer was."""
    ap50: float | None
    """The card's AP50 or accuracy on its validation data, 0..1."""
    reason: str
    """What speaks for or against it, one sentence."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer, one ontology after the other: models of different labels are no rivals."""

    candidates: tuple[Candidate, ...]
    """By ontology; in each the best first, and those that fit before those that do not."""
    sentences: tuple[str, ...]
    """The choice in words, one per ontology."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One mapping per candidate, in order."""
        return [asdict(one) for one in self.candidates]


def recommend(
    catalog: Mapping[str, ModelCard],
    store: Store,
    settings: Settings,
    *,
    task: str,
    density: str,
    level: str,
    placements: Sequence[str],
    device: str,
    ontology: str | None = None,
) -> Recommendation:
    """Weigh the models of a task, those of one ontology against each other.

    What a card states is measured on the data of its own ontology, so it says nothing beside that of another. Models
    with measured correction effort come first, by review and machine seconds of an image together; then the others by
    the quality their cards state, then by speed.

    Args:
        catalog: Cards by id.
        store: Profiles and reviews.
        settings: Threads, and what else narrows the engines.
        task: detection | classification | segmentation.
        density: low | medium | high, see `DENSITIES`.
        level: Sensitivity level of the images.
        placements: Where images of this level may be, by the policy in force.
        device: cpu | cuda: only profiles of this device count.
        ontology: Labels that are wanted; each ontology gets its own answer when None. A card of the ontology `any`
            serves every one.

    Raises:
        CatalogError: No card has this ontology.
    """
    if ontology is not None and ontology not in (known := sorted({card.ontology for card in catalog.values()})):
        raise CatalogError(f"Ontology {ontology!r} is not in the catalog; it has {', '.join(known)}.")
    here = settings.model_copy(update={"engine_device": device})
    effort = run_query(store, "arm_effort").to_pylist()
    candidates = [
        _weigh(card, store, here, effort, objects=DENSITIES[density])
        for card in catalog.values()
        if card.task == task and (ontology is None or card.ontology in (ontology, "any"))
    ]
    # one that serves every ontology is a rival of those of the one that is wanted
    groups = sorted({one.ontology for one in candidates}) if ontology is None else [ontology]
    where = " and ".join(sorted(placements)) or "nowhere"
    words = [
        f"Images of the level {level} may be prelabelled {where}, by the sensitivity policy in force.",
        f"A {density} density is taken as {DENSITIES[density]} objects in an image.",
    ]
    if len(groups) > 1:
        words.append(
            f"{len(groups)} ontologies have such models; figures of their cards are of different data, so each has its "
            "own answer: --ontology asks for one."
        )
    ordered: list[Candidate] = []
    for group in groups or [""]:
        rivals = sorted((one for one in candidates if ontology is not None or one.ontology == group), key=_order)
        ordered += rivals
        words += _sentences(rivals, f"{task} of {group}" if group else task, allowed=bool(placements))
    return Recommendation(tuple(ordered), tuple(words))


def _sentences(rivals: Sequence[Candidate], work: str, *, allowed: bool) -> list[str]:
    best = next((one for one in rivals if one.fits), None)
    if best is None:
        return [f"No model of the catalog fits {work}.", *(f"Not {one.model_id}: {one.reason}" for one in rivals)]
    if not allowed:
        return []
    against = [f"Not {one.model_id}: {one.reason}" for one in rivals if one is not best]
    return [f"For {work} take {best.model_id}: {best.reason}", *against]


def _order(one: Candidate) -> tuple[Any, ...]:
    machine = 1 / one.images_per_second if one.images_per_second else 0.0
    known = one.review_seconds is not None
    return (
        not one.fits,
        not known,
        (one.review_seconds or 0.0) + machine if known else -(one.ap50 or 0.0),
        machine or float("inf"),
        one.model_id,
    )


def _weigh(
    card: ModelCard, store: Store, settings: Settings, effort: list[dict[str, Any]], *, objects: int
) -> Candidate:
    rows = newest_figures(store, card.digest, host_facts().host_id, settings.engine_threads)
    choice = pick(rows, settings)
    speed = None if choice is None else _speed(rows, choice)
    seconds, source = _review(card, effort, objects)
    quality = card.quality_of("ap50") if card.quality_of("ap50") is not None else card.quality_of("image_accuracy")
    fits = card.postprocess is None or card.postprocess.max_detections >= _ROOM * objects
    words = []
    if not fits and card.postprocess is not None:
        words.append(f"it gives at most {card.postprocess.max_detections} objects, {_ROOM * objects} are needed")
    if seconds is None:
        words.append("nobody has corrected its drafts yet")
    else:
        words.append(f"correcting an image is expected to take {seconds:.1f} s ({source})")
    words.append(
        "its card states no quality" if quality is None else f"its card states {quality:.3f} (AP50 or accuracy)"
    )
    if choice is None or speed is None:
        words.append(
            f"it was never measured on {settings.engine_device} here: `labelop models profile --model {card.id}` does"
        )
    else:
        words.append(f"{choice.label} runs {speed:.1f} images/s here")
    return Candidate(
        card.id,
        card.ontology,
        fits,
        None if choice is None else choice.label,
        speed,
        seconds,
        source,
        quality,
        "; ".join(words) + ".",
    )


def _speed(rows: Sequence[Mapping[str, Any]], choice: EngineChoice) -> float:
    key = (choice.engine, choice.precision, choice.device, choice.compiled, choice.most_images)
    return next(1 / float(row["image_seconds"]) for row in rows if tuple(row[name] for name in WAY) == key)


def _review(card: ModelCard, effort: list[dict[str, Any]], objects: int) -> tuple[float | None, str | None]:
    mine = [row for row in effort if row["model_id"] == card.id and row["labels_count"]]
    for source in ("measured", "calibrated", "literature"):  # the best there is, and never two in one mean
        told = [(row, mean) for row in mine if (mean := _mean(row, source)) is not None]
        if told:
            labels = sum(row["labels_count"] for row, _ in told)
            seconds = sum(mean * row["images_count"] for row, mean in told) / labels
            return seconds * objects, f"{source}, simulated" if any(row["simulated"] for row, _ in told) else source
    return None, None


def _mean(row: Mapping[str, Any], source: str) -> float | None:
    name = "active_seconds_mean" if source == "measured" else "model_seconds_mean"
    mean: float | None = row[name] if source in {"measured", row["modelled_by"]} else None
    return mean
