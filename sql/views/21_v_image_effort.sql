-- Correction effort of one image in one arm, by its last approved review: its edits since the draft, and the seconds of all
-- looks that led there (`looks_seconds` of v_review).
-- HER = E / max(1, n_final), accept rate = accept / n_pred, saving = 1 - T_model / T_scratch (measures.md section 7).
-- `source_rank`: measured seconds come before calibrated ones and these before literature, and no mean holds two of them
-- (measures.md section 0). A mean is of the images of the least rank in its group, be they few: their number stands beside it.
-- v_best_effort has them for each arm.
-- Params: none
-- Grain: dataset, dataset_version, image_id, arm
CREATE VIEW v_image_effort AS
WITH counted AS (
    SELECT
        * REPLACE (
            looks_seconds AS active_seconds,
            coalesce(looks_seconds, model_seconds) AS effort_seconds,
            CASE WHEN looks_seconds IS NULL THEN modelled_by ELSE 'measured' END AS effort_source
        )
    FROM v_review
    WHERE is_last
)
SELECT
    dataset, dataset_version, image_id, arm, model_id, review_id, predictions_count, labels_count, accepts_count,
    edits_count,
    edits_count / greatest(1, labels_count) AS her,
    accepts_count / nullif(predictions_count, 0) AS accept_rate,
    active_seconds, model_seconds, scratch_seconds, effort_seconds,
    1 - model_seconds / nullif(scratch_seconds, 0) AS saving,
    effort_source, CASE effort_source WHEN 'measured' THEN 1 WHEN 'calibrated' THEN 2 ELSE 3 END AS source_rank,
    modelled_by, simulated
FROM counted;
