"""Every review is turned into its edits once, and the edits are landed, so that effort is a question for SQL.

Knows the tables it reads and the script; must not know where a review came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from labelop.effort.changes import Size
from labelop.effort.measures import looks_for_objects
from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.effort.saved import parameters_of
from labelop.effort.script import Edit, add_seconds, edit_script
from labelop.ids import digest_of, row_id
from labelop.labels import AcceptedLabel, Prediction
from labelop.landing.store import Store, land_after, read, read_rows
from labelop.review.rows import labels_of, landed_values, prediction_of
from labelop.settings import Settings, load_settings

REVIEWED_ARMS = ("local", "cloud")
"""Arms whose reviews start from a draft; blind and imported labels have no edits."""

LINEAGE_TOOLS = frozenset({"label_studio", "simulated"})
"""Tools that keep the id of a draft on what became of it: there a label without one was drawn anew."""


def land_edits(store: Store, run_id: str, *, dataset: str | None = None) -> int:
    """Compute and land the edits of every approved review that has none yet, once, whoever else does so meanwhile.

    Their seconds are those in force for the dataset; a review keeps the edits of the parameters it was first computed
    with.

    Args:
        store: Where.
        run_id: Run that lands them.
        dataset: Only this dataset; all when None.

    Returns:
        Edits landed by this call.

    Raises:
        ConfigurationError: The saved seconds of a dataset cannot be used.
        LandingError: The store did not take them, or others landed edits first each time.
    """
    wanted = pc.field("arm").isin(list(REVIEWED_ARMS)) & (pc.field("decision") == "approved")
    if dataset is not None:
        wanted &= pc.field("dataset") == dataset
    settings = load_settings(store=store.root)
    rows: list[dict[str, Any]] = []

    def look() -> tuple[str, list[dict[str, Any]]]:
        nonlocal rows
        # of all datasets: somebody else may be landing the edits of one or of all
        done = set(read(store, "edits", columns=["review_id"])["review_id"].to_pylist())
        reviews = [row for row in read_rows(store, "reviews", filters=wanted) if row["review_id"] not in done]
        rows = _missing(store, reviews, run_id, settings) if reviews else []
        return digest_of(sorted(done)), rows

    land_after(store, "edits", look)
    return len(rows)


def _missing(
    store: Store, reviews: Sequence[Mapping[str, Any]], run_id: str, settings: Settings
) -> list[dict[str, Any]]:
    """Compute the edits of some reviews, each with the seconds of its dataset; nothing accepted of nothing has none."""
    drafts, sizes = _drafts(store, {row["batch_id"] for row in reviews})
    rows: list[dict[str, Any]] = []
    for name in sorted({str(row["dataset"]) for row in reviews}):
        own = [row for row in reviews if row["dataset"] == name]
        rows += edit_rows(own, drafts, run_id, parameters_of(settings, name), sizes=sizes)
    return rows


def edit_rows(
    reviews: Sequence[Mapping[str, Any]],
    drafts: Mapping[tuple[str, str], Sequence[Prediction]],
    run_id: str,
    params: EffortParameters = DEFAULTS,
    *,
    sizes: Mapping[tuple[str, str], Size] | None = None,
) -> list[dict[str, Any]]:
    """Write the rows of `edits` for these reviews, in review and edit order.

    Args:
        reviews: Rows of `reviews`.
        drafts: Predictions by batch id and image id; a review whose prelabel is missing is left out.
        run_id: Run that computes them.
        params: Thresholds and seconds.
        sizes: Width and height of the upright images under the same keys; without one masks are not compared.
    """
    rows: list[dict[str, Any]] = []
    for review in sorted(reviews, key=lambda row: str(row["review_id"])):
        key = (review["batch_id"], review["image_id"])
        predictions = drafts.get(key)
        if predictions is None:
            continue
        labels = labels_of(review)
        lineage = True if review.get("tool") in LINEAGE_TOOLS else None
        size = (sizes or {}).get(key) if _outlined(predictions, labels) else None
        script = edit_script(predictions, labels, lineage=lineage, outline_size=size, params=params)
        shared = {
            "base_seconds": params.base_seconds(boxes=looks_for_objects(labels)),
            "parameter_set": params.parameter_set,
            **landed_values(run_id),
        }
        for edit in script:
            scratch = add_seconds(edit.accepted, params, size) if edit.accepted else None
            rows.append(_edit_row(review, edit, scratch) | shared)
    return rows


def _outlined(predictions: Sequence[Prediction], labels: Sequence[AcceptedLabel]) -> bool:
    """Tell whether outlines were corrected: a mask that no model made; else masks stand while their boxes do."""
    drawn = {prediction.mask_rle for prediction in predictions}
    return any(label.mask_rle and label.mask_rle not in drawn for label in labels)


def _drafts(
    store: Store, batch_ids: set[str]
) -> tuple[dict[tuple[str, str], list[Prediction]], dict[tuple[str, str], Size]]:
    """Read the drafts of some batches and the sizes of their images, both by batch id and image id."""
    found = read_rows(
        store,
        "prelabels",
        columns=["batch_id", "image_id", "width_px", "height_px", "predictions"],
        filters=pc.field("batch_id").isin(sorted(batch_ids)),
    )
    keys = [(row["batch_id"], row["image_id"]) for row in found]
    drafts = [[prediction_of(value) for value in row["predictions"] or [] if value["draft"]] for row in found]
    sizes = [(row["width_px"], row["height_px"]) for row in found]
    return dict(zip(keys, drafts, strict=True)), dict(zip(keys, sizes, strict=True))


def _edit_row(review: Mapping[str, Any], edit: Edit, scratch_seconds: float | None) -> dict[str, Any]:
    draft, label = edit.prediction, edit.accepted
    prediction_id = draft.prediction_id if draft else None
    label_id = label.label_id if label else None
    return {
        "review_id": review["review_id"],
        "edit_id": row_id("e", review["review_id"], edit.op, prediction_id, label_id),
        "dataset": review["dataset"],
        "dataset_version": review["dataset_version"],
        "image_id": review["image_id"],
        "arm": review["arm"],
        "model_id": review["model_id"],
        "op": edit.op,
        "prediction_id": prediction_id,
        "label_id": label_id,
        "predicted_label": draft.label if draft else None,
        "accepted_label": label.label if label else None,
        "score": draft.score if draft else None,
        "iou": edit.change.iou,
        "biou": edit.change.biou,
        "oks": edit.change.oks,
        "drags_count": edit.change.drags_count,
        "clicks_count": edit.change.clicks_count,
        "vertices_count": edit.change.vertices_count,
        "points_count": edit.change.points_count,
        "model_seconds": edit.model_seconds,
        "scratch_seconds": scratch_seconds,
        "lineage": edit.lineage,
        "redrawn": edit.redrawn,
        "simulated": review["simulated"],
    }
