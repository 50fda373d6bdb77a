"""Cut-offs per class from blind labels in the tables: what a model drafted where people labelled without seeing it.

Matches drafts to labels and holds the solver's answer against images it was not made of; changes nothing. Knows tables
and model cards, no engine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from labelop.catalog.cards import ModelCard
from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.effort.quality import one_per_model
from labelop.geometry import boxes_to_array, iou_matrix
from labelop.ids import digest_of
from labelop.labels import AcceptedLabel, Prediction
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.pilot.design import BLIND
from labelop.pilot.thresholds import LEAST_DRAFTS, Costs, Cutoffs, Scored, seconds_of, solve
from labelop.queries import run_query
from labelop.review.rows import label_of, prediction_of

ACCEPT_IOU = 0.80
"""IOU with a label made without the draft from which people leave a box as it is (`measures.md` 1.1, tau_accept)."""

CARD, SINGLE, CLASS = "card's cut-offs", "best single cut-off", "cut-offs per class"
"""What may be advised."""

_ROLES = {"pilot": 0, "chosen": 1, "compare": 2, "evaluate": 3}
_NO_BLIND = "no label made without a draft was accepted; `labelop pilot plan` with the blind arm or `labelop bias plan`"


@dataclass(frozen=True, slots=True)
class Advice:
    """Cut-offs for one model; None with a reason where they are not known."""

    model_id: str
    """Model; empty where there is no blind label at all."""
    images_count: int
    """Images that people labelled without a draft and the model answered."""
    cutoffs: Cutoffs | None = None
    """Found on all these images."""
    in_force: Mapping[str, float] | None = None
    """Cut-offs of the model's card; None when the catalog has another card by now."""
    held_out_seconds: float | None = None
    """Review seconds with cut-offs per class, each half of the images by those of the other half."""
    held_out_single_seconds: float | None = None
    """The same with the best single cut-off."""
    in_force_seconds: float | None = None
    """With the cut-offs of the card."""
    simulated: bool = False
    """Whether a label or a draft is no person's or of an emulated placement."""
    reason: str = ""
    """Why there is nothing to advise."""
    params: EffortParameters = DEFAULTS
    """Seconds of operations by which it advises."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Review seconds of every choice that was tried, on images it was not made of; what changes least is first."""
        tried = {CARD: self.in_force_seconds, SINGLE: self.held_out_single_seconds, CLASS: self.held_out_seconds}
        return {name: seconds for name, seconds in tried.items() if seconds is not None}

    @property
    def advised(self) -> str:
        """The choice that takes the fewest of them: `CARD`, `SINGLE` or `CLASS`; empty where nothing is known."""
        return min(self.seconds, key=self.seconds.__getitem__, default="")

    @property
    def draft_scores(self) -> Mapping[str, float]:
        """What it says for each class."""
        if self.cutoffs is None:
            return {}
        own = self.cutoffs.by_class
        if self.advised == CARD and self.in_force is not None:
            return {name: self.in_force[name] for name in own}
        return dict.fromkeys(own, self.cutoffs.single) if self.advised == SINGLE else own

    @property
    def said(self) -> str:
        """The sentence a person reads; the reason where there is none."""
        if not self.advised:
            return self.reason
        told = [f"{name} {seconds:,.0f} s" for name, seconds in self.seconds.items()]
        left = " Leave the card as it is." if self.advised == CARD else ""
        seconds = "published" if self.params.origin == DEFAULTS.origin else self.params.origin
        return (
            f"Take the {self.advised}: by {seconds} seconds of operations, review seconds on images it was not made of "
            f"are {', '.join(told)}.{left}"
        )


@dataclass(frozen=True, slots=True)
class Matched:
    """Drafts of one image and class against its blind labels."""

    image_id: str
    """The image."""
    label: str
    """The class."""
    scores: tuple[float, ...]
    """Of its drafts, the best first."""
    ious: tuple[float, ...]
    """Overlap of each with the label it found; 0 of a wrong one."""


def advise(
    store: Store,
    dataset: str,
    dataset_version: str,
    catalog: Mapping[str, ModelCard],
    *,
    risks: Mapping[str, float] | None = None,
    params: EffortParameters = DEFAULTS,
) -> list[Advice]:
    """Find the cut-offs of every detector that take reviewers the fewest seconds.

    Args:
        store: Where the tables are.
        dataset: Dataset name.
        dataset_version: Dataset version.
        catalog: Model cards by id, for the cut-offs in force.
        risks: Weight of an object of a class that is not shown; 1 where a class has none.
        params: Seconds of operations in force for the dataset.

    Returns:
        One advice per model, by name; one without a model where nobody labelled without a draft.
    """
    where = equal(dataset=dataset, dataset_version=dataset_version)
    ledger = run_query(store, "review_ledger", {"dataset": dataset}).to_pylist()
    blind = {row["review_id"]: row for row in ledger if row["arm"] == BLIND and row["accepted"]}
    reviews = read_rows(store, "reviews", columns=["review_id", "image_id", "labels"], filters=where & equal(arm=BLIND))
    labels = {
        row["image_id"]: [label_of(value) for value in row["labels"]] for row in reviews if row["review_id"] in blind
    }
    if not labels:
        return [Advice("", 0, reason=_NO_BLIND, params=params)]
    simulated = any(row["simulated"] for row in blind.values())
    drafted: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in one_per_model(read_rows(store, "prelabels", filters=where), _ROLES):
        if row["image_id"] in labels:
            drafted[row["model_id"]].append(row)
    known = []
    for model_id, rows in sorted(drafted.items()):
        is_simulated = simulated or any(row["simulated"] for row in rows)
        plain = Advice(model_id, len(rows), simulated=is_simulated, params=params)
        if (found := _advise(plain, rows, labels, catalog, risks or {})) is not None:
            known.append(found)
    reason = "no model drew a box on the images labelled without a draft"
    return known or [Advice("", len(labels), reason=reason, params=params)]


