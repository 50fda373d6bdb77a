"""Which columns of which query become which table of the report, with headings a reader understands.

Data only: the numbers come from the queries in `sql/queries`, and how they look is decided in `values`.
"""

from __future__ import annotations

from labelop.report.form import Column, Form

_DATASET = Column("dataset", "Dataset")
_ARM = Column("arm", "Arm")
_MODEL = Column("model_id", "Model")
_SIMULATED = Column("simulated", "Simulated", "flag")
_PRICED = (Column("price_version", "Prices"), _SIMULATED)

_RATIO = (("ratio", "Ratio of seconds"), ("ratio_low", "From"), ("ratio_high", "To"))

FORMS: tuple[Form, ...] = (
    Form(
        "run_summary",
        "Where every image went",
        "Each file found is either landed or quarantined; discovered = landed + quarantined + "
        "deferred, which wait for a first run, for reviewers or at a site for the network.",
        (
            _DATASET,
            Column("dataset_version", "Version", "code"),
            Column("discovered_count", "Discovered", "count"),
            Column("landed_count", "Landed", "count"),
            Column("quarantined_count", "Quarantined", "count"),
            Column("deferred_count", "Deferred", "count"),
            Column("ok_count", "With drafts", "count"),
            Column("empty_count", "Nothing found", "count"),
            Column("failed_count", "Failed", "count"),
            Column("withheld_count", "Withheld", "count"),
            Column("unreadable_count", "Unreadable", "count"),
            Column("reviewed_count", "Reviewed", "count"),
            _SIMULATED,
        ),
    ),
    Form(
        "arm_cost",
        "Cost per arm",
        "Machine cost counts every attempt, failed ones too, and setup, which does not grow with the images. Review "
        "cost is people's paid time.",
        (
            _DATASET,
            _ARM,
            Column("images_count", "Images", "count"),
            Column("accepted_count", "Accepted labels", "count"),
            Column("machine_cost", "Machine and setup ({currency})", "money"),
            Column("review_cost", "Review ({currency})", "money"),
            Column("total_cost", "Total ({currency})", "money"),
            Column("cost_per_image", "Per image ({currency})", "money"),
            Column("cost_per_label", "Per accepted label ({currency})", "money"),
            Column("inference_share", "Machine and setup share", "share"),
            *_PRICED,
        ),
    ),
    Form(
        "cost_lines",
        "Cost lines",
        "Quantity times unit price. Measured lines come from what ran here; the others from the price book's defaults.",
        (
            _DATASET,
            _ARM,
            Column("category", "Category"),
            Column("item", "Item"),
            Column("quantity", "Quantity", "number"),
            Column("unit", "Unit"),
            Column("unit_price", "Unit price ({currency})", "price"),
            Column("amount", "Amount ({currency})", "money"),
            Column("measured", "Measured", "flag"),
            _SIMULATED,
        ),
    ),
    Form(
        "odds",
        "Which arm is cheaper, and how sure that is",
        "Cloud less local per accepted label, over draws of every uncertain price and of the images.",
        (
            _DATASET,
            Column("cloud_cheaper_probability", "Probability that cloud is cheaper", "share"),
            Column("difference_p10", "Cloud less local, P10 ({currency})", "money"),
            Column("difference_p50", "Median ({currency})", "money"),
            Column("difference_p90", "P90 ({currency})", "money"),
            Column("robust", "Robust", "flag"),
            *_PRICED,
        ),
    ),
    Form(
        "break_even",
        "Where the arms change places",
        "By volume, and by the price of an error that escapes review.",
        (
            _DATASET,
            Column("break_even_images", "Images", "number"),
            Column("break_even_reason", "What that means"),
            Column("switching_escape_cost", "Price of an escaped error ({currency})", "money"),
            Column("switching_reason", "What that price means"),
            Column("machine_gap_review_seconds", "Machines' gap in review s per image", "seconds"),
            *_PRICED,
        ),
    ),
    Form(
        "sensitivity",
        "What moves the difference",
        "Cloud less local per accepted label. Flips: another arm is cheaper at one end.",
        (
            _DATASET,
            Column("parameter", "Parameter", "code"),
            Column("low", "P10", "number"),
            Column("value", "In use", "number"),
            Column("high", "P90", "number"),
            Column("low_difference", "Difference at P10 ({currency})", "money"),
            Column("difference", "As it is ({currency})", "money"),
            Column("high_difference", "Difference at P90 ({currency})", "money"),
            Column("flips", "Flips", "flag"),
            *_PRICED,
        ),
    ),
    Form(
        "pilot_verdicts",
        "What pilots prove",
        "Reviewers' seconds under the arm over those under the reference, on the same images, reviewers' speeds taken "
        "out. An interval that lies within the margin means equal, one that holds 1 leaves it open.",
        (
            _DATASET,
            Column("pilot", "Pilot"),
            Column("stratum", "Stratum"),
            _ARM,
            Column("reference", "Against"),
            Column("verdict", "Verdict"),
            *(Column(name, head, "ratio") for name, head in _RATIO),
            Column("images_count", "Images", "count"),
            Column("reviewers_count", "Reviewers", "count"),
            Column("settling_images_count", "Images to settle it", "count"),
            Column("exploratory", "Exploratory", "flag"),
            Column("stopped", "Stopped", "flag"),
            _SIMULATED,
            Column("sentence", "In words"),
        ),
    ),
    Form(
        "arm_effort",
        "Correction effort per arm",
        "Corrections per label is HER: edits divided by accepted labels; it may exceed 1. Saving compares the modelled "
        "seconds with drawing every label from scratch.",
        (
            _DATASET,
            _ARM,
            _MODEL,
            Column("images_count", "Images", "count"),
            Column("predictions_count", "Drafts", "count"),
            Column("labels_count", "Accepted labels", "count"),
            Column("edits_count", "Corrections", "count"),
            Column("her", "Corrections per label", "ratio"),
            Column("accept_rate", "Drafts accepted", "share"),
            Column("active_seconds_mean", "Active s per image", "seconds"),
            Column("model_seconds_mean", "Modelled s per image", "seconds"),
            Column("scratch_seconds_mean", "From scratch s per image", "seconds"),
            Column("saving", "Saving", "share"),
            Column("effort_source", "Source of seconds"),
            _SIMULATED,
        ),
    ),
    Form(
        "effort_by_operation",
        "Corrections by operation and class",
        "Share is of all operations of that dataset, arm and class. Seconds are modelled, published or calibrated; in "
        "an arm with some of both they are of the calibrated images alone.",
        (
            _DATASET,
            _ARM,
            Column("label", "Class"),
            Column("op", "Operation"),
            Column("ops_count", "Count", "count"),
            Column("share", "Share", "share"),
            Column("model_seconds", "Modelled s", "seconds"),
            _SIMULATED,
        ),
    ),
    Form(
        "bias_figures",
        "Do reviewers see what is wrong",
        "Catch rate is of errors made on purpose, anchoring how much oftener a wrong draft is followed by who saw it. "
        "Intervals are 95 %; the verdict says whether all of one lies on one side of its target.",
        (
            _DATASET,
            Column("measure", "Measure"),
            Column("slice", "Of"),
            Column("name", "Which"),
            Column("value", "Value", "ratio"),
            *(Column(f"value_{end}", head, "ratio") for end, head in (("low", "From"), ("high", "To"))),
            Column("units_count", "Rests on", "count"),
            Column("verdict", "Verdict"),
            _SIMULATED,
        ),
    ),
    Form(
        "model_quality",
        "Model quality and speed",
        "AP50 against imported or drawn truth on the named split. Images per second of the detector alone, measured "
        "where the row says: on premises where the model ran there, else at the cloud, the way there included.",
        (
            _DATASET,
            Column("split", "Split"),
            _MODEL,
            Column("ap50", "AP50", "ratio"),
            Column("image_accuracy", "Image label accuracy", "share"),
            Column("images_count", "Images", "count"),
            Column("images_per_second", "Images per s", "number"),
            Column("measured_at", "Measured at"),
            _SIMULATED,
        ),
    ),
    Form(
        "decisions",
        "Routing decisions",
        "Every option that was weighed, with the reason it was taken or refused. Expected cost is per image.",
        (
            _DATASET,
            Column("level", "Level"),
            _ARM,
            Column("placement", "Placement"),
            _MODEL,
            Column("role", "Role"),
            Column("allowed", "Allowed", "flag"),
            Column("expected_cost", "Expected ({currency})", "money"),
            Column("rule_id", "Rule", "code"),
            Column("reason", "Reason"),
        ),
    ),
    Form(
        "engines_used",
        "Engines that ran",
        "What ran the models, where and why, over all attempts that finished.",
        (
            _DATASET,
            _ARM,
            _MODEL,
            Column("engine", "Engine", "code"),
            Column("device", "Device"),
            Column("images_count", "Images", "count"),
            Column("infer_seconds", "Inside the engine (s)", "seconds"),
            Column("cold_start_seconds", "Getting ready (s)", "seconds"),
            _SIMULATED,
            Column("reason", "Why this engine"),
        ),
    ),
    Form(
        "levels_summary",
        "Sensitivity levels",
        "An image whose level is unknown is treated as restricted and stays on premises.",
        (
            _DATASET,
            Column("level", "Level"),
            Column("images_count", "Images", "count"),
            Column("stale_policy_count", "Of these under a policy past its date", "count"),
        ),
    ),
    Form(
        "quarantine_reasons",
        "Files and records left out",
        "Files and annotation records that could not be used; the originals are untouched. Nobody knows how restricted "
        "they are, so they are counted here and named by `labelop query quarantine_list` only.",
        (
            _DATASET,
            Column("reason", "Reason", "code"),
            Column("files_count", "Files", "count"),
            Column("records_count", "Annotation records", "count"),
        ),
    ),
)
"""Tables of the report in the order of the page; each is also one Prefect artifact."""
