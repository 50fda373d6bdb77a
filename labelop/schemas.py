"""Every table's columns in one place, with a version each; the store, the SQL tests and the docs read them here.

Knows no store and no query. Column order: ids, then facts with units in their names, then provenance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from labelop.errors import UnknownTableError

MONEY = pa.decimal128(18, 6)
"""Type of every money column; a `currency` column stands beside it."""

_TEXT = pa.string()
_BOOL = pa.bool_()
_REAL = pa.float64()
_COUNT = pa.int64()
_TIME = pa.timestamp("us", tz="UTC")

PREDICTION = pa.struct(
    [
        ("prediction_id", _TEXT),
        ("label", _TEXT),
        ("score", _REAL),
        ("draft", _BOOL),
        ("x0_px", _REAL),
        ("y0_px", _REAL),
        ("x1_px", _REAL),
        ("y1_px", _REAL),
        ("mask_rle", _TEXT),
    ]
)
"""One prediction; box columns are null for a label of the whole image, `draft` says a reviewer is shown it."""

LABEL = pa.struct(
    [
        ("label_id", _TEXT),
        ("prediction_id", _TEXT),
        ("label", _TEXT),
        ("x0_px", _REAL),
        ("y0_px", _REAL),
        ("x1_px", _REAL),
        ("y1_px", _REAL),
        ("mask_rle", _TEXT),
    ]
)
"""One accepted label; `prediction_id` is the lineage where the tool knew it."""

_REGION = (("x0_px", _REAL), ("y0_px", _REAL), ("x1_px", _REAL), ("y1_px", _REAL))

OBSERVATION = pa.struct([("category", _TEXT), ("evidence", _TEXT), *_REGION, ("score", _REAL), ("token", _TEXT)])
"""What a signal saw; the policy says what it means."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the store."""

    name: str
    """Folder name under the store root and name in SQL."""
    version: int
    """Schema version; raised with every change of columns."""
    schema: pa.Schema
    """Column names and types, in order."""
    grain: tuple[str, ...]
    """Columns that make a row unique."""


def _table(name: str, version: int, grain: tuple[str, ...], *columns: tuple[str, pa.DataType]) -> Table:
    return Table(name, version, pa.schema(columns), grain)


_DATASET = (("dataset", _TEXT), ("dataset_version", _TEXT))
_LANDED = (("run_id", _TEXT), ("landed_at", _TIME))
_TOLD = (("site", _TEXT), ("position", _COUNT), ("dataset", _TEXT))  # the highest position of a site's dataset counts