def advice_rows(found: Sequence[Advice]) -> dict[str, list[dict[str, Any]]]:
    """Write advice as two tables: the cut-off of each class, and what the choices are worth."""
    cuts = [
        {
            "model_id": one.model_id,
            "label": name,
            "draft_score": cutoff,
            "per_class": one.cutoffs.by_class[name],
            "in_force": (one.in_force or {}).get(name),
            "drafts_count": one.cutoffs.drafts[name],
            "pooled": name in one.cutoffs.pooled,
        }
        for one in found
        if one.cutoffs is not None
        for name, cutoff in one.draft_scores.items()
    ]
    worth = [
        {
            "model_id": one.model_id or None,
            "images_count": one.images_count,
            "held_out_seconds": one.held_out_seconds,
            "held_out_single_seconds": one.held_out_single_seconds,
            "single": None if one.cutoffs is None else one.cutoffs.single,
            "in_force_seconds": one.in_force_seconds,
            "advised": one.advised or None,
            "parameter_set": one.params.parameter_set,
            "simulated": one.simulated,
            "reason": one.reason or None,
            "sentence": one.said,
        }
        for one in found
    ]
    return {"Cut-offs": cuts, "Review seconds with them, on images they were not made of": worth}


def _advise(
    plain: Advice,
    rows: Sequence[Mapping[str, Any]],
    labels: Mapping[str, Sequence[AcceptedLabel]],
    catalog: Mapping[str, ModelCard],
    risks: Mapping[str, float],
) -> Advice | None:
    found = [
        one
        for row in rows
        for one in matched(
            row["image_id"], [prediction_of(value) for value in row["predictions"] or []], labels[row["image_id"]]
        )
    ]
    if not found:
        return None  # it draws no boxes
    count = sum(len(one.scores) for one in found)
    if count < LEAST_DRAFTS:
        return replace(
            plain, reason=f"{count} drafts have blind labels beside them, at least {LEAST_DRAFTS} are needed"
        )
    costs = _costs(found, risks, plain.params)
    halves = [[one for one in found if _half(one.image_id) == side] for side in (0, 1)]
    held_out, single = 0.0, 0.0
    for mine, others in (halves, halves[::-1]):
        if not (mine and others):
            return replace(
                plain, reason="all images fall into one half, so nothing is left to hold the cut-offs against"
            )
        made, tried = solve(_scored(others), costs), _scored(mine)
        held_out += seconds_of(tried, {name: made.by_class.get(name, made.single) for name in tried}, costs)
        single += seconds_of(tried, dict.fromkeys(tried, made.single), costs)
    every = _scored(found)
    card = catalog.get(plain.model_id)
    in_force = None
    if card is not None and card.postprocess is not None and card.digest == rows[0]["model_digest"]:
        in_force = card.postprocess.draft_score
    return replace(
        plain,
        cutoffs=solve(every, costs),
        in_force=in_force,
        held_out_seconds=held_out,
        held_out_single_seconds=single,
        in_force_seconds=None if in_force is None else seconds_of(every, in_force, costs),
    )


def matched(image_id: str, predictions: Sequence[Prediction], labels: Sequence[AcceptedLabel]) -> list[Matched]:
    """Give each label to the best scored draft that overlaps it: what is shown never depends on what is hidden."""
    found = []
    for name in sorted({one.label for one in predictions if one.box is not None}):
        own = [one for one in predictions if one.label == name and one.box is not None]
        own.sort(key=lambda one: (-one.score, one.prediction_id))
        boxes = boxes_to_array([one.box for one in own if one.box is not None])
        overlap = iou_matrix(boxes, boxes_to_array([one.box for one in labels if one.label == name and one.box]))
        ious = []
        for row in overlap:
            best = int(np.argmax(row)) if len(row) else -1
            is_right = best >= 0 and row[best] >= DEFAULTS.tau_match
            ious.append(float(row[best]) if is_right else 0.0)
            if is_right:
                overlap[:, best] = 0.0
        found.append(Matched(image_id, name, tuple(one.score for one in own), tuple(ious)))
    return found


def _scored(found: Sequence[Matched]) -> dict[str, Scored]:
    names = sorted({one.label for one in found})
    own = {name: [one for one in found if one.label == name] for name in names}
    return {
        name: Scored(
            np.array([score for one in some for score in one.scores]),
            np.array([iou > 0 for one in some for iou in one.ious], dtype=np.bool_),
        )
        for name, some in own.items()
    }


def _costs(found: Sequence[Matched], risks: Mapping[str, float], params: EffortParameters) -> dict[str, Costs]:
    """Say what a right draft of each class takes in the mean: looking at it, or moving two of its corners."""
    right: dict[str, list[float]] = defaultdict(list)
    for one in found:
        right[one.label] += [iou for iou in one.ious if iou > 0]
    costs = {}
    for name in {one.label for one in found}:
        plain = Costs(
            params.accept_box_seconds, params.delete_seconds, params.add_box_seconds, risk=risks.get(name, 1.0)
        )
        spent = [plain.keep_seconds if iou >= ACCEPT_IOU else params.adjust_two_drags_seconds for iou in right[name]]
        costs[name] = replace(plain, keep_seconds=float(np.mean(spent))) if spent else plain
    return costs


def _half(image_id: str) -> int:
    return int(digest_of(["cut-offs", image_id])[:8], 16) % 2