_ALL = (
    _table(
        "datasets",
        1,
        ("dataset", "dataset_version"),
        *_DATASET,
        ("ontology", _TEXT),  # names the arms that can label it
        ("categories", pa.list_(_TEXT)),  # class names its truth uses; empty without truth
        ("source_uri", _TEXT),
        ("source_format", _TEXT),  # folder | coco | voc | yolo | cvat
        ("declared_level", _TEXT),
        ("discovered_count", _COUNT),  # files found, counted while listing
        *_LANDED,
    ),
    _table(
        "images",
        1,
        ("dataset", "dataset_version", "path"),
        *_DATASET,
        ("path", _TEXT),  # percent-encoded, relative to the source
        ("image_id", _TEXT),  # SHA-256 of the original bytes; null when the bytes could not be read
        ("source_uri", _TEXT),  # root the path is relative to
        ("size_bytes", _COUNT),
        ("format", _TEXT),
        ("mode", _TEXT),
        ("width_px", _COUNT),  # upright frame
        ("height_px", _COUNT),
        ("orientation", _COUNT),  # EXIF 1..8
        ("frame_count", _COUNT),
        ("split", _TEXT),  # train | val | null
        ("declared_level", _TEXT),
        ("outcome", _TEXT),  # ok | quarantined
        *_LANDED,
    ),
    _table(
        "quarantine",
        1,
        ("dataset", "dataset_version", "path", "pointer"),
        *_DATASET,
        ("path", _TEXT),
        ("pointer", _TEXT),  # "" for the file itself, else the place inside an annotation file
        ("image_id", _TEXT),
        ("reason", _TEXT),  # code in capitals
        ("detail", _TEXT),
        *_LANDED,
    ),
    _table(
        "findings",
        2,
        ("dataset", "dataset_version", "image_id", "findings_digest", "signal", "category", "position"),
        *_DATASET,
        ("image_id", _TEXT),
        ("findings_digest", _TEXT),  # of all findings of the image that were made together
        ("signal", _TEXT),  # declared | path | metadata | dicom | codes | faces | text
        ("signal_version", _TEXT),
        ("category", _TEXT),  # for example declared_level, gps, face, signal_error
        ("position", _COUNT),  # 0, 1, ... among those of one signal and category
        ("level", _TEXT),
        ("evidence", _TEXT),  # kind of evidence, never the sensitive text itself
        *_REGION,  # null where it is in no place
        ("score", _REAL),
        ("token", _TEXT),  # keyed hash of what was read
        ("policy_digest", _TEXT),
        *_LANDED,
    ),
    _table(
        "levels",
        2,
        ("dataset", "dataset_version", "image_id", "policy_digest", "findings_digest"),
        *_DATASET,
        ("image_id", _TEXT),
        ("findings_digest", _TEXT),  # evidence it rests on; an override counts for this evidence only
        ("level", _TEXT),  # public | internal | confidential | restricted
        ("reason", _TEXT),
        ("policy_digest", _TEXT),
        *_LANDED,
    ),
    _table(
        "signal_results",
        1,
        ("image_id", "signal", "signal_version", "run_id"),
        ("image_id", _TEXT),
        ("signal", _TEXT),  # codes | faces | text
        ("signal_version", _TEXT),
        ("outcome", _TEXT),  # ok | error | timeout | missing
        ("reason", _TEXT),  # kind of the fault, empty when ok
        ("observations", pa.list_(OBSERVATION)),
        *_LANDED,
    ),
    _table(
        "overrides",
        2,
        ("override_id",),
        ("override_id", _TEXT),
        ("image_id", _TEXT),
        ("position", _COUNT),  # 1 for the first word about this image; order does not rest on the clock
        ("level", _TEXT),  # what a named person declared it to be; withdrawn where the word before is taken back
        ("by", _TEXT),
        ("reason", _TEXT),
        ("until", _TEXT),  # last day on which it counts, YYYY-MM-DD
        ("findings_digests", pa.list_(_TEXT)),  # evidence the person saw, one per dataset
        *_LANDED,
    ),
    _table(
        "decisions",
        4,
        ("decision_id",),
        ("decision_id", _TEXT),
        ("decision_set", _TEXT),  # names all decisions made together
        *_DATASET,
        ("level", _TEXT),
        ("release_rule", _TEXT),  # by which these images may go to the cloud; null where they need none
        ("stratum", _TEXT),  # with a verdict of its own; null for images of no such one, and in rows of version 3
        ("role", _TEXT),  # chosen | compare | evaluate
        ("arm", _TEXT),  # local | cloud
        ("placement", _TEXT),  # onprem | cloud
        ("model_id", _TEXT),
        ("allowed", _BOOL),
        ("reason", _TEXT),
        ("rule_id", _TEXT),
        ("images_count", _COUNT),
        ("expected_cost", MONEY),  # per image
        ("currency", _TEXT),
        ("expected_review_seconds", _REAL),  # per image
        ("contrast_id", _TEXT),  # verdict of a pilot it rests on; null without, and in rows of version 2
        ("ratio", _REAL),  # of that verdict, with its interval
        ("ratio_low", _REAL),
        ("ratio_high", _REAL),
        ("runner_up", _TEXT),  # allowed arm that was not chosen
        ("policy_digest", _TEXT),
        *_LANDED,
    ),
    _table(
        "batches",
        1,
        ("plan_id", "batch_id"),
        ("batch_id", _TEXT),
        ("plan_id", _TEXT),  # content of the whole plan
        *_DATASET,
        ("arm", _TEXT),
        ("role", _TEXT),
        ("placement", _TEXT),
        ("model_id", _TEXT),
        ("model_digest", _TEXT),
        ("parameters", _TEXT),  # canonical JSON
        ("position", _COUNT),  # order inside its plan; a shard is a range of it
        ("image_ids", pa.list_(_TEXT)),
        ("policy_digest", _TEXT),
        *_LANDED,
    ),
    _table(
        "prelabels",
        1,
        ("image_id", "dataset_version", "batch_id"),
        ("image_id", _TEXT),
        *_DATASET,
        ("run_id", _TEXT),
        ("batch_id", _TEXT),
        ("arm", _TEXT),
        ("role", _TEXT),
        ("placement", _TEXT),
        ("worker", _TEXT),
        ("model_id", _TEXT),
        ("model_digest", _TEXT),
        ("engine", _TEXT),
        ("outcome", _TEXT),  # ok | empty | failed | withheld | unreadable
        ("reason", _TEXT),
        ("width_px", _COUNT),
        ("height_px", _COUNT),
        ("predictions", pa.list_(PREDICTION)),
        ("policy_digest", _TEXT),
        ("simulated", _BOOL),  # the placement was emulated on this machine
        ("landed_at", _TIME),
    ),
    _table(
        "usage",
        4,
        ("attempt_id",),
        ("attempt_id", _TEXT),
        ("batch_id", _TEXT),
        *_DATASET,
        ("arm", _TEXT),
        ("role", _TEXT),
        ("placement", _TEXT),
        ("worker", _TEXT),
        ("model_id", _TEXT),
        ("engine", _TEXT),
        ("device", _TEXT),  # cpu | cuda | tensorrt | server; null in rows of version 2
        ("engine_reason", _TEXT),  # why this engine, in words; null in rows of version 2
        ("images_count", _COUNT),
        ("wall_seconds", _REAL),  # whole attempt
        ("cold_start_seconds", _REAL),  # before it, null when the models were ready
        ("infer_seconds", _REAL),  # inside the engine
        ("detector_seconds", _REAL),  # the detector's part of it
        ("busy_seconds", _REAL),  # while at least one pass ran; the rest of the attempt waited for originals
        ("operator_waiting_seconds", _REAL),  # of people who could not work meanwhile, null when nobody said
        ("energy_joules", _REAL),  # null where no counter tells
        ("energy_source", _TEXT),  # rapl | nvml
        ("energy_reason", _TEXT),  # why it is not told
        ("sent_bytes", _COUNT),
        ("received_bytes", _COUNT),
        ("requests_count", _COUNT),  # that reached the server, repeated ones too; null in rows of version 3
        ("outcome", _TEXT),  # finished | failed | cancelled
        ("simulated", _BOOL),
        ("run_id", _TEXT),
        ("started_at", _TIME),
    ),
    _table(
        "reviews",
        3,
        ("review_id",),
        ("review_id", _TEXT),
        *_DATASET,
        ("image_id", _TEXT),
        ("arm", _TEXT),  # local | cloud | blind | import
        ("batch_id", _TEXT),  # of the reviewed prelabel; null for imports
        ("model_id", _TEXT),
        ("reviewer", _TEXT),  # pseudonym
        ("decision", _TEXT),  # approved | rejected
        ("active_seconds", _REAL),  # null when nobody measured
        ("lead_seconds", _REAL),
        ("effort_source", _TEXT),  # measured | calibrated | literature | none
        ("worked_from", _TIME),  # first and last user event that were counted for it; null where none were
        ("worked_until", _TIME),
        ("position_in_batch", _COUNT),
        ("labels", pa.list_(LABEL)),
        ("clicks_counts", pa.list_(_COUNT)),  # of each label; null in rows of version 1
        ("tool", _TEXT),
        ("tool_version", _TEXT),
        ("source_digest", _TEXT),  # of the file it was read from
        ("simulated", _BOOL),
        ("submitted_at", _TIME),
        *_LANDED,
    ),
    _table(
        "review_states",
        1,
        ("review_id", "position"),
        ("review_id", _TEXT),
        ("position", _COUNT),  # 0, 1, ... among the steps of the review
        ("state", _TEXT),  # pending | in_review | approved | revision_requested | rejected
        ("by", _TEXT),  # name of the person, or pseudonym of the reviewer who submitted it
        ("role", _TEXT),  # reviewer | lead
        ("reason", _TEXT),  # short code, for example submitted
        ("note", _TEXT),
        ("content_digest", _TEXT),  # of what the review said then
        ("previous", _TEXT),  # seal of the step before; empty for the first
        ("seal", _TEXT),  # keyed hash over all of it
        *_LANDED,
    ),
    _table(
        "label_sets",
        1,
        ("label_set_id",),
        ("label_set_id", _TEXT),
        *_DATASET,
        ("manifest_digest", _TEXT),
        ("images_count", _COUNT),
        ("labels_count", _COUNT),
        ("left_out_count", _COUNT),  # images of the version that are not in it
        ("simulated", _BOOL),  # some of its reviews were made by no person
        ("released_by", _TEXT),
        *_LANDED,
    ),
    _table(
        "bias_seeds",
        1,
        ("seed_id",),
        ("seed_id", _TEXT),
        ("task_uid", _TEXT),  # of the task that shows a wrong draft on purpose
        *_DATASET,
        ("image_id", _TEXT),
        ("batch_id", _TEXT),
        ("kind", _TEXT),  # wrong_class | shifted_box | missing_object | spurious_object
        ("prediction_id", _TEXT),  # of the draft that was changed, removed or added
        *_LANDED,
    ),
    _table(
        "bias_tasks",
        1,
        ("task_uid",),
        ("task_uid", _TEXT),
        *_DATASET,
        ("image_id", _TEXT),
        ("batch_id", _TEXT),  # of the tasks of one purpose that were planned together
        ("purpose", _TEXT),  # blind | double | seeded
        ("source_batch_id", _TEXT),  # batch of the prelabel it goes out before
        ("source_arm", _TEXT),
        ("model_id", _TEXT),  # of the drafts it shows; null without
        ("model_digest", _TEXT),
        ("width_px", _COUNT),
        ("height_px", _COUNT),
        ("predictions", pa.list_(PREDICTION)),  # as they are shown
        *_LANDED,
    ),
    _table(
        "bias_figures",
        1,
        ("figure_set", "measure", "slice", "name"),
        ("figure_set", _TEXT),  # names the figures that were computed together
        *_DATASET,
        ("measure", _TEXT),  # catch_rate | anchoring_excess | residual_errors | residual_rate | agreement_*
        ("slice", _TEXT),  # all | kind | reviewer | pairs
        ("name", _TEXT),  # of the slice; empty for all
        ("value", _REAL),  # null where it is not defined
        ("value_low", _REAL),  # ends of the 95 % interval
        ("value_high", _REAL),
        ("units_count", _COUNT),  # what it rests on
        ("verdict", _TEXT),  # pass | fail | inconclusive; null where nothing was asked for
        ("simulated", _BOOL),
        *_LANDED,
    ),
    _table(
        "edits",
        3,
        ("review_id", "edit_id"),
        ("review_id", _TEXT),
        ("edit_id", _TEXT),
        *_DATASET,
        ("image_id", _TEXT),
        ("arm", _TEXT),
        ("model_id", _TEXT),
        ("op", _TEXT),  # accept | relabel | adjust | adjust_relabel | delete | add
        ("prediction_id", _TEXT),
        ("label_id", _TEXT),
        ("predicted_label", _TEXT),
        ("accepted_label", _TEXT),
        ("score", _REAL),
        ("iou", _REAL),
        ("biou", _REAL),  # of the rims of two masks
        ("oks", _REAL),
        ("drags_count", _COUNT),
        ("clicks_count", _COUNT),
        ("vertices_count", _COUNT),
        ("points_count", _COUNT),
        ("model_seconds", _REAL),  # of this operation
        ("scratch_seconds", _REAL),  # of making the accepted label without a draft
        ("base_seconds", _REAL),  # of the whole review, before any operation; null in rows of version 2
        ("lineage", _BOOL),
        ("redrawn", _BOOL),
        ("parameter_set", _TEXT),
        ("simulated", _BOOL),
        *_LANDED,
    ),
    _table(
        "pilots",
        1,
        ("pilot_id", "protocol_digest"),
        ("pilot_id", _TEXT),
        ("protocol_digest", _TEXT),
        *_DATASET,
        ("name", _TEXT),
        ("task", _TEXT),
        ("arms", pa.list_(_TEXT)),
        ("reference", _TEXT),  # arm that the others are compared with
        ("images_count", _COUNT),
        ("asked", _TEXT),  # canonical JSON of what was asked for
        ("protocol", _TEXT),  # canonical JSON of all that was declared
        ("weights", _TEXT),  # canonical JSON: share of all candidates by stratum
        ("plan_id", _TEXT),
        *_LANDED,
    ),
    _table(
        "pilot_ends",
        1,
        ("pilot_id", "kind"),
        ("pilot_id", _TEXT),
        *_DATASET,
        ("kind", _TEXT),  # over: what is missing will not come; stopped: nothing is concluded from it
        ("by", _TEXT),
        ("role", _TEXT),
        ("reason", _TEXT),  # in words; null where it is over
        *_LANDED,
    ),
    _table(
        "pilot_assignments",
        1,
        ("pilot_id", "image_id", "arm"),
        ("pilot_id", _TEXT),
        *_DATASET,
        ("image_id", _TEXT),
        ("stratum", _TEXT),
        ("arm", _TEXT),  # blind where no draft is shown
        ("batch_id", _TEXT),  # of the draft; the pilot's id where none is shown
        ("reviewer", _TEXT),  # pseudonym
        ("period", _COUNT),  # all reviews of an image are in one
        ("position", _COUNT),  # order among the reviewer's own
        *_LANDED,
    ),
    _table(
        "pilot_contrasts",
        1,
        ("contrast_id",),
        ("contrast_id", _TEXT),
        ("pilot_id", _TEXT),
        ("protocol_digest", _TEXT),
        *_DATASET,
        ("task", _TEXT),
        ("stratum", _TEXT),  # all: the weighted mean over strata
        ("arm", _TEXT),
        ("reference", _TEXT),
        ("model_digest", _TEXT),  # detector of the arm
        ("reference_digest", _TEXT),  # detector of the reference
        ("verdict", _TEXT),  # superior | equivalent | inconclusive | running | blocked
        ("winner", _TEXT),
        ("ratio", _REAL),  # seconds under the arm / under the reference
        ("ratio_low", _REAL),
        ("ratio_high", _REAL),
        ("mean_ratio", _REAL),  # of the arithmetic means
        ("mean_ratio_low", _REAL),
        ("mean_ratio_high", _REAL),
        ("arm_seconds", _REAL),  # mean per image
        ("reference_seconds", _REAL),  # mean per image
        ("p_value", _REAL),
        ("p_permutation", _REAL),
        ("p_holm", _REAL),
        ("p_equal", _REAL),
        ("margin", _REAL),
        ("images_count", _COUNT),
        ("reviewers_count", _COUNT),
        ("settling_images_count", _COUNT),  # in all
        ("her", _REAL),  # edits per label under the arm
        ("reference_her", _REAL),
        ("saving", _REAL),  # against no drafts
        ("saving_low", _REAL),
        ("saving_high", _REAL),
        ("exploratory", _BOOL),
        ("simulated", _BOOL),
        ("sentence", _TEXT),
        *_LANDED,
    ),
    _table(
        "prices",
        2,
        ("price_book", "placement", "item"),
        ("price_book", _TEXT),  # version digest
        ("price_version", _TEXT),  # version its author gave the book
        ("placement", _TEXT),  # onprem | cloud | review
        ("item", _TEXT),
        ("unit", _TEXT),
        ("amount", MONEY),
        ("low", MONEY),  # P10, null where the amount is taken as certain
        ("high", MONEY),  # P90
        ("currency", _TEXT),
        ("as_of", _TEXT),
        ("source", _TEXT),
        *_LANDED,
    ),
    _table(
        "cards",
        1,
        ("model_digest",),
        ("model_digest", _TEXT),
        ("model_id", _TEXT),
        ("task", _TEXT),
        ("family", _TEXT),
        ("ontology", _TEXT),
        ("classes", pa.list_(_TEXT)),
        ("width_px", _COUNT),
        ("height_px", _COUNT),
        ("size_bytes", _COUNT),
        ("parameters_count", _COUNT),
        *_LANDED,
    ),
    _table(
        "profiles",
        2,
        ("profile_id",),
        ("profile_id", _TEXT),
        ("profile_set", _TEXT),  # names the rows that were measured together
        ("model_id", _TEXT),
        ("model_digest", _TEXT),
        ("host_id", _TEXT),  # equal machines share it
        ("cpu", _TEXT),
        ("cores_count", _COUNT),
        ("memory_bytes", _COUNT),
        ("system", _TEXT),
        ("threads_count", _COUNT),
        ("engine", _TEXT),  # onnxruntime | openvino | torch
        ("engine_version", _TEXT),
        ("engine_name", _TEXT),  # what it writes into the `engine` column of prelabels
        ("precision", _TEXT),  # f32 | bf16
        ("device", _TEXT),  # cpu | cuda | tensorrt
        ("compiled", _BOOL),
        ("reference", _BOOL),  # the others are compared with this one
        ("images_count", _COUNT),  # of one pass
        ("rounds_count", _COUNT),
        ("image_seconds", _REAL),  # of all lanes together, median of the rounds
        ("lanes_count", _COUNT),  # passes side by side
        ("energy_joules_per_image", _REAL),  # of the package or GPU; null where not told
        ("energy_source", _TEXT),  # rapl | nvml
        ("energy_reason", _TEXT),  # why it is not told
        ("growth_bytes", _COUNT),  # peak growth of resident memory
        ("compared_count", _COUNT),
        ("difference", _REAL),  # from the reference, 0..1
        ("tolerance", _REAL),
        ("agrees", _BOOL),
        ("outcome", _TEXT),  # measured | failed
        ("reason", _TEXT),
        *_LANDED,
    ),
    _table(
        "quality",
        1,
        ("dataset", "dataset_version", "split", "model_id", "metric", "images_count"),
        *_DATASET,
        ("split", _TEXT),  # train | val | all (the source names no split)
        ("model_id", _TEXT),
        ("metric", _TEXT),  # ap50 | ap | ap50:<class> | image_accuracy
        ("value", _REAL),  # 0..1
        ("images_count", _COUNT),
        *_LANDED,
    ),
    _table(
        "runs",
        1,
        ("run_id", "dataset", "event", "state"),
        ("run_id", _TEXT),
        *_DATASET,
        ("event", _TEXT),  # started | ingested | classified | planned | prelabelled | finished | cancelled | ended
        ("ontology", _TEXT),  # ingested: class set in force
        ("source_uri", _TEXT),  # ingested: root the files lay under this time
        ("policy_digest", _TEXT),  # ingested, classified, planned: sensitivity policy in force
        ("price_book", _TEXT),  # planned: prices in force
        ("decision_set", _TEXT),  # planned: routing decisions in force
        ("plan_id", _TEXT),  # planned: plan in force
        ("state", _TEXT),  # complete | partial | cancelled
        ("summary", _TEXT),  # canonical JSON of counts
        ("landed_at", _TIME),
    ),
    _table(
        "site_outcomes",
        1,
        ("site", "position", "level", "arm", "placement", "outcome"),
        *_TOLD,
        ("level", _TEXT),
        ("arm", _TEXT),
        ("placement", _TEXT),
        ("outcome", _TEXT),
        ("images_count", _COUNT),
        ("simulated", _BOOL),
        *_LANDED,
    ),
    _table(
        "site_costs",
        1,
        ("site", "position", "arm", "category", "item"),
        *_TOLD,
        ("arm", _TEXT),
        ("category", _TEXT),
        ("item", _TEXT),
        ("amount", MONEY),
        ("currency", _TEXT),
        ("price_book", _TEXT),
        ("measured", _BOOL),
        ("simulated", _BOOL),
        *_LANDED,
    ),
    _table(
        "site_effort",
        1,
        ("site", "position", "arm", "model_id"),
        *_TOLD,
        ("arm", _TEXT),
        ("model_id", _TEXT),
        ("images_count", _COUNT),
        ("predictions_count", _COUNT),
        ("labels_count", _COUNT),
        ("edits_count", _COUNT),
        ("mean_active_seconds", _REAL),  # per image; null when nobody measured
        ("mean_model_seconds", _REAL),  # per image, modelled
        ("mean_scratch_seconds", _REAL),  # per image, modelled, without drafts
        ("effort_source", _TEXT),
        ("simulated", _BOOL),
        *_LANDED,
    ),
    _table(
        "site_datasets",
        1,
        ("site", "position", "dataset"),
        *_TOLD,
        ("dataset_version", _TEXT),
        ("discovered_count", _COUNT),
        ("landed_count", _COUNT),
        ("quarantined_count", _COUNT),
        ("deferred_count", _COUNT),
        ("ok_count", _COUNT),
        ("empty_count", _COUNT),
        ("failed_count", _COUNT),
        ("withheld_count", _COUNT),
        ("unreadable_count", _COUNT),
        ("reviewed_count", _COUNT),
        ("simulated", _BOOL),
        *_LANDED,
    ),
    _table(
        "syncs",
        1,
        ("site", "run_id"),
        ("site", _TEXT),
        ("sent_count", _COUNT),  # items handed over
        ("sent_bytes", _COUNT),
        ("waiting_count", _COUNT),  # items that wait after it
        ("set_digest", _TEXT),  # models and policies of head office in force here; null without
        ("state", _TEXT),  # complete | partial
        *_LANDED,
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _ALL}
"""Every table by name."""

VOLATILE = frozenset(
    {
        "run_id", "landed_at", "started_at", "worker", "attempt_id",
        "wall_seconds", "infer_seconds", "detector_seconds", "previous", "seal",
    }
)  # fmt: skip
"""Columns that say when and by whom, not what; left out when two stores are compared."""


def table(name: str) -> Table:
    """Find a table by name.

    Raises:
        UnknownTableError: There is no such table.
    """
    try:
        return TABLES[name]
    except KeyError:
        raise UnknownTableError(
            f"Table {name!r} is unknown; expected one of {', '.join(sorted(TABLES))}.",
            hint="Tables are declared in labelop/schemas.py.",
        ) from None


def utc_now() -> datetime:
    """Give the time for provenance columns; never part of a key."""
    return datetime.now(UTC)
